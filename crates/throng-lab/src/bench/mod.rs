//! The bench: the table, measured by its method. Server and floor run in turn as processes
//! of their own; clients are one thread here.
//!
//! - [`process`]: child processes, and what the system says of them.
//! - `crowd`, `load`, `book`, `tally`, `text`, `scene`, `window`: the clients, what they send, and the account.
//! - `rows`: one file a kind of row; `pairs` alternates server and floor; `table` prints.
//!
//! Neighbours: `floor` is the other side of each ratio; `cargo xtask bench` is the command.
//! It never links the server, and nothing here decides whether a test passes.

mod book;
mod crowd;
mod load;
mod machine;
mod pairs;
pub mod process;
mod rows;
mod scene;
mod table;
mod tally;
mod text;
mod window;

pub use rows::{Options, machine, run};
