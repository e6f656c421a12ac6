//! The wire's tests, one binary: each module is one kind of proof.

mod autobahn;
