//! A chart: what is drawn, and how it is laid out in lines, dots, boxes and words.
//!
//! Neighbours: `charts` makes them of a run; `svg` and `pdf` put the same drawing on a page. Nothing
//! here knows either.

mod legend;

use super::words::number;
use legend::dot;

/// Of the drawing, in points.
pub const WIDTH: f64 = 720.0;
/// Letters of a page are those of the reader's machine: this much wider than Helvetica's at most.
const WIDER: f64 = 1.2;
/// Of the drawing, in points.
pub const HEIGHT: f64 = 236.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 12.0;
/// Where the right axis has numbers too.
const RIGHT_NUMBERED: f64 = 52.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 34.0;
/// More points than this are not seen on a page.
pub const POINTS_MAX: usize = 600;
/// Ratio of the largest to the smallest value beyond which a scale of equal factors says more.
const LOG_FROM: f64 = 40.0;
/// Names of phases that fit beside each other.
const MARKS_MAX: usize = 24;
/// Bars whose names fit beside each other.
const NAMES_MAX: usize = 14;
/// Of a bar, where there are few.
const BAR_WIDTH_MAX: f64 = 48.0;
/// Of lines and groups; then they begin again.
pub const COLOURS: usize = 6;
/// Smallest of what is drawn on a scale of equal factors.
const LOG_MIN: f64 = 1e-3;

/// What goes into one picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// Its name in the page.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// What the upright axis counts.
    pub unit: String,
    /// What the other axis counts.
    pub across: String,
    /// The content.
    pub kind: Kind,
    /// What is counted by an axis of its own, on the right: lines over the same axis across.
    pub right: Option<Right>,
    /// Where something begins: its name and its place across.
    pub marks: Vec<(String, f64)>,
}

/// Lines with an upright axis of their own.
#[derive(Clone, Debug, PartialEq)]
pub struct Right {
    /// What it counts.
    pub unit: String,
    /// The lines.
    pub series: Vec<Series>,
}

/// Kinds of content.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Values over a common axis.
    Lines {
        /// The common axis, rising.
        x: Vec<f64>,
        /// The lines.
        series: Vec<Series>,
    },
    /// Points by themselves.
    Dots(Vec<Group>),
    /// Ranges in bins.
    Boxes(Vec<BoxOf>),
    /// Bars of parts that add up, beside each other.
    Stacks {
        /// Of the parts, from below.
        names: Vec<String>,
        /// In their order across.
        bars: Vec<Bar>,
    },
}

/// One bar of parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// What stands below it.
    pub name: String,
    /// How high each part is.
    pub parts: Vec<f64>,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// A value for each place; none where there was none.
    pub values: Vec<Option<f64>>,
}

/// Points of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Across and up.
    pub points: Vec<(f64, f64)>,
    /// The ends of the straight line that is nearest to them, where it says something.
    pub fit: Option<[(f64, f64); 2]>,
}

/// Smallest, quartiles and largest of one bin.
#[derive(Clone, Debug, PartialEq)]
pub struct BoxOf {
    /// Of the bin, across.
    pub from: f64,
    /// Of the bin, across.
    pub to: f64,
    /// How many are in it.
    pub count: usize,
    /// Smallest, lower quartile, median, upper quartile, largest.
    pub at: [f64; 5],
}

/// What is drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// Behind everything.
    Grid,
    /// Titles.
    Strong,
    /// Numbers and names.
    Text,
    /// The n-th colour.
    Series(usize),
    /// Where a phase begins.
    Mark,
}

/// Where a text is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// At its beginning.
    Start,
    /// In its middle.
    Middle,
    /// At its end.
    End,
}

/// One thing on the page. The origin is above left.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A broken line through all the points.
    Path(Ink, Vec<(f64, f64)>),
    /// A filled rectangle: left, top, width, height.
    Rect(Ink, [f64; 4]),
    /// A filled circle: centre and radius.
    Dot(Ink, [f64; 3]),
    /// Words: place of their baseline, how large, held where.
    Text(Ink, (f64, f64), f64, Anchor, String),
}

/// A chart as shapes, and how numbers become places.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    /// In the order in which they are drawn.
    pub shapes: Vec<Shape>,
    /// Left and right end of the plot and the values there.
    pub across: Scale,
    /// Bottom and top of the plot and the values there.
    pub up: Scale,
    /// The same of the right axis.
    pub right: Option<Scale>,
}

