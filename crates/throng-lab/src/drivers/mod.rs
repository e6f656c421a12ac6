//! A protocol from the client's side, without io.
