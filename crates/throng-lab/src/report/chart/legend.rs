//! Which line or group of a chart is which: names with their colours, and the form of a point where there are
//! more groups than colours.
//!
//! Neighbours: `chart` lays out all else. Names stand above the plot and over nothing.

use super::{Anchor, COLOURS, Chart, Drawing, Ink, Kind, LEFT, RIGHT, Shape, WIDER, WIDTH};
use crate::report::paper_font::{encode, width};

/// Room for what says how many names are not there.
const MORE: f64 = 52.0;
/// From the words before.
const APART: f64 = 8.0;

impl Drawing {
    /// From the right, beside the unit; what does not fit there, beside the title, where nothing else stands.
    pub(super) fn legend(&mut self, chart: &Chart) {
        let words = |text: &str, size: f64| width(&encode(text)) * size * WIDER;
        let title = match chart.right {
            Some(_) => WIDTH,
            None => LEFT + words(&chart.title, 12.0),
        };
        let mut rows = [(27.0, LEFT + words(&self.unit(chart), 10.0)), (13.0, title)].into_iter();
        let (mut y, mut end) = rows.next().expect("there are two");
        let mut x = WIDTH - RIGHT;
        for (at, name) in chart.names().iter().enumerate().rev() {
            let wide = words(name, 10.0) + 14.0;
            let spare = if at > 0 { MORE } else { APART };
            if x - wide < end + spare {
                let fits = |(_, end): &(f64, f64)| WIDTH - RIGHT - wide > end + spare;
                let Some(next) = rows.next().filter(fits) else {
                    let more = format!("{} more", at + 1);
                    let more = Shape::Text(Ink::Text, (x, y), 10.0, Anchor::End, more);
                    return self.shapes.push(more);
                };
                ((y, end), x) = (next, WIDTH - RIGHT);
            }
            let text = Shape::Text(Ink::Text, (x, y), 10.0, Anchor::End, (*name).to_owned());
            self.shapes.push(text);
            x -= wide;
            let swatch = match chart.kind {
                Kind::Dots(_) => dot(at, (x + 4.5, y - 3.5)),
                _ => Shape::Rect(Ink::Series(at), [x, y - 6.0, 9.0, 5.0]),
            };
            self.shapes.push(swatch);
            x -= 12.0;
        }
    }
}

/// A point of the n-th group: where the colours begin again, its form is another.
pub(super) fn dot(group: usize, (x, y): (f64, f64)) -> Shape {
    let ink = Ink::Series(group);
    match group / COLOURS % 3 {
        0 => Shape::Dot(ink, [x, y, 2.2]),
        1 => Shape::Rect(ink, [x - 2.0, y - 2.0, 4.0, 4.0]),
        _ => Shape::Rect(ink, [x - 1.0, y - 3.0, 2.0, 6.0]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::chart::Group;

    fn dots(groups: usize) -> Chart {
        let group = |at: usize| Group {
            name: format!("{}000/s", at + 1),
            points: vec![(1.0, at as f64), (2.0, 1.0)],
            fit: None,
        };
        Chart {
            id: "latency-by-cpu".into(),
            title: "Latency against CPU: a point a second, by phase".into(),
            unit: "delivery p99, ms".into(),
            across: "server CPU, % of one core".into(),
            kind: Kind::Dots((0..groups).map(group).collect()),
            right: None,
            marks: Vec::new(),
        }
    }

    /// Words above the plot: where they begin and end, and in which line.
    fn above(drawing: &Drawing) -> Vec<(f64, f64, f64, String)> {
        let words = drawing.shapes.iter().filter_map(|shape| {
            let Shape::Text(_, (x, y), size, anchor, text) = shape else { return None };
            let wide = width(&encode(text)) * size;
            let from = if *anchor == Anchor::End { x - wide } else { *x };
            (*y < 30.0).then(|| (from, from + wide, *y, text.clone()))
        });
        words.collect()
    }

    #[test]
    fn ten_names_stand_over_nothing_and_forty_say_how_many_are_not_there() {
        for groups in [1, 3, 10, 40] {
            let words = above(&dots(groups).draw());
            for (at, one) in words.iter().enumerate() {
                for other in &words[at + 1..] {
                    let apart = one.1 < other.0 || other.1 < one.0;
                    assert!((one.2 - other.2).abs() > 5.0 || apart, "{one:?} over {other:?}");
                }
            }
            let named = words.iter().filter(|it| it.3.ends_with("000/s")).count();
            let missing = words.iter().find_map(|it| it.3.strip_suffix(" more")?.parse().ok());
            assert_eq!(named + missing.unwrap_or(0), groups, "{words:?}");
            assert!(groups > 10 || missing.is_none(), "{words:?}");
        }
    }

    #[test]
    fn groups_of_one_colour_have_points_of_different_forms() {
        let forms: Vec<Shape> = (0..3).map(|round| dot(round * COLOURS, (50.0, 50.0))).collect();
        assert!(forms.iter().enumerate().all(|(at, it)| !forms[at + 1..].contains(it)));
        assert!(matches!(dot(COLOURS - 1, (1.0, 1.0)), Shape::Dot(..)));
    }
}
