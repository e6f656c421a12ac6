//! What the double says that it counts, as `/metrics` has it: true, but for what it is told to lie about.

use std::fmt::Write as _;

use super::{Sin, World};

/// What it counted.
#[derive(Default)]
pub struct Counts {
    pub sends: u64,
    pub deliveries: u64,
    pub answered: u64,
}

/// Of each post: less than any ack takes.
const COMMIT_SECONDS: f64 = 1e-6;

impl World {
    /// The text of `/metrics`.
    pub fn metrics(&mut self) -> (u16, Vec<u8>) {
        let Counts { sends, deliveries, answered } = self.counts;
        let lies = |sin: Sin| self.sin == sin;
        let sends = if lies(Sin::CountPostsTwice) { sends * 2 } else { sends };
        let told = if lies(Sin::CountHalfOfDeliveries) { deliveries / 2 } else { deliveries };
        let acks = if lies(Sin::CountAcksTwice) { answered * 2 } else { answered };
        let each = if lies(Sin::CountLongStages) { 10.0 } else { COMMIT_SECONDS };
        let seconds = each * answered as f64;
        let mut text = String::new();
        for (name, value) in [
            ("sends_total", sends as f64),
            ("deliveries_total", told as f64),
            ("posts_answered_total", acks as f64),
            ("post_stage_seconds_total{stage=\"commit\"}", seconds),
            ("stage_seconds_sum{stage=\"commit\"}", seconds),
            ("stage_seconds_count{stage=\"commit\"}", answered as f64),
        ] {
            writeln!(text, "throng_{name} {value}").unwrap();
        }
        (200, text.into_bytes())
    }
}
