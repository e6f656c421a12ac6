//! How far back `origin_id`s are remembered: the newest of `origin_window_ms` or
//! `origin_window_posts`, whichever reaches less far.
//!
//! Time is cut into grains and the posts of each grain are counted, so that one number, the cutoff,
//! says of any post whether it still counts. Neighbours: `shard` moves it, `origins` obeys it. It
//! never forgets early: what it says is gone is outside of the window by at most a grain.

use alloc::collections::VecDeque;

use crate::id::Timestamp;
use crate::limits::Limits;

/// A slice of time, numbered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Grain(u64);

impl Grain {
    /// What of it a remembered post keeps.
    pub(crate) fn age(self) -> u16 {
        self.0 as u16
    }

    /// Whether a post of this age is of this grain or a later one. An age wraps after 65,536 grains,
    /// eight windows; one that old and not yet swept is settled by its event's time.
    pub(crate) fn reaches(self, age: u16) -> bool {
        age.wrapping_sub(self.0 as u16) <= u16::MAX / 2
    }
}

/// A window is cut into this many grains: of 74 s at seven days.
const GRAINS: u64 = 8_192;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    /// Posts remembered in this grain.
    posts: u32,
    /// Posts of the whole server when the grain was last added to; 0 where that is not known.
    total: u64,
}

/// The counts of the grains within the window. At most `GRAINS + 2` of them.
#[derive(Debug)]
pub(crate) struct Window {
    grain_ms: u64,
    /// The window's length in grains.
    span: u64,
    posts_max: u64,
    /// The oldest grain that counts; never goes back.
    cutoff: Grain,
    /// The grain of `counts[0]`, not below `cutoff`.
    first: u64,
    counts: VecDeque<Count>,
    /// Sum of `counts`.
    posts: u64,
}

impl Window {
    pub(crate) fn new(limits: &Limits) -> Self {
        let grain_ms = limits.origin_window_ms.div_ceil(GRAINS).max(1);
        Self {
            grain_ms,
            span: limits.origin_window_ms.div_ceil(grain_ms),
            posts_max: limits.origin_window_posts.max(1),
            cutoff: Grain(0),
            first: 0,
            counts: VecDeque::new(),
            posts: 0,
        }
    }

    pub(crate) fn grain(&self, at: Timestamp) -> Grain {
        Grain(at.0 / self.grain_ms)
    }

    pub(crate) fn cutoff(&self) -> Grain {
        self.cutoff
    }

    /// Posts that are remembered and count.
    pub(crate) fn posts(&self) -> u64 {
        self.posts
    }

    /// When a grain begins.
    pub(crate) fn begins(&self, grain: Grain) -> Timestamp {
        Timestamp(grain.0 * self.grain_ms)
    }

    /// What the cutoff is at this time, when the server has had `total` posts (0: not known).
    pub(crate) fn cutoff_at(&self, at: Timestamp, total: u64) -> Grain {
        let mut cutoff = self.grain(at).0.saturating_sub(self.span).max(self.cutoff.0);
        let mut newer = self.posts;
        for (grain, count) in (self.first..).zip(&self.counts).take(self.counts.len().max(1) - 1) {
            newer -= u64::from(count.posts);
            let later = if count.total == 0 { 0 } else { total.saturating_sub(count.total) };
            if grain >= cutoff {
                if newer < self.posts_max && later < self.posts_max {
                    break;
                }
                cutoff = grain + 1;
            }
        }
        Grain(cutoff)
    }

    /// Time has passed, and the server has had `total` posts.
    pub(crate) fn advance(&mut self, at: Timestamp, total: u64) {
        self.cut_before(self.cutoff_at(at, total).0);
    }

