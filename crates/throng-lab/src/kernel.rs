//! What the kernel holds for a server's sockets, as `ss -m` asks it: `sock_diag` over netlink.
//!
//! Neighbours: `run` asks once a second where a scenario bounds memory. Buffers count with what the
//! kernel keeps around them; the sockets' own structures (about 4 KiB each) do not.

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::net::{recv, sendto, socket_with};

const REQUEST_LEN: usize = 16 + 56;
/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST` and `NLM_F_DUMP`.
const DUMP: u16 = 0x1 | 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `INET_DIAG_SKMEMINFO`.
const SKMEMINFO: u16 = 7;
/// A header, and `struct inet_diag_msg`.
const HEADER: usize = 16;
const MESSAGE: usize = 72;
/// `AF_INET` and `AF_INET6`, and `IPPROTO_TCP`.
const FAMILIES: [u8; 2] = [2, 10];
const TCP: u8 = 6;
/// The kernel fills one answer with at most so much.
const ANSWER: usize = 64 * 1024;
/// Answers to one question: more sockets than a server may hold do not fit into these.
const ANSWERS_MAX: usize = 10_000;

/// Bytes that the kernel keeps in the queues of all sockets with this local port; `None` where it
/// does not tell.
pub fn kernel_bytes(port: u16) -> Option<u64> {
    FAMILIES.into_iter().map(|family| of_family(family, port)).sum()
}

fn of_family(family: u8, port: u16) -> Option<u64> {
    let (kind, flags) = (SocketType::DGRAM, SocketFlags::CLOEXEC);
    let diag = socket_with(AddressFamily::NETLINK, kind, flags, Some(netlink::SOCK_DIAG)).ok()?;
    let kernel = SocketAddrNetlink::new(0, 0);
    sendto(&diag, &request(family, port), SendFlags::empty(), &kernel).ok()?;
    let mut answer = vec![0_u8; ANSWER];
    let mut sum = 0;
    for _ in 0..ANSWERS_MAX {
        let (len, _) = recv(&diag, answer.as_mut_slice(), RecvFlags::empty()).ok()?;
        let (bytes, done) = of_answer(&answer[..len])?;
        sum += bytes;
        if done {
            return Some(sum);
        }
    }
    None
}

/// All TCP sockets of the family with this local port, in every state, with their memory.
fn request(family: u8, port: u16) -> [u8; REQUEST_LEN] {
    let mut request = [0; REQUEST_LEN];
    request[0..4].copy_from_slice(&(REQUEST_LEN as u32).to_ne_bytes());
    request[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
    request[6..8].copy_from_slice(&DUMP.to_ne_bytes());
    request[16] = family;
    request[17] = TCP;
    request[18] = 1 << (SKMEMINFO - 1);
    request[20..24].copy_from_slice(&u32::MAX.to_ne_bytes());
    request[24..26].copy_from_slice(&port.to_be_bytes());
    request
}

/// The sum over one answer, and whether it was the last.
fn of_answer(mut answer: &[u8]) -> Option<(u64, bool)> {
    let mut sum = 0;
    while let Some(head) = answer.get(..HEADER) {
        let len = u32::from_ne_bytes(head[0..4].try_into().ok()?) as usize;
        match u16::from_ne_bytes([head[4], head[5]]) {
            NLMSG_DONE => return Some((sum, true)),
            NLMSG_ERROR => return None,
            _ => sum += of_attributes(answer.get(HEADER + MESSAGE..len)?),
        }
        answer = answer.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Some((sum, false))
}

/// What waits to be read, what waits to be sent and acknowledged, and what is reserved for either.
fn of_attributes(mut attributes: &[u8]) -> u64 {
    while let Some(head) = attributes.get(..4) {
        let len = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let values = attributes.get(4..len).unwrap_or_default();
        if u16::from_ne_bytes([head[2], head[3]]) == SKMEMINFO {
            let value = |at: usize| {
                let bytes = values.get(at * 4..at * 4 + 4).and_then(|it| it.try_into().ok());
                bytes.map_or(0, |it| u64::from(u32::from_ne_bytes(it)))
            };
            // rmem_alloc, fwd_alloc, wmem_queued, optmem
            return value(0) + value(4) + value(5) + value(6);
        }
        attributes = attributes.get(len.max(4).next_multiple_of(4)..).unwrap_or_default();
    }
    0
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn what_a_reader_does_not_read_is_seen_at_the_writers_port() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let reader = TcpStream::connect(address).unwrap();
        let (mut writer, _) = listener.accept().unwrap();
        let Some(before) = kernel_bytes(address.port()) else {
            // A kernel that does not tell; then nothing is judged by it.
            return;
        };
        writer.set_nonblocking(true).unwrap();
        let block = vec![7; 64 * 1024];
        while writer.write(&block).is_ok() {}
        let after = kernel_bytes(address.port()).unwrap();
        assert!(after > before + 50_000, "{before} {after}");
        drop(reader);
    }

    #[test]
    fn half_an_answer_is_no_answer() {
        assert_eq!(of_answer(&[]), Some((0, false)));
        let mut message = vec![0; HEADER + MESSAGE];
        message[0..4].copy_from_slice(&200_u32.to_ne_bytes());
        message[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
        assert_eq!(of_answer(&message), None, "it says that it is longer");
        message[0..4].copy_from_slice(&((HEADER + MESSAGE) as u32).to_ne_bytes());
        assert_eq!(of_answer(&message), Some((0, false)));
    }
}
