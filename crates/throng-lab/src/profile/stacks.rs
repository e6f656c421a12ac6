//! Stacks, folded: `thread;outermost;…;innermost` and how often each was seen. The form that flame
//! graphs are commonly made of.
//!
//! Neighbours: `profile` hands over what `perf script` says; `report::flame` draws.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufRead};

/// Addresses from here on are the kernel's.
const KERNEL: u64 = 0xffff_8000_0000_0000;
/// What the kernel's frames end with.
pub const IN_KERNEL: &str = "_[k]";
/// Frames of one stack that are kept.
const FRAMES_MAX: usize = 256;

/// How often each stack was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stacks(BTreeMap<String, u64>);

impl Stacks {
    /// Seen so many times more.
    pub fn add(&mut self, stack: String, times: u64) {
        *self.0.entry(stack).or_default() += times;
    }

    /// All of another's.
    pub fn extend(&mut self, other: &Self) {
        for (stack, times) in &other.0 {
            self.add(stack.clone(), *times);
        }
    }

    /// How many samples there are.
    pub fn samples(&self) -> u64 {
        self.0.values().sum()
    }

    /// Each stack, from the outermost frame, with how often it was seen.
    pub fn iter(&self) -> impl Iterator<Item = (impl Iterator<Item = &str>, u64)> {
        self.0.iter().map(|(stack, times)| (stack.split(';'), *times))
    }

    /// A line for each.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (stack, times) in &self.0 {
            let _ = writeln!(text, "{stack} {times}");
        }
        text
    }

    /// From lines; what is none is left out.
    pub fn of_text(text: &str) -> Self {
        let mut stacks = Self::default();
        for line in text.lines() {
            if let Some((stack, times)) = line.rsplit_once(' ')
                && let Ok(times) = times.parse()
            {
                stacks.add(stack.to_owned(), times);
            }
        }
        stacks
    }
}

/// Reads `perf script -F comm,tid,time,ip,sym`: a line that says who and when, a line for each frame
/// from the innermost, an empty line. Each stack is taken with its moment, in seconds.
pub fn read(said: impl BufRead, mut take: impl FnMut(f64, String)) -> io::Result<()> {
    let mut head: Option<(String, f64)> = None;
    let mut frames: Vec<String> = Vec::new();
    for line in said.split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        if line.trim().is_empty() {
            finish(head.take(), &mut frames, &mut take);
        } else if line.starts_with([' ', '\t']) {
            if frames.len() < FRAMES_MAX
                && let Some(frame) = frame(line.trim())
            {
                frames.push(frame);
            }
        } else {
            finish(head.take(), &mut frames, &mut take);
            head = who(&line);
        }
    }
    finish(head, &mut frames, &mut take);
    Ok(())
}

fn finish(
    head: Option<(String, f64)>,
    frames: &mut Vec<String>,
    take: &mut dyn FnMut(f64, String),
) {
    if let Some((thread, at)) = head {
        frames.push(thread);
        frames.reverse();
        take(at, frames.join(";"));
    }
    frames.clear();
}

/// `tokio-rt worker  123 4567.890123: `, of which a thread's name may hold anything.
fn who(line: &str) -> Option<(String, f64)> {
    let (rest, at) = line.trim_end().strip_suffix(':')?.rsplit_once(char::is_whitespace)?;
    let (thread, _) = rest.trim_end().rsplit_once(char::is_whitespace)?;
    Some((clean(thread.trim()), at.parse().ok()?))
}

/// `55d0c0ffee some::function<T>`. An address without a name says nothing.
fn frame(line: &str) -> Option<String> {
    let (address, name) = line.split_once(' ')?;
    let address = u64::from_str_radix(address, 16).ok()?;
    if address == u64::MAX || name.is_empty() {
        return None;
    }
    let kernel = if address >= KERNEL { IN_KERNEL } else { "" };
    Some(clean(name) + kernel)
}

/// The names of array types have the sign that parts frames.
fn clean(name: &str) -> String {
    name.replace(';', ",")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
shard-0  7507 47390.441746: \n\
\tffffffff8201b375 tcp_urg\n\
\t          10aba4 __send\n\
\t          4d2927 throng_server::outbox::Outbox::deliver\n\
\tffffffffffffffff [unknown]\n\
\n\
tokio-rt worker     7509 47391.5: \n\
\t          936b45 <[u8; 4] as std::io::Write>::write\n\
\n";

    #[test]
    fn stacks_are_read_from_the_outermost_frame_with_their_thread_and_moment() {
        let mut found = Vec::new();
        read(SAID.as_bytes(), |at, stack| found.push((at, stack))).unwrap();
        let [(first, a), (second, b)] = &found[..] else { panic!("{found:?}") };
        assert!((first - 47_390.441_746).abs() < 1e-6 && (second - 47_391.5).abs() < 1e-6);
        assert_eq!(a, "shard-0;throng_server::outbox::Outbox::deliver;__send;tcp_urg_[k]");
        assert_eq!(b, "tokio-rt worker;<[u8, 4] as std::io::Write>::write");
    }

    #[test]
    fn stacks_are_added_up_written_and_read_back() {
        let mut stacks = Stacks::default();
        for stack in ["a;b c", "a;b c", "a"] {
            stacks.add(stack.into(), 1);
        }
        assert_eq!(stacks.text(), "a 1\na;b c 2\n");
        assert_eq!(Stacks::of_text(&(stacks.text() + "nonsense\n")), stacks);
        let mut twice = stacks.clone();
        twice.extend(&stacks);
        assert_eq!(twice.samples(), 6);
    }

    #[test]
    fn a_script_that_is_cut_off_gives_what_it_has() {
        let mut found = 0;
        read(&SAID.as_bytes()[..60], |_, _| found += 1).unwrap();
        assert_eq!(found, 1);
        read(&b"\tffff nobody\nneither this\n"[..], |_, _| panic!("no stack is there")).unwrap();
    }
}