/// From values to places.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Equal factors instead of equal steps.
    pub log: bool,
    /// The values at the two ends.
    pub values: [f64; 2],
    /// The places of the two ends.
    pub places: [f64; 2],
}

impl Scale {
    /// Where a value is.
    pub fn at(&self, value: f64) -> f64 {
        let of = |value: f64| if self.log { value.max(self.values[0]).ln() } else { value };
        let [low, high] = self.values.map(of);
        let share = if high > low { (of(value) - low) / (high - low) } else { 0.0 };
        self.places[0] + share * (self.places[1] - self.places[0])
    }

    /// What stands beside a tick. On a scale of equal factors its lowest place is also that of all that is less, as
    /// of 0.
    fn says(&self, tick: f64, heights: &[f64]) -> String {
        let lowest = self.log && tick <= self.values[0] * 1.000_1;
        let less = lowest && heights.iter().any(|it| *it < self.values[0]);
        if less { format!("0\u{2013}{}", number(tick)) } else { number(tick) }
    }

    /// Round values between the two ends.
    pub fn ticks(&self) -> Vec<f64> {
        let [low, high] = self.values;
        if self.log {
            let mut ticks = Vec::new();
            let mut tick = 10_f64.powf(low.log10().round());
            while tick <= high * 1.000_1 {
                ticks.push(tick);
                tick *= 10.0;
            }
            return ticks;
        }
        let step = step_of(high - low, 5.0);
        let first = (low / step).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        (first..=last).map(|at| at as f64 * step).collect()
    }
}

/// 1, 2 or 5 times a power of ten, of which about so many are in the span.
fn step_of(span: f64, wanted: f64) -> f64 {
    let rough = (span / wanted).max(1e-9);
    let power = 10_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|it| it * power >= rough).unwrap_or(10.0);
    factor * power
}

impl Chart {
    /// All values on the upright axis.
    fn heights(&self) -> Vec<f64> {
        match &self.kind {
            Kind::Lines { series, .. } => heights_of(series),
            Kind::Dots(groups) => {
                groups.iter().flat_map(|it| it.points.iter().map(|p| p.1)).collect()
            }
            Kind::Boxes(boxes) => boxes.iter().flat_map(|it| it.at).collect(),
            Kind::Stacks { bars, .. } => bars.iter().map(|it| it.parts.iter().sum()).collect(),
        }
    }

    fn ends_across(&self) -> [f64; 2] {
        let ends = |values: &mut dyn Iterator<Item = f64>| {
            values.fold([f64::MAX, f64::MIN], |[low, high], it| [low.min(it), high.max(it)])
        };
        let [low, high] = match &self.kind {
            Kind::Lines { x, .. } => ends(&mut x.iter().copied()),
            Kind::Dots(groups) => {
                ends(&mut groups.iter().flat_map(|it| it.points.iter().map(|p| p.0)))
            }
            Kind::Boxes(boxes) => ends(&mut boxes.iter().flat_map(|it| [it.from, it.to])),
            Kind::Stacks { bars, .. } => return [0.0, bars.len().max(1) as f64],
        };
        let over_time = matches!(self.kind, Kind::Lines { .. });
        match (low <= high, over_time) {
            (false, _) => [0.0, 1.0],
            (true, true) => [low.min(0.0), high.max(1.0)],
            (true, false) => [0.0, if high > 0.0 { high * 1.02 } else { 1.0 }],
        }
    }

    /// Whether there is anything to see.
    pub fn is_empty(&self) -> bool {
        let right = self.right.iter().flat_map(|it| heights_of(&it.series));
        self.heights().into_iter().chain(right).all(|it| it <= 0.0)
    }

    fn up(heights: &[f64]) -> Scale {
        let places = [HEIGHT - BOTTOM, TOP];
        let high = high_of(heights);
        let low = heights.iter().copied().filter(|it| *it > LOG_MIN).fold(f64::MAX, f64::min);
        if high > low && high / low > LOG_FROM {
            let whole = |value: f64, round: fn(f64) -> f64| 10_f64.powf(round(value.log10()));
            return Scale {
                log: true,
                values: [whole(low, f64::floor), whole(high, f64::ceil)],
                places,
            };
        }
        Self::even(heights)
    }

