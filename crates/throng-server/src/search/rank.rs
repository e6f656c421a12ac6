//! Which hit comes first. What is counted is in the texts of the hits alone: how rare a word is in
//! rooms that the asker does not see must not move anything.
//!
//! Neighbours: `haul.rs` gives candidates, `mod.rs` shows them in this order.

use throng_core::Timestamp;

use super::haul::Candidate;
use super::query::Query;

/// A word that stands there twice counts less than two words (BM25's k₁)…
const SATURATION: f64 = 1.2;
/// …and a long text is not better for being long (its b).
const LENGTH: f64 = 0.75;
/// What being new is worth at most, against one word…
const NEWNESS: f64 = 0.5;
/// …and after how long that is half of it.
const HALF_MS: f64 = 30.0 * 24.0 * 3600.0 * 1000.0;

/// Best first; among equals, and with `newest` throughout, the newest first.
pub fn order(query: &Query, candidates: Vec<Candidate>, newest: bool) -> Vec<Candidate> {
    let words: usize = candidates.iter().map(|it| it.text.split(' ').count()).sum();
    let mean = words as f64 / candidates.len().max(1) as f64;
    let last = candidates.iter().map(|it| it.at).max().unwrap_or_default();
    let scored = candidates.into_iter().map(|candidate| {
        let score = if newest { 0.0 } else { score(query, &candidate, mean, last) };
        (score, candidate)
    });
    let mut scored: Vec<(f64, Candidate)> = scored.collect();
    scored.sort_by(|(one, a), (other, b)| {
        other.total_cmp(one).then((b.at, b.room, b.seq).cmp(&(a.at, a.room, a.seq)))
    });
    scored.into_iter().map(|(_, candidate)| candidate).collect()
}

fn score(query: &Query, candidate: &Candidate, mean: f64, last: Timestamp) -> f64 {
    let tokens: Vec<&str> = candidate.text.split(' ').collect();
    let length = 1.0 - LENGTH + LENGTH * tokens.len() as f64 / mean.max(1.0);
    let one = |times: usize| {
        let times = times as f64;
        times * (SATURATION + 1.0) / (times + SATURATION * length)
    };
    let words: f64 = query.wanted().iter().map(|term| one(term.count(&tokens))).sum();
    let age = last.0.saturating_sub(candidate.at.0) as f64;
    words + NEWNESS * HALF_MS / (HALF_MS + age)
}

#[cfg(test)]
mod tests {
    use throng_core::{RoomId, Seq};

    use super::*;

    fn ordered(query: &str, texts: &[(&str, u64)], newest: bool) -> Vec<u64> {
        let candidate = |(i, (text, at)): (usize, &(&str, u64))| Candidate {
            room: RoomId::new(1).unwrap(),
            seq: Seq(i as u64 + 1),
            at: Timestamp(*at),
            text: (*text).to_owned(),
        };
        let candidates = texts.iter().enumerate().map(candidate).collect();
        let ordered = order(&Query::parse(query).unwrap(), candidates, newest);
        ordered.into_iter().map(|candidate| candidate.seq.0).collect()
    }

    #[test]
    fn a_text_that_says_it_more_often_or_says_little_else_comes_first() {
        let texts = [("tea with a lot of other things in it", 5), ("tea tea", 5), ("tea", 5)];
        assert_eq!(ordered("tea", &texts, false), [2, 3, 1]);
    }

    #[test]
    fn among_equals_the_newer_comes_first_and_by_time_if_asked() {
        assert_eq!(ordered("tea", &[("tea", 1), ("tea", 3), ("tea", 2)], false), [2, 3, 1]);
        assert_eq!(ordered("tea", &[("tea tea tea", 1), ("tea and cake", 2)], true), [2, 1]);
    }
}
