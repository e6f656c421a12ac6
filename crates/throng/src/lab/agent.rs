//! `throng lab agent`: arguments in, sockets held.
//!
//! Neighbours: `throng_lab::agents` does it; `lab run --agents` is the other end.

use std::io::{self, Write as _};
use std::net::{SocketAddr, ToSocketAddrs as _};
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
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    listen: SocketAddr,
    /// What the lab and this have in common; made where there is none, to be copied to where the lab is.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_KEY)]
    key: PathBuf,
    /// How far its clock is ahead, for a test.
    #[arg(long, value_name = "MS", default_value_t = 0, hide = true)]
    clock_ahead_ms: u64,
}

/// Where the key is unless another file is named.
pub const DEFAULT_KEY: &str = "agent.key";

/// The first address of a host and a port.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let mut found = text.to_socket_addrs().map_err(|error| format!("{error}; it is HOST:PORT"))?;
    found.next().ok_or_else(|| "this host has no address".to_owned())
}

impl Agent {
    pub fn run(self) -> Result<(), Failure> {
        let file = self.key.display();
        let (key, made) = agents::read_or_make_key(&self.key)
            .map_err(|error| Failure::new(Code::Arguments, &format!("{file}: {error}")))?;
        if made {
            let words = "was made: `lab run --agents` needs a copy of it (--key) where it runs";
            writeln!(io::stdout(), "{file} {words}").map_err(|error| Failure::other(&error))?;
        }
        let stop = signals::flag().map_err(|error| Failure::other(&error))?;
        let ahead = Duration::from_millis(self.clock_ahead_ms);
        let args = AgentArgs { listen: self.listen, key, ahead, stop };
        let at = self.listen;
        agents::serve(&args, &mut io::stdout())
            .map_err(|error| Failure::other(&io::Error::other(format!("at {at}: {error}"))))
    }
}