    /// Equal steps from 0.
    fn even(heights: &[f64]) -> Scale {
        let high = high_of(heights);
        let step = step_of(high.max(1e-6), 5.0);
        let values = [0.0, (high / step - 1e-9).ceil().max(1.0) * step];
        Scale { log: false, values, places: [HEIGHT - BOTTOM, TOP] }
    }

    /// Lays it out.
    pub fn draw(&self) -> Drawing {
        let up = match self.kind {
            // Parts are compared by their lengths: only equal steps say that.
            Kind::Stacks { .. } => Self::even(&self.heights()),
            _ => Self::up(&self.heights()),
        };
        let right = self.right.as_ref().map(|it| Self::up(&heights_of(&it.series)));
        let end = WIDTH - if right.is_some() { RIGHT_NUMBERED } else { RIGHT };
        let across = Scale { log: false, values: self.ends_across(), places: [LEFT, end] };
        let mut drawing = Drawing { shapes: Vec::new(), across, up, right };
        drawing.frame(self);
        drawing.marks(&self.marks);
        match &self.kind {
            Kind::Lines { x, series } => {
                drawing.lines(x, series, &up, 0);
                if let (Some(right), Some(scale)) = (&self.right, &right) {
                    drawing.lines(x, &right.series, scale, series.len());
                }
            }
            Kind::Dots(groups) => drawing.dots(groups),
            Kind::Boxes(boxes) => drawing.boxes(boxes),
            Kind::Stacks { bars, .. } => drawing.stacks(bars),
        }
        drawing.legend(self);
        drawing
    }

    /// Of the lines or groups.
    pub fn names(&self) -> Vec<&str> {
        match &self.kind {
            Kind::Lines { series, .. } => {
                let right = self.right.iter().flat_map(|it| &it.series);
                series.iter().chain(right).map(|it| it.name.as_str()).collect()
            }
            Kind::Dots(groups) => groups.iter().map(|it| it.name.as_str()).collect(),
            Kind::Boxes(_) => Vec::new(),
            Kind::Stacks { names, .. } => names.iter().map(String::as_str).collect(),
        }
    }
}

fn high_of(heights: &[f64]) -> f64 {
    heights.iter().copied().fold(0.0, f64::max)
}

fn heights_of(series: &[Series]) -> Vec<f64> {
    series.iter().flat_map(|it| it.values.iter().flatten().copied()).collect()
}

impl Drawing {
    fn frame(&mut self, chart: &Chart) {
        let text = |at, size, anchor, text: String| Shape::Text(Ink::Text, at, size, anchor, text);
        let heights = chart.heights();
        for tick in self.up.ticks() {
            let y = self.up.at(tick);
            let end = self.across.places[1];
            self.shapes.push(Shape::Path(Ink::Grid, vec![(LEFT, y), (end, y)]));
            let said = self.up.says(tick, &heights);
            self.shapes.push(text((LEFT - 6.0, y + 3.5), 10.0, Anchor::End, said));
        }
        let numbered = !matches!(chart.kind, Kind::Stacks { .. });
        for tick in self.across.ticks().into_iter().filter(|_| numbered) {
            let x = self.across.at(tick);
            let base = HEIGHT - BOTTOM;
            self.shapes.push(Shape::Path(Ink::Grid, vec![(x, base), (x, base + 4.0)]));
            self.shapes.push(text((x, base + 15.0), 10.0, Anchor::Middle, number(tick)));
        }
        if let (Some(right), Some(scale)) = (&chart.right, self.right) {
            let end = self.across.places[1];
            let heights = heights_of(&right.series);
            for tick in scale.ticks() {
                let at = (end + 6.0, scale.at(tick) + 3.5);
                self.shapes.push(text(at, 10.0, Anchor::Start, scale.says(tick, &heights)));
            }
            let log = if scale.log { ", logarithmic" } else { "" };
            let unit = format!("{}{log} (right)", right.unit);
            self.shapes.push(text((WIDTH - 4.0, 13.0), 10.0, Anchor::End, unit));
        }
        let title = (LEFT, 13.0);
        self.shapes.push(Shape::Text(Ink::Strong, title, 12.0, Anchor::Start, chart.title.clone()));
        self.shapes.push(text((LEFT, 27.0), 10.0, Anchor::Start, self.unit(chart)));
        let middle = (f64::midpoint(LEFT, self.across.places[1]), HEIGHT - 4.0);
        self.shapes.push(text(middle, 10.0, Anchor::Middle, chart.across.clone()));
    }

