//! The lab's reading alone: what checking every delivery costs beside reading the same bytes and doing
//! nothing with them. Figures go to `docs/reference/performance.md`.
//!
//! ```text
//! cargo run --release -p xtask --features measure --example reader -- [CONNECTIONS [FRAMES_A_READ [TURNS [PAIRS]]]]
//! ```
//!
//! A process of its own (`teller.rs`) writes the events of one room to all connections, so many frames
//! in each write, and the next when all have been read. This process reads them in turn by the lab's engine,
//! driver, ledger and recorder (`checked.rs`), and by a loop that throws them away (`bare.rs`). CPU is that
//! of the one reading thread; connecting and making the events ready are outside.
#![expect(clippy::print_stdout, reason = "a measurement speaks to the one who runs it")]

mod bare;
mod checked;
mod teller;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What is told, to how many, and in how large pieces.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    pub connections: usize,
    /// Frames in one write, which one read brings.
    pub frames: usize,
    pub turns: usize,
}

/// One reader's.
#[derive(Clone, Copy, Debug)]
struct Read {
    cpu: Duration,
    reads: u64,
    deliveries: u64,
    /// What the process grew by while it connected and read.
    bytes: u64,
}

/// The process that tells: it is there as long as this is.
struct Teller {
    child: Child,
    address: SocketAddr,
    /// A byte asks for the next turn.
    ask: TcpStream,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let number = |at: usize, other: usize| {
        args.get(at).map_or(other, |text| text.parse().expect("a number"))
    };
    if args.first() == Some(&"tell") {
        let work = Work { connections: number(1, 0), frames: number(2, 0), turns: number(3, 0) };
        return teller::tell(work);
    }
    let work = Work { connections: number(0, 1_000), frames: number(1, 1), turns: number(2, 500) };
    println!("{work:?}");
    println!(
        "{:>12} {:>12} {:>6} {:>12} {:>10}",
        "bare/s", "checked/s", "ratio", "frames/read", "KiB each"
    );
    let mut ratios = Vec::new();
    for _ in 0..number(3, 5) {
        let bare = with_teller(work, |teller| bare::read(teller, work));
        let checked = with_teller(work, |teller| checked::read(teller, work));
        assert_eq!(bare.deliveries, checked.deliveries, "both read all that was told");
        let rate = |it: Read| it.deliveries as f64 / it.cpu.as_secs_f64();
        ratios.push(rate(checked) / rate(bare));
        println!(
            "{:12.0} {:12.0} {:6.2} {:5.1} {:6.1} {:10.1}",
            rate(bare),
            rate(checked),
            rate(checked) / rate(bare),
            bare.deliveries as f64 / bare.reads as f64,
            checked.deliveries as f64 / checked.reads as f64,
            checked.bytes as f64 / 1024.0 / work.connections as f64,
        );
    }
    ratios.sort_by(f64::total_cmp);
    println!("ratio, median: {:.2}", ratios[ratios.len() / 2]);
}

fn with_teller(work: Work, read: impl FnOnce(&mut Teller) -> Read) -> Read {
    let mut teller = Teller::start(work);
    let done = read(&mut teller);
    drop(teller.ask);
    assert!(teller.child.wait().expect("the teller").success());
    done
}

impl Teller {
    fn start(work: Work) -> Self {
        let own = std::env::current_exe().expect("this program");
        let mut child = Command::new(own)
            .arg("tell")
            .args([work.connections, work.frames, work.turns].map(|number| number.to_string()))
            .stdout(Stdio::piped())
            .spawn()
            .expect("the teller starts");
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
        out.read_line(&mut line).expect("its address");
        let address: SocketAddr = line.trim().parse().expect("an address");
        let ask = TcpStream::connect(address).expect("the teller listens");
        ask.set_nodelay(true).expect("a socket");
        Self { child, address, ask }
    }

    /// The next turn is to be told.
    fn next(&mut self) {
        self.ask.write_all(b".").expect("the teller waits for it");
    }
}

/// Resident memory of this process, bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
