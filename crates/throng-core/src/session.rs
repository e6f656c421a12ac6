//! May this connection ask this?
