//! What an operator sees: metrics, health, the doctor.

pub mod descriptors;
pub mod doctor;
pub mod histogram;
pub mod metrics;
pub mod posts;
pub mod profile;
pub mod seldom;
pub mod syncs;
pub mod trace;
pub mod traffic;