    /// Counts a post; false when it is not within the window.
    pub(crate) fn add(&mut self, grain: Grain, total: u64) -> bool {
        if self.counts.is_empty() {
            self.first = grain.0.max(self.cutoff.0);
        }
        let newest = (self.first + self.counts.len() as u64).saturating_sub(1).max(grain.0);
        self.cut_before(newest.saturating_sub(self.span));
        if grain < self.cutoff {
            return false;
        }
        while grain.0 < self.first {
            self.counts.push_front(Count::default());
            self.first -= 1;
        }
        while self.first + self.counts.len() as u64 <= grain.0 {
            self.counts.push_back(Count::default());
        }
        let count = &mut self.counts[(grain.0 - self.first) as usize];
        count.posts += 1;
        count.total = count.total.max(total);
        self.posts += 1;
        assert!(self.counts.len() as u64 <= self.span + 2, "the window has its length");
        true
    }

    /// A post that was counted did not come to be.
    pub(crate) fn remove(&mut self, grain: Grain) {
        if grain >= self.cutoff {
            let count = &mut self.counts[(grain.0 - self.first) as usize];
            count.posts -= 1;
            self.posts -= 1;
        }
    }

    fn cut_before(&mut self, cutoff: u64) {
        if cutoff <= self.cutoff.0 {
            return;
        }
        self.cutoff = Grain(cutoff);
        while self.first < cutoff {
            let Some(count) = self.counts.pop_front() else {
                self.first = cutoff;
                self.counts = VecDeque::new();
                return;
            };
            self.posts -= u64::from(count.posts);
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(ms: u64, posts: u64) -> Window {
        let limits =
            Limits { origin_window_ms: ms, origin_window_posts: posts, ..Limits::default() };
        Window::new(&limits)
    }

    #[test]
    fn a_post_counts_for_the_whole_of_the_time() {
        let mut window = window(1_000, 1_000_000);
        let posted = window.grain(Timestamp(5_000));
        assert!(window.add(posted, 1));
        for (at, counts) in [(5_999, true), (6_000, true), (6_001, false)] {
            window.advance(Timestamp(at), 1);
            assert_eq!(posted >= window.cutoff(), counts, "at {at}");
        }
        assert_eq!(window.posts(), 0);
    }

    #[test]
    fn the_newest_posts_count_and_no_more_than_a_grain_beyond_them() {
        let mut window = window(1_000_000_000, 10);
        let grain = 1_000_000_000_u64.div_ceil(GRAINS);
        for i in 1..=40 {
            window.add(window.grain(Timestamp(i * grain)), 0);
            window.advance(Timestamp(i * grain), 0);
            assert_eq!(window.posts(), i.min(10), "after {i}");
        }
    }

    #[test]
    fn posts_of_other_shards_push_the_window_on() {
        let mut window = window(1_000_000_000, 10);
        let grain = 1_000_000_000_u64.div_ceil(GRAINS);
        let first = window.grain(Timestamp(grain));
        window.add(first, 1);
        window.add(window.grain(Timestamp(2 * grain)), 2);
        window.advance(Timestamp(2 * grain), 10);
        assert!(first >= window.cutoff(), "nine posts came after it");
        window.advance(Timestamp(2 * grain), 11);
        assert!(first < window.cutoff(), "ten posts came after it");
    }

    #[test]
    fn a_clock_that_leaps_leaves_no_trail_of_counts() {
        let mut window = window(1_000, 10);
        window.add(window.grain(Timestamp(1)), 1);
        window.add(window.grain(Timestamp(1 << 50)), 2);
        assert_eq!(window.posts(), 1);
        assert!(!window.add(window.grain(Timestamp(2)), 0), "it is too old by now");
    }

    #[test]
    fn older_posts_may_be_counted_after_newer_ones() {
        let mut window = window(1_000, 10);
        assert!(window.add(window.grain(Timestamp(5_000)), 0));
        assert!(window.add(window.grain(Timestamp(4_500)), 0));
        assert!(window.add(window.grain(Timestamp(4_000)), 0));
        assert!(!window.add(window.grain(Timestamp(3_999)), 0));
        assert_eq!(window.posts(), 3);
        window.remove(window.grain(Timestamp(4_500)));
        assert_eq!(window.posts(), 2);
    }
}
