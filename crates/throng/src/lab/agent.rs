//! `throng lab agent`: arguments in, sockets held.
//!
//! Neighbours: `throng_lab::agents` does it; `lab run --agents` is the other end.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use throng_lab::agents::{self, AgentArgs};

use crate::exit::{Code, Failure};
use crate::signals;

/// Arguments of `throng lab agent`.
#[derive(Args, Debug)]
pub struct Agent {
    /// Where the lab reaches it; who has the key may have it connect anywhere.
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// What the lab and this have in common: `head -c 32 /dev/urandom | base64 > agent.key`.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// How far its clock is ahead, for a test.
    #[arg(long, value_name = "MS", default_value_t = 0, hide = true)]
    clock_ahead_ms: u64,
}

impl Agent {
    pub fn run(self) -> Result<(), Failure> {
        let key = agents::read_key(&self.key).map_err(|error| {
            let text = format!("{}: {error}", self.key.display());
            Failure::new(Code::Arguments, &text)
        })?;
        let stop = signals::flag().map_err(|error| Failure::other(&error))?;
        let ahead = Duration::from_millis(self.clock_ahead_ms);
        let args = AgentArgs { listen: self.listen, key, ahead, stop };
        agents::serve(&args, &mut io::stdout()).map_err(|error| Failure::other(&error))
    }
}
