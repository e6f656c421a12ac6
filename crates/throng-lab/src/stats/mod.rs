//! Statistics for few and noisy numbers: exact where it can be, seeded where chance is needed.
//!
//! Neighbours: `compare`, `capacity` and `report` ask; nothing here knows what a number stands for,
//! reads a clock or rolls dice it was not handed. Each is tested on data whose answer is known.

pub mod compare;
pub mod ema;
pub mod fit;
pub mod order;
pub mod trend;

pub use compare::{Paired, Verdict, paired};
pub use ema::Ema;
pub use fit::{Line, Power, Scaling, line, power, scaling};
pub use order::{Bin, Spread, bins, median, quantile, spread};
pub use trend::{Trend, trend};
