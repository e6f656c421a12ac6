//! The figures of `/metrics` at one moment, those with a size told apart by it.
//!
//! Neighbours: `record` asks for them again and again and looks at what has grown.

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// What the server tells, by name and labels, as it writes them; its own prefix left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures(BTreeMap<String, f64>);

/// A number for each size that is told apart.
pub type Sizes = BTreeMap<Size, f64>;

/// At most so much: bytes, or listeners.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size(pub f64);

impl Eq for Size {}

impl PartialOrd for Size {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Size {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Size {
    /// Of a kind of room.
    pub fn name(self) -> String {
        match self.0 {
            0.0 => "unheard".into(),
            f64::INFINITY => "all-larger".into(),
            most => format!("up-to-{most:.0}"),
        }
    }
}

impl Figures {
    /// From the text form.
    pub fn of_text(text: &str) -> Self {
        let number = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            let name = name.strip_prefix("throng_")?.to_owned();
            Some((name, value.parse().ok()?))
        };
        Self(text.lines().filter_map(number).collect())
    }

    /// One of them; zero where the server has none.
    pub fn of(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// Messages committed so far.
    pub fn sends(&self) -> f64 {
        self.of("sends_total")
    }

    /// Whether there is one of this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.keys().any(|key| key.starts_with(name))
    }

    /// Those of this name by their one label, a size.
    pub fn sizes(&self, name: &str) -> Sizes {
        let size = |(key, value): (&String, &f64)| {
            let label = key.strip_prefix(name)?.strip_prefix('{')?.strip_suffix("\"}")?;
            let (_, most) = label.split_once("=\"")?;
            let most = if most == "+Inf" { f64::INFINITY } else { most.parse().ok()? };
            Some((Size(most), *value))
        };
        self.0.iter().filter_map(size).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_by_their_label_in_their_order() {
        let figures = Figures::of_text(
            "# TYPE throng_rooms_heard gauge\nthrong_rooms_heard{listeners_max=\"+Inf\"} 1\n\
             throng_rooms_heard{listeners_max=\"16\"} 3\nthrong_rooms_heard{listeners_max=\"2\"} 5\n\
             throng_rooms_heard_listeners{listeners_max=\"16\"} 30\nthrong_sends_total 7\n",
        );
        let sizes: Vec<_> = figures.sizes("rooms_heard").into_iter().collect();
        assert_eq!(sizes, [(Size(2.0), 5.0), (Size(16.0), 3.0), (Size(f64::INFINITY), 1.0)]);
        assert_eq!(figures.sizes("rooms_heard_listeners").len(), 1);
        assert_eq!(figures.sends().to_bits(), 7.0_f64.to_bits());
        assert!(figures.has("rooms_heard") && !figures.has("rooms_unheard"));
        assert_eq!(Size(16.0).name(), "up-to-16");
    }
}
