//! Masking (RFC 6455 §5.3): xor with four repeating bytes, eight at a time.

/// Masks or unmasks `data`, which begins `offset` bytes into its frame.
pub fn apply_mask(mask: [u8; 4], offset: usize, data: &mut [u8]) {
    let mut turned = mask;
    turned.rotate_left(offset % 4);
    let word = u64::from(u32::from_ne_bytes(turned));
    let wide = word << 32 | word;
    let (chunks, rest) = data.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(turned.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_and_offset_agrees_with_the_rfcs_rule() {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        for offset in 0..9 {
            for len in 0..40 {
                let plain: Vec<u8> = (0..len).map(|i: u8| i.wrapping_mul(7)).collect();
                let rule = plain.iter().enumerate().map(|(i, byte)| byte ^ mask[(offset + i) % 4]);
                let wanted: Vec<u8> = rule.collect();
                let mut data = plain.clone();
                apply_mask(mask, offset, &mut data);
                assert_eq!(data, wanted, "offset {offset}, length {len}");
            }
        }
    }
}
