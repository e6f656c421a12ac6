//! Where the server's own CPU goes: `perf`, a process beside it, looks at its stacks for a few seconds.
//!
//! Neighbours: REST hands over an administrator's wish. Nothing is sampled until then, no file is
//! written, and one asks at a time. What `perf` does wrong cannot hurt the server: no signal handler
//! walks a stack here (decision 17).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read as _};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::available_parallelism;

use throng_core::Rejection;
use tokio::sync::oneshot;

use crate::lifecycle::BLOCKING;

/// The longest look.
pub const SECONDS_MAX: u32 = 60;
/// Looks a second at each busy core, at most.
const HERTZ_MAX: u32 = 97;
/// Stacks of one look, over all cores: each is unwound from eight KiB of its bytes.
const SAMPLES_MAX: u32 = 12_000;
const STACK_BYTES: u32 = 8_192;
/// Bytes of an answer; who has more stacks than fit asks for fewer seconds.
const ANSWER_LEN_MAX: usize = 16 * 1024 * 1024;
/// Bytes of one line of what `perf` says.
const LINE_LEN_MAX: u64 = 64 * 1024;
/// Frames of one stack.
const FRAMES_MAX: usize = 256;
/// Addresses from here on are the kernel's.
const KERNEL: u64 = 0xffff_8000_0000_0000;

/// Looks at its own process, one look at a time.
#[derive(Clone, Debug)]
pub struct Profiler {
    program: PathBuf,
    busy: Arc<AtomicBool>,
}

impl Default for Profiler {
    fn default() -> Self {
        Self::new("perf".into())
    }
}

