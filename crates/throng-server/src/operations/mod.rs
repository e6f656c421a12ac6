//! What an operator sees: metrics, health, the doctor.

pub mod doctor;
pub mod histogram;
pub mod metrics;
