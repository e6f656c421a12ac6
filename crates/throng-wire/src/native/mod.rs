//! Throng's own protocol: frames, and their two forms.

pub mod v1;
