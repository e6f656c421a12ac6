//! The wire's tests, one binary: each module is one kind of proof.

mod agreement;
mod autobahn;
mod documented;
mod fuzz;
mod hostile;
mod oracle;
mod recorded;