    fn unit(&self, chart: &Chart) -> String {
        let scale = if self.up.log { ", logarithmic" } else { "" };
        format!("{}{scale}", chart.unit)
    }

    fn marks(&mut self, marks: &[(String, f64)]) {
        for (name, x) in marks.iter().take(MARKS_MAX) {
            let x = self.across.at(*x);
            self.shapes.push(Shape::Path(Ink::Mark, vec![(x, TOP), (x, HEIGHT - BOTTOM)]));
            // What would stand beyond the plot stands before its line, below the others.
            let fits = x + 3.0 + name.chars().count() as f64 * 5.0 <= self.across.places[1];
            let (at, anchor) = if fits {
                ((x + 3.0, TOP + 9.0), Anchor::Start)
            } else {
                ((x - 3.0, TOP + 19.0), Anchor::End)
            };
            self.shapes.push(Shape::Text(Ink::Mark, at, 9.0, anchor, name.clone()));
        }
    }

    fn lines(&mut self, x: &[f64], series: &[Series], up: &Scale, first: usize) {
        for (at, one) in series.iter().enumerate() {
            let ink = Ink::Series(first + at);
            let mut path: Vec<(f64, f64)> = Vec::new();
            let mut paths = Vec::new();
            for (x, value) in x.iter().zip(&one.values) {
                match value {
                    Some(value) => path.push((self.across.at(*x), up.at(*value))),
                    None => paths.push(std::mem::take(&mut path)),
                }
            }
            paths.push(path);
            for path in paths {
                match path.as_slice() {
                    [] => {}
                    // A second between two silent ones is seen all the same.
                    [(x, y)] => self.shapes.push(Shape::Dot(ink, [*x, *y, 1.5])),
                    _ => self.shapes.push(Shape::Path(ink, path)),
                }
            }
        }
    }

    fn dots(&mut self, groups: &[Group]) {
        for (at, group) in groups.iter().enumerate() {
            for (x, y) in &group.points {
                self.shapes.push(dot(at, (self.across.at(*x), self.up.at(*y))));
            }
            if let Some(ends) = group.fit {
                let path = ends.map(|(x, y)| (self.across.at(x), self.up.at(y)));
                self.shapes.push(Shape::Path(Ink::Series(at), path.to_vec()));
            }
        }
    }

    fn stacks(&mut self, bars: &[Bar]) {
        let every = bars.len().div_ceil(NAMES_MAX).max(1);
        let base = HEIGHT - BOTTOM;
        for (at, bar) in bars.iter().enumerate() {
            let (left, right) = (self.across.at(at as f64), self.across.at(at as f64 + 1.0));
            let wide = ((right - left) * 0.8).min(BAR_WIDTH_MAX);
            let middle = f64::midpoint(left, right);
            let mut below = 0.0;
            for (part, height) in bar.parts.iter().enumerate() {
                let (foot, top) = (self.up.at(below), self.up.at(below + height.max(0.0)));
                below += height.max(0.0);
                let place = [middle - wide / 2.0, top, wide, foot - top];
                if place[3] > 0.0 {
                    self.shapes.push(Shape::Rect(Ink::Series(part), place));
                }
            }
            if at % every == 0 {
                let below = (middle, base + 15.0);
                let name = bar.name.clone();
                self.shapes.push(Shape::Text(Ink::Text, below, 10.0, Anchor::Middle, name));
            }
        }
    }

