//! Numbers as people read them, the same in every form of a report.
//!
//! Neighbours: `verdict`, `charts`, the page and the PDF.

/// With thin groups of three: `18,294`; fractions where they matter.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let decimals = match value.abs() {
        size if size >= 100.0 || (size - size.round()).abs() < 1e-9 => 0,
        size if size >= 10.0 => 1,
        size if size >= 0.1 => 2,
        _ => 4,
    };
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    let sign = if value < 0.0 { "-" } else { "" };
    format!("{sign}{grouped}{dot}{fraction}")
}

/// Milliseconds, or seconds where they are many.
pub fn ms(value: f64) -> String {
    if value >= 10_000.0 {
        format!("{} s", number(value / 1e3))
    } else {
        format!("{} ms", three(value))
    }
}

/// A share as a percentage.
pub fn percent(share: f64) -> String {
    format!("{} %", three(share * 100.0))
}

/// Bytes in the binary unit that fits.
pub fn bytes(value: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = value;
    let mut unit = 0;
    while value >= 1_024.0 && unit + 1 < units.len() {
        value /= 1_024.0;
        unit += 1;
    }
    format!("{} {}", three(value), units[unit])
}

/// Three digits that count.
fn three(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 0.005 => 2,
        _ => 0,
    };
    let rounded = 10_f64.powi(decimals);
    number((value * rounded).round() / rounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_at_a_glance() {
        for (value, text) in [
            (0.0, "0"),
            (7.0, "7"),
            (999.0, "999"),
            (1_000.0, "1,000"),
            (18_294.4, "18,294"),
            (1_234_567.0, "1,234,567"),
            (-1_234.0, "-1,234"),
            (12.34, "12.3"),
            (0.25, "0.25"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn units_come_with_three_digits() {
        assert_eq!(ms(17.231), "17.2 ms");
        assert_eq!(ms(0.104), "0.1 ms");
        assert_eq!(ms(12_500.0), "12.5 s");
        assert_eq!(percent(0.0199), "1.99 %");
        assert_eq!(bytes(11_202_560.0), "10.7 MiB");
    }
}
