//! Flame graphs: how wide a function stands is how much of the CPU went through it. One of a phase, or
//! the difference of two.
//!
//! Neighbours: `profile` has the stacks; `html` puts the result into its page, `compare` into its own.
//! Plain SVG with a title for each frame: it can be hovered, searched by the browser, and printed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::html::escape;
use crate::profile::{IN_KERNEL, Stacks};

/// Across, in units of the drawing.
const WIDTH: f64 = 1_000.0;
/// Of one frame.
const ROW: f64 = 15.0;
/// Of a letter, about.
const LETTER: f64 = 5.6;
/// What is narrower is left out, at first.
const SHARE_MIN: f64 = 0.004;
/// Frames of one page, all graphs together: some 200 bytes each.
pub const FRAMES_MAX: usize = 1_800;
/// Of a difference that is not drawn.
const DEVIATIONS: f64 = 2.0;
/// Letters of a name.
const NAME_LEN_MAX: usize = 120;

/// Calls, from the outermost.
#[derive(Debug, Default)]
struct Tree {
    /// Samples that passed through it: here, and in what this is compared with.
    count: [u64; 2],
    calls: BTreeMap<String, Tree>,
}

impl Tree {
    fn add(&mut self, stacks: &Stacks, side: usize) {
        for (frames, times) in stacks.iter() {
            let mut at = &mut *self;
            at.count[side] += times;
            for frame in frames {
                at = at.calls.entry(frame.to_owned()).or_default();
                at.count[side] += times;
            }
        }
    }

    /// How many frames are at least so wide, and how deep they go.
    fn size(&self, least: f64, all: f64) -> (usize, usize) {
        let wide = self.calls.values().filter(|it| it.width() / all >= least);
        wide.map(|it| it.size(least, all))
            .fold((1, 1), |(frames, deep), (more, below)| (frames + more, deep.max(below + 1)))
    }

    /// Of a difference, the wider of the two.
    fn width(&self) -> f64 {
        self.count[0] as f64
    }
}

/// The graph of one phase. `frames` are what the page has left for it.
pub fn graph(title: &str, stacks: &Stacks, frames: usize) -> String {
    let mut tree = Tree::default();
    tree.add(stacks, 0);
    let says = format!("{title}: {} samples", tree.count[0]);
    Drawing { tree: &tree, other: None, frames }.figure(&says)
}

/// B's graph, in which red took a greater share of the CPU than in A, and blue a smaller; what chance alone would
/// do is neither.
pub fn difference(title: &str, a: &Stacks, b: &Stacks, frames: usize) -> String {
    let mut tree = Tree::default();
    tree.add(b, 0);
    tree.add(a, 1);
    let says = format!("{title}: B's {} samples against A's {}", tree.count[0], tree.count[1]);
    Drawing { tree: &tree, other: Some(tree.count[1].max(1) as f64), frames }.figure(&says)
}

struct Drawing<'a> {
    tree: &'a Tree,
    /// All samples of what it is compared with.
    other: Option<f64>,
    frames: usize,
}

impl Drawing<'_> {
    fn figure(&self, says: &str) -> String {
        let says = escape(says);
        let all = self.tree.width();
        if all == 0.0 {
            return format!("<figure class=\"flame\"><figcaption>{says}</figcaption></figure>\n");
        }
        let mut least = SHARE_MIN;
        while self.tree.size(least, all).0 > self.frames.max(1) {
            least *= 1.25;
        }
        let height = self.tree.size(least, all).1 as f64 * ROW;
        let mut svg = String::new();
        let _ = write!(
            svg,
            "<figure class=\"flame\">\n<figcaption>{says}; frames below {:.1} % are left out</figcaption>\n\
             <svg viewBox=\"0 0 {WIDTH:.0} {height:.0}\" role=\"img\" aria-label=\"{says}\">\n",
            least * 100.0
        );
        self.draw(&mut svg, ("all", self.tree), (0.0, height - ROW), least);
        svg.push_str("</svg>\n</figure>\n");
        svg
    }

    fn draw(&self, svg: &mut String, (name, tree): (&str, &Tree), (x, y): (f64, f64), least: f64) {
        let all = self.tree.width();
        let width = tree.width() / all * WIDTH;
        let (class, says) = self.paint(name, tree);
        let (short, name) = (short(name), escape(&cut(name, NAME_LEN_MAX)));
        let share = tree.width() / all * 100.0;
        let _ = write!(
            svg,
            "<g><title>{name}\n{share:.1} %{says}</title>\
             <rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"14\"/>"
        );
        let letters = (width / LETTER) as usize;
        if letters >= 5 {
            let short = escape(&cut(&short, letters - 1));
            let _ = write!(svg, "<text x=\"{:.1}\" y=\"{:.0}\">{short}</text>", x + 3.0, y + 11.0);
        }
        svg.push_str("</g>\n");
        let mut from = x;
        for (name, below) in tree.calls.iter().filter(|(_, it)| it.width() / all >= least) {
            self.draw(svg, (name, below), (from, y - ROW), least);
            from += below.width() / all * WIDTH;
        }
    }

    /// The class of a frame, and what its title says besides.
    fn paint(&self, name: &str, tree: &Tree) -> (String, String) {
        let Some(other) = self.other else {
            let class = match name {
                kernel if kernel.ends_with(IN_KERNEL) => "k",
                ours if ours.contains("throng_") => "o",
                _ => "l",
            };
            return (class.to_owned(), String::new());
        };
        let (is, was) = (tree.width() / self.tree.width(), tree.count[1] as f64 / other);
        let change = is - was;
        let chance = chance([tree.width(), tree.count[1] as f64], [self.tree.width(), other]);
        let by_chance = change.abs() <= chance;
        // Six shades; a twentieth of the whole is the deepest.
        let depth = if by_chance { 0 } else { (change.abs() * 60.0).round().min(3.0) as u32 };
        let class = match (depth, change > 0.0) {
            (0, _) => "d0".to_owned(),
            (depth, true) => format!("r{depth}"),
            (depth, false) => format!("b{depth}"),
        };
        let word = if by_chance { ", no more than chance" } else { "" };
        let (points, was) = (change * 100.0, was * 100.0);
        (class, format!(", {points:+.1} points against A's {was:.1} %{word}"))
    }
}

