//! The flame graphs of a comparison: B's, coloured by where its CPU went otherwise than A's.
//!
//! Neighbours: `profile` has what each run's folder keeps, `report::flame` draws. All runs of a side are
//! one profile: a difference between two single runs is mostly chance.

use std::collections::BTreeMap;
use std::path::Path;

use super::Comparison;
use crate::profile::{self, Stacks};
use crate::report::flame;
use crate::report::html::{STYLE, escape};

/// Phases in the order in which the first run had them, each with both sides' stacks.
#[derive(Debug, Default)]
struct Sides {
    order: Vec<String>,
    phases: BTreeMap<String, [Stacks; 2]>,
}

impl Sides {
    fn add(&mut self, run: &Path, side: usize) {
        let Some((index, stacks)) = profile::read(run) else { return };
        for (it, stacks) in index.phases.iter().zip(&stacks) {
            if !self.phases.contains_key(&it.phase) {
                self.order.push(it.phase.clone());
            }
            self.phases.entry(it.phase.clone()).or_default()[side].extend(stacks);
        }
    }
}

/// A page that needs nothing else; none where the runs have no stacks.
pub fn page(comparison: &Comparison) -> Option<String> {
    let mut sides = Sides::default();
    for [a, b] in &comparison.runs {
        sides.add(a, 0);
        sides.add(b, 1);
    }
    let both = |name: &&String| sides.phases[*name].iter().all(|it| it.samples() > 0);
    let order: Vec<&String> = sides.order.iter().filter(both).collect();
    let frames = flame::FRAMES_MAX / order.len().max(1);
    let graph = |name: &&String| {
        let [a, b] = &sides.phases[*name];
        flame::difference(name, a, b, frames)
    };
    let graphs: String = order.iter().map(graph).collect();
    if graphs.is_empty() {
        return None;
    }
    let sentence = escape(&comparison.sentence());
    let [a, b] = comparison.sides.each_ref().map(|it| escape(it));
    Some(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Where B's CPU went otherwise than A's</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <h1>{sentence}</h1>\n<p>A: {a}<br>B: {b}</p>\n\
         <p>B's stacks, as wide as their share of B's CPU. \
         <span class=\"flame r3\">red</span> took a greater share of B's CPU than of A's, \
         <span class=\"flame b3\">blue</span> a smaller one (what chance alone would do, with so few \
         samples, is neither): of a whole that may itself be larger or \
         smaller, which is what the sentence above says.</p>\n{graphs}</body>\n</html>\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::Metric;

    fn run(folder: &Path, name: &str, lines: &str) -> std::path::PathBuf {
        let profile = folder.join(name).join("profile");
        std::fs::create_dir_all(&profile).unwrap();
        let index = r#"{"hertz":97,"phases":[{"phase":"calm","file":"01.folded","samples":1}]}"#;
        std::fs::write(profile.join("index.json"), index).unwrap();
        std::fs::write(profile.join("01.folded"), lines).unwrap();
        folder.join(name)
    }

    #[test]
    fn runs_with_stacks_have_a_page_and_runs_without_have_none() {
        let folder = tempfile::tempdir().unwrap();
        let a = run(folder.path(), "a", "t;parse 3\n");
        let b = run(folder.path(), "b", "t;parse 1\nt;write 2\n");
        let of = |runs| Comparison {
            cut: None,
            unlike: Vec::new(),
            not_alone: None,
            by: Metric::Cpu,
            sides: ["json".into(), "<protobuf>".into()],
            metrics: vec![(Metric::Cpu, crate::stats::paired(&[(1.0, 2.0)], 1).unwrap())],
            runs,
        };
        let page = page(&of(vec![[a.clone(), b]])).unwrap();
        for text in
            ["<title>write\n66.7 %, +66.7 points", "calm: B&#39;s 3 samples", "&lt;protobuf&gt;"]
        {
            assert!(page.contains(text), "no {text} in {page}");
        }
        let none = folder.path().join("none");
        assert!(super::page(&of(vec![[a, none]])).is_none());
    }
}
