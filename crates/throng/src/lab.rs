//! `throng lab`: measures servers, and the machine itself.
//!
//! Neighbours: all of it lives in `throng-lab`; this file only takes the arguments.

use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use throng_lab::bench::{self, Options, process};
use throng_lab::floor;

use crate::exit::Failure;

/// What can be measured.
#[derive(Debug, Subcommand)]
pub enum Lab {
    /// Say what this machine itself could do, without any server (a minute).
    Floor(Floor),
    /// The floor in a process of its own; started by `floor`.
    #[command(hide = true)]
    FloorServe {
        /// The floor's plan, as JSON.
        plan: String,
    },
    /// Keeps a core awake at nice 19; started by `floor`.
    #[command(hide = true)]
    Spin {
        /// Which one.
        core: usize,
    },
}

/// Arguments of `throng lab floor`.
#[derive(Args, Debug)]
pub struct Floor {
    /// A folder on the disk that matters.
    #[arg(long, default_value = "throng-floor", value_name = "DIR")]
    scratch: PathBuf,
    /// Seconds instead of a minute; the figures are rougher.
    #[arg(long)]
    quick: bool,
}

impl Lab {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Floor(floor) => floor.run(),
            Self::FloorServe { plan } => serde_json::from_str(&plan)
                .map_err(io::Error::from)
                .and_then(|plan| floor::serve(&plan, io::stdin().as_fd(), &mut io::stdout())),
            Self::Spin { core } => process::spin(core),
        }
        .map_err(|error| Failure::other(&error))
    }
}

impl Floor {
    fn run(self) -> io::Result<()> {
        let throng = std::env::current_exe()?;
        let own = (throng.clone(), vec!["lab".into()]);
        let options = Options { quick: self.quick, ..Options::new(self.scratch.clone()) };
        let made = !self.scratch.exists();
        bench::machine(options, process::Programs { throng, own }, &mut io::stdout())?;
        if made { std::fs::remove_dir_all(&self.scratch) } else { Ok(()) }
    }
}