/// The place of the one who looks; free again when it is dropped.
#[derive(Debug)]
struct Place(Arc<AtomicBool>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Profiler {
    /// With this program as `perf`.
    pub fn new(program: PathBuf) -> Self {
        Self { program, busy: Arc::default() }
    }

    /// Looks for so many seconds: a line for each stack, from the outermost frame, and how often it
    /// was seen.
    pub async fn look(&self, seconds: u32) -> Result<String, Rejection> {
        if !(1..=SECONDS_MAX).contains(&seconds) {
            return Err(Rejection::BadArgument);
        }
        let place = self.place(seconds)?;
        let program = self.program.clone();
        let (tell, told) = oneshot::channel();
        // A thread of its own: it waits for a process, and must not be waited for when the server ends.
        let waits = std::thread::Builder::new().name("profile".into()).spawn(move || {
            let found = look(&program, std::process::id(), seconds);
            drop(place);
            // Who asked may have gone.
            drop(tell.send(found));
        });
        let found = match waits {
            Ok(_) => told.await.unwrap_or_else(|_| Err(io::Error::other("its thread has ended"))),
            Err(error) => Err(error),
        };
        found.map_err(|error| {
            tracing::warn!(%error, "cannot look at the server's stacks; is perf there, and may it?");
            Rejection::Unavailable
        })
    }

    fn place(&self, seconds: u32) -> Result<Place, Rejection> {
        if self.busy.swap(true, Ordering::Acquire) {
            return Err(Rejection::Busy { retry_after_ms: seconds * 1_000 });
        }
        Ok(Place(Arc::clone(&self.busy)))
    }
}

fn look(program: &PathBuf, pid: u32, seconds: u32) -> io::Result<String> {
    let cores = available_parallelism().map_or(1, NonZeroUsize::get) as u32;
    let hertz = (SAMPLES_MAX / (seconds * cores).max(1)).clamp(1, HERTZ_MAX);
    let mut records = Command::new(program)
        .args(["record", "-q", "-N", "-e", "cpu-clock", "-F", &hertz.to_string()])
        .args(["--call-graph", &format!("dwarf,{STACK_BYTES}"), "-t", &lasting(pid)?])
        .args(["-o", "-", "--", "sleep", &seconds.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let recorded = records.stdout.take().expect("it is piped");
    let says = Command::new(program)
        .args(["script", "--no-inline", "-F", "comm,tid,time,ip,sym", "-i", "-"])
        .stdin(recorded)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let folded = says.and_then(|mut says| {
        let folded = fold(BufReader::new(says.stdout.take().expect("it is piped")));
        // One that is not read to its end would wait for us.
        says.kill()?;
        says.wait()?;
        folded
    });
    // It ends with its time, or with the pipe that nobody reads.
    let ended = records.wait()?;
    let folded = folded?;
    if !ended.success() {
        return Err(io::Error::other(format!("perf record: {ended}")));
    }
    Ok(folded)
}

/// The threads that last, with commas between. `perf` looks at those that they start, too; of one that ends
/// while it looks it is told without end, and takes whole cores for hearing it (seen with 6.1: 1.6 of 2).
fn lasting(pid: u32) -> io::Result<String> {
    let mut threads = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?;
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if !matches!(name.trim(), "" | BLOCKING) {
            threads.push(task.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(threads.join(","))
}

/// What `perf script` says, folded.
fn fold(mut said: impl BufRead) -> io::Result<String> {
    let mut stacks: BTreeMap<String, u64> = BTreeMap::new();
    let (mut thread, mut frames) = (None, Vec::new());
    let (mut line, mut len) = (Vec::new(), 0);
    loop {
        line.clear();
        let read = said.by_ref().take(LINE_LEN_MAX).read_until(b'\n', &mut line)?;
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if text.starts_with([' ', '\t']) {
            if frames.len() < FRAMES_MAX {
                frames.extend(frame(text.trim_start()));
            }
            continue;
        }
        if let Some(thread) = thread.take() {
            frames.push(thread);
            frames.reverse();
            let stack = frames.join(";");
            len += if stacks.contains_key(&stack) { 0 } else { stack.len() + 8 };
            if len > ANSWER_LEN_MAX {
                return Err(io::Error::other("too many different stacks; ask for fewer seconds"));
            }
            *stacks.entry(stack).or_default() += 1;
        }
        frames.clear();
        if read == 0 {
            break;
        }
        thread = who(text);
    }
    let mut folded = String::with_capacity(len);
    for (stack, times) in stacks {
        let _ = writeln!(folded, "{stack} {times}");
    }
    Ok(folded)
}

/// `tokio-rt worker  123 4567.890123:`: the thread's name, which may hold anything.
fn who(head: &str) -> Option<String> {
    let (rest, _) = head.strip_suffix(':')?.rsplit_once(' ')?;
    let (thread, _) = rest.trim_end().rsplit_once(' ')?;
    Some(thread.trim().replace(';', ","))
}

/// `55d0c0ffee some::function`; the kernel's are marked as flame graphs mark them.
fn frame(line: &str) -> Option<String> {
    let (address, name) = line.split_once(' ')?;
    let address = u64::from_str_radix(address, 16).ok().filter(|it| *it != u64::MAX)?;
    let kernel = if address >= KERNEL { "_[k]" } else { "" };
    Some(name.replace(';', ",") + kernel)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::clock::Clock;
    use crate::fanout::Offered;
    use crate::lifecycle;

    /// Held by each test: a process that another one starts while a `perf` is written has it open until it
    /// is a program itself, and what is open for writing cannot be run.
    static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

    /// A `perf` that records nothing for no time and says this.
    fn perf(folder: &tempfile::TempDir, record: &str, script: &str) -> Profiler {
        let program = folder.path().join("perf");
        let text = format!("#!/bin/sh\ncase $1 in\nrecord) {record};;\nscript) {script};;\nesac\n");
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Profiler::new(program)
    }

    const SAYS: &str = "printf 'shard-0  7 4.5: \\n\\tffffffff8201b375 tcp_urg\\n\\t 4d2927 a::b<[u8; 2]>\\n\\n\
                        tokio-rt worker 8 4.6: \\n\\t 4d2927 c d\\n\\n\
                        shard-0  7 4.7: \\n\\tffffffff8201b375 tcp_urg\\n\\t 4d2927 a::b<[u8; 2]>\\n\\n'";

    #[tokio::test]
    async fn stacks_are_folded_by_thread_from_the_outermost_frame() {
        let _alone = ALONE.lock().await;
        let folder = tempfile::tempdir().unwrap();
        let folded = perf(&folder, "true", SAYS).look(1).await.unwrap();
        assert_eq!(folded, "shard-0;a::b<[u8, 2]>;tcp_urg_[k] 2\ntokio-rt worker;c d 1\n");
    }

    #[tokio::test]
    async fn one_looks_at_a_time_and_for_no_longer_than_a_minute() {
        let _alone = ALONE.lock().await;
        let folder = tempfile::tempdir().unwrap();
        let profiler = perf(&folder, "true", SAYS);
        for seconds in [0, SECONDS_MAX + 1] {
            assert_eq!(profiler.look(seconds).await, Err(Rejection::BadArgument));
        }
        assert!(profiler.look(SECONDS_MAX).await.is_ok());
        let place = profiler.place(7).unwrap();
        assert_eq!(profiler.look(1).await, Err(Rejection::Busy { retry_after_ms: 1_000 }));
        drop(place);
        assert!(profiler.look(1).await.is_ok());
    }

    #[tokio::test]
    async fn a_perf_that_is_not_there_or_may_not_look_is_unavailable_and_leaves_the_place_free() {
        let _alone = ALONE.lock().await;
        let folder = tempfile::tempdir().unwrap();
        let nobody = Profiler::new(folder.path().join("none"));
        for _ in 0..2 {
            assert_eq!(nobody.look(1).await, Err(Rejection::Unavailable));
        }
        let refused = perf(&folder, "exit 255", "true");
        for _ in 0..2 {
            assert_eq!(refused.look(1).await, Err(Rejection::Unavailable));
        }
    }

    #[test]
    fn a_thread_that_ends_by_itself_is_not_looked_at() {
        let offered = Offered::default();
        let runtime = lifecycle::runtime(&Clock::system(), &offered).unwrap();
        let own = || lasting(std::process::id()).unwrap();
        let named = |wanted: &str| {
            let threads = own();
            let name = |tid: &str| fs::read_to_string(format!("/proc/self/task/{tid}/comm"));
            threads.split(',').any(|tid| name(tid).is_ok_and(|name| name.trim() == wanted))
        };
        let (is_there, waits) = std::sync::mpsc::sync_channel(1);
        let (may_go, goes) = std::sync::mpsc::sync_channel::<()>(1);
        let waiting = runtime.spawn_blocking(move || {
            is_there.send(rustix::thread::gettid().as_raw_nonzero().to_string()).unwrap();
            goes.recv().unwrap();
        });
        let ends: String = waits.recv().unwrap();
        // A worker has its name when it has had nothing to do for the first time.
        while !named("runtime") {
            runtime.block_on(runtime.spawn(std::future::ready(()))).unwrap();
        }
        assert!(!own().split(',').any(|tid| tid == ends), "{ends} of {}", own());
        may_go.send(()).unwrap();
        runtime.block_on(waiting).unwrap();
    }

    #[test]
    fn an_answer_has_an_end() {
        let long = |count: usize| {
            let of = |at: usize| format!("t 1 2.0: \n\t 1 {at:0>60000}\n\n");
            (0..count).map(of).collect::<String>()
        };
        let most = ANSWER_LEN_MAX / 60_010;
        assert!(fold(long(most).as_bytes()).is_ok());
        assert!(fold(long(most + 1).as_bytes()).is_err());
    }
}