/// By how much two shares of so many samples differ by chance alone, 19 times in 20 no more.
fn chance(through: [f64; 2], all: [f64; 2]) -> f64 {
    let share = (through[0] + through[1]) / (all[0] + all[1]);
    DEVIATIONS * (share * (1.0 - share).max(0.0) * (1.0 / all[0] + 1.0 / all[1])).sqrt()
}

/// What stands behind the last path, but not within generics; the kernel's mark is its colour.
fn short(name: &str) -> String {
    let name = name.trim_end_matches(IN_KERNEL);
    let end = name.find(['<', '{']).filter(|at| *at > 0).unwrap_or(name.len());
    let begin = name[..end].rmatch_indices("::").nth(1).map_or(0, |(at, _)| at + 2);
    name[begin..].to_owned()
}

fn cut(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    text.chars().take(letters.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stacks(lines: &str) -> Stacks {
        Stacks::of_text(lines)
    }

    #[test]
    fn a_frame_is_as_wide_as_its_share_and_stands_on_its_caller() {
        let graph = graph("load", &stacks("shard;throng_core::apply 3\nshard;send_[k] 1\n"), 100);
        assert!(graph.contains("load: 4 samples"), "{graph}");
        let apply = "<title>throng_core::apply\n75.0 %</title>\
                     <rect class=\"o\" x=\"250.0\" y=\"0\" width=\"750.0\"";
        assert!(graph.contains(apply) && graph.contains("class=\"k\""), "{graph}");
        assert!(graph.contains("<title>shard\n100.0 %</title>"), "{graph}");
    }

    #[test]
    fn a_difference_is_red_where_b_takes_a_greater_share_and_blue_where_a_smaller() {
        let (a, b) = (stacks("t;parse 50\nt;write 50\n"), stacks("t;parse 5\nt;write 45\n"));
        let graph = difference("load", &a, &b, 100);
        let of = |name: &str| {
            let (_, rest) = graph.split_once(&format!("<title>{name}\n")).unwrap();
            rest.split("class=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
        };
        assert_eq!((of("parse"), of("write"), of("all")), ("b3".into(), "r3".into(), "d0".into()));
        assert!(graph.contains("90.0 %, +40.0 points against"), "{graph}");
        // Of few samples, the same shares say nothing.
        let (a, b) = (stacks("t;parse 2\nt;write 2\n"), stacks("t;parse 1\nt;write 4\n"));
        let few = difference("load", &a, &b, 100);
        assert!(!few.contains("class=\"r") && !few.contains("class=\"b"), "{few}");
        assert!(
            few.contains("80.0 %, +30.0 points against A's 50.0 %, no more than chance"),
            "{few}"
        );
    }

    #[test]
    fn what_a_name_holds_cannot_leave_its_place_and_a_page_is_no_longer_than_it_may_be() {
        let mut many = Stacks::default();
        for number in 0..5_000 {
            many.add(format!("t;f{};<script>alert({number})</script>", number % 200), 1);
        }
        let graph = graph("</title><b>", &many, 100);
        assert!(!graph.contains("<script>") && !graph.contains("</title><b>"), "{graph}");
        assert!(graph.matches("<rect").count() <= 100, "{}", graph.matches("<rect").count());
        assert!(graph.len() < 40_000, "{}", graph.len());
    }

    #[test]
    fn a_name_is_told_by_its_end() {
        for (name, wanted) in [
            ("throng_server::outbox::Outbox::deliver", "Outbox::deliver"),
            ("__send", "__send"),
            ("tcp_ack_[k]", "tcp_ack"),
            ("a::b::c<x::y::z>", "b::c<x::y::z>"),
        ] {
            assert_eq!(short(name), wanted);
        }
    }
}