    fn boxes(&mut self, boxes: &[BoxOf]) {
        for one in boxes {
            let (from, to) = (self.across.at(one.from), self.across.at(one.to));
            let gap = (to - from) * 0.15;
            let (left, right, middle) = (from + gap, to - gap, f64::midpoint(from, to));
            let [low, lower, median, upper, high] = one.at.map(|it| self.up.at(it));
            let ink = Ink::Series(0);
            self.shapes.push(Shape::Path(ink, vec![(middle, low), (middle, lower)]));
            self.shapes.push(Shape::Path(ink, vec![(middle, upper), (middle, high)]));
            let corners =
                [(left, lower), (right, lower), (right, upper), (left, upper), (left, lower)];
            self.shapes.push(Shape::Path(ink, corners.to_vec()));
            self.shapes.push(Shape::Path(Ink::Series(1), vec![(left, median), (right, median)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(values: Vec<Option<f64>>) -> Chart {
        let x = (0..values.len()).map(|at| at as f64).collect();
        let series = vec![Series { name: "p50".into(), values }];
        Chart {
            id: "ack".into(),
            title: "Ack".into(),
            unit: "ms".into(),
            across: "seconds".into(),
            kind: Kind::Lines { x, series },
            right: None,
            marks: Vec::new(),
        }
    }

    #[test]
    fn ticks_are_round_and_the_highest_value_is_inside() {
        let drawing = lines(vec![Some(3.0), Some(87.0)]).draw();
        assert_eq!(drawing.up.ticks(), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert!(drawing.up.at(87.0) > TOP);
        assert!((drawing.up.at(0.0) - (HEIGHT - BOTTOM)).abs() < 1e-9);
    }

    #[test]
    fn values_that_are_factors_apart_are_drawn_by_factors() {
        let drawing = lines(vec![Some(0.4), Some(900.0)]).draw();
        assert!(drawing.up.log);
        assert!(drawing.up.values[0] < 0.11 && drawing.up.values[1] > 999.0);
        assert_eq!(drawing.up.ticks().len(), 5);
        let equal = drawing.up.at(1.0) - drawing.up.at(10.0);
        assert!((equal - (drawing.up.at(10.0) - drawing.up.at(100.0))).abs() < 1e-9);
    }

    #[test]
    fn where_nothing_is_drawn_as_the_least_the_scale_says_so() {
        let lowest = |values: &[f64]| {
            let drawing = lines(values.iter().copied().map(Some).collect()).draw();
            let tick = drawing.shapes.iter().find_map(|shape| match shape {
                Shape::Text(_, _, _, Anchor::End, text) => Some(text.clone()),
                _ => None,
            });
            tick.unwrap()
        };
        assert_eq!(lowest(&[20.0, 9_000.0]), "10");
        assert_eq!(lowest(&[20.0, 0.0, 9_000.0]), "0\u{2013}10");
        assert_eq!(lowest(&[0.0, 9.0]), "0");
    }

    #[test]
    fn a_silent_second_breaks_the_line() {
        let values = vec![Some(1.0), Some(2.0), None, Some(3.0), None];
        let shapes = lines(values).draw().shapes;
        let paths: Vec<usize> = shapes
            .iter()
            .filter_map(|it| match it {
                Shape::Path(Ink::Series(0), points) => Some(points.len()),
                _ => None,
            })
            .collect();
        let dots = shapes.iter().filter(|it| matches!(it, Shape::Dot(..))).count();
        assert_eq!((paths, dots), (vec![2], 1));
    }

    #[test]
    fn parts_of_a_bar_stand_on_each_other_by_equal_steps() {
        let bar = |parts: &[f64]| Bar { name: "1 s".into(), parts: parts.to_vec() };
        let mut chart = lines(Vec::new());
        // Far apart: other charts would go by factors.
        chart.kind = Kind::Stacks {
            names: vec!["commit".into(), "rest".into()],
            bars: vec![bar(&[60.0, 40.0]), bar(&[0.0, 1.0])],
        };
        let drawing = chart.draw();
        assert!(!drawing.up.log && !chart.is_empty());
        let bars: Vec<(usize, [f64; 4])> = drawing
            .shapes
            .iter()
            .filter_map(|it| match it {
                // Those of the legend lie above the plot.
                Shape::Rect(Ink::Series(part), place) if place[1] >= TOP => Some((*part, *place)),
                _ => None,
            })
            .collect();
        let [(0, lower), (1, upper), (1, low)] = bars[..] else { panic!("{bars:?}") };
        assert!((upper[1] + upper[3] - lower[1]).abs() < 1e-9, "one stands on the other");
        assert!((lower[1] + lower[3] - (HEIGHT - BOTTOM)).abs() < 1e-9, "which stands on the axis");
        assert!(
            (lower[3] / upper[3] - 1.5).abs() < 1e-9 && (upper[3] / low[3] - 40.0).abs() < 1e-6
        );
        assert!(lower[0] + lower[2] < low[0], "the next one is beside it");
        assert_eq!(chart.names(), ["commit", "rest"]);
    }

    #[test]
    fn nothing_but_zeros_is_nothing_to_see() {
        assert!(lines(vec![Some(0.0), None]).is_empty());
        assert!(!lines(vec![Some(0.0), Some(0.1)]).is_empty());
        // And still it can be drawn.
        assert!(!lines(Vec::new()).draw().shapes.is_empty());
    }
}
