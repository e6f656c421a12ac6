//! The core from outside: random histories against naive models, and a simulation of a whole chat.
//! Everything here follows from a seed, which is printed when a test fails.

mod documented;
mod histories;
mod hub;
mod model;
mod rights;
mod seeds;
mod simulation;
