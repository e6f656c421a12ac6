//! Medians, ranges, and the table in Markdown.
//!
//! Neighbours: the rows give outcomes; `docs/reference/performance.md` takes the table as printed.

use super::rows::Outcome;

/// The middle one; of an even number, the mean of the two in the middle.
pub fn median<T>(of: &[T], value: impl Fn(&T) -> f64) -> f64 {
    let mut values: Vec<f64> = of.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => values[len / 2],
        len => f64::midpoint(values[len / 2 - 1], values[len / 2]),
    }
}

/// `0.83 [0.80–0.86]`
pub fn median_range<T>(of: &[T], value: impl Fn(&T) -> f64) -> String {
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    for item in of {
        least = least.min(value(item));
        most = most.max(value(item));
    }
    format!("{:.2} [{least:.2}–{most:.2}]", median(of, value))
}

/// A line of the table.
pub fn line(work: &str, must: &str, outcome: &Outcome) -> String {
    let reached = match outcome.reached {
        Some(true) => "yes",
        Some(false) => "**no**",
        None => "–",
    };
    format!("| {work} | {must} | {} | {reached} |", outcome.measured)
}

/// The whole table.
pub fn whole(lines: &[String]) -> String {
    let head = "| work | must reach | measured | reached |\n| --- | --- | --- | --- |";
    format!("\n{head}\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between_the_two_in_the_middle() {
        assert!((median(&[4.0, 1.0, 3.0, 2.0], |x| *x) - 2.5).abs() < 1e-9);
        assert_eq!(median_range(&[1.0, 2.0, 3.0], |x| *x), "2.00 [1.00–3.00]");
    }
}
