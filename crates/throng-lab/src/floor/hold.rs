//! How a floor holds back from now on: as the server beside it did a moment ago.
//!
//! Neighbours: the bench's `slices` tells it before each of a floor's slices by `GET /hold?…`, `server`
//! takes it and answers with its counters. It is told nothing while it is measured.

/// What the request asks for, up to its query.
pub const TARGET: &str = "/hold?";

/// What a floor does from its next post on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hold {
    /// Mean frames in a write; at least 1.
    pub frames_per_write: f64,
    /// Mean sends in a sync; at least 1. Nothing to a floor without a disk.
    pub sends_per_sync: f64,
    /// With so many posts more all that is held goes out at once: the slice is over then.
    pub posts: u64,
}

impl Hold {
    /// What to ask a floor for.
    pub fn target(&self) -> String {
        let Self { frames_per_write, sends_per_sync, posts } = self;
        format!(
            "{TARGET}frames_per_write={frames_per_write}&sends_per_sync={sends_per_sync}&posts={posts}"
        )
    }

    /// From what stands behind `TARGET`; `None` where something is missing or is no such figure.
    pub fn from_query(query: &str) -> Option<Self> {
        let value =
            |key: &str| query.split('&').find_map(|part| part.strip_prefix(key)?.strip_prefix('='));
        let at_least_one = |key| {
            let figure: f64 = value(key)?.parse().ok()?;
            (figure.is_finite() && figure >= 1.0).then_some(figure)
        };
        Some(Self {
            frames_per_write: at_least_one("frames_per_write")?,
            sends_per_sync: at_least_one("sends_per_sync")?,
            posts: value("posts")?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_what_was_meant() {
        let hold = Hold { frames_per_write: 10.0 / 3.0, sends_per_sync: 1.0, posts: 3_000 };
        let target = hold.target();
        let query = target.strip_prefix(TARGET).expect("it begins with the target");
        assert_eq!(Hold::from_query(query), Some(hold));
    }

    #[test]
    fn less_than_one_frame_a_write_is_none() {
        for query in [
            "",
            "frames_per_write=2&sends_per_sync=1",
            "frames_per_write=0.5&sends_per_sync=1&posts=1",
            "frames_per_write=2&sends_per_sync=NaN&posts=1",
            "frames_per_write=inf&sends_per_sync=1&posts=1",
            "frames_per_write=2&sends_per_sync=1&posts=-1",
            "frames_per_writes=2&sends_per_sync=1&posts=1",
        ] {
            assert_eq!(Hold::from_query(query), None, "{query}");
        }
    }
}
