//! `lab client`: one client over raw TCP that sends its messages in a row, each after the ack of the
//! one before, and says how long connecting and the median round trip took.
//!
//! Neighbours: the scenario `scale-up-down` does the same with hundreds at once in one process; this
//! one is for a shell's loop, and blocks. The protocol is `drivers`'.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::rc::Rc;
use std::time::Duration;

use crate::clock;
use crate::drivers::{Action, Broken, Dress, Driver, Native, Observation, Outcome, Posted};
use crate::monitor::allowed;

/// Silence for so long, and the server is taken for gone.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Bytes of a message: with its envelope below the 256 of the program this is measured beside.
const BODY_BYTES: usize = 64;
/// One thing is asked for so often, and then given up.
const ASKED_MAX: u32 = 100;
/// Waited before asking again, at most: a server that says more is not believed.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(1);

/// What to do.
#[derive(Clone, Debug)]
pub struct ClientArgs {
    /// Its number.
    pub id: u32,
    /// Messages it sends.
    pub count: u32,
    /// Where the server's raw port is, with or without `tcp://`.
    pub target: String,
    /// Who it is; a new account if absent.
    pub token: Option<String>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientDone {
    /// Its number.
    pub id: u32,
    /// Messages acked.
    pub messages: u32,
    /// The kernel's time to make the connection, microseconds.
    pub connect_us: u64,
    /// The median round trip, microseconds. Of a message that was refused for a while it is counted from
    /// when it was first sent: who waits for the server's leave waits for the server.
    pub median_rtt_us: u64,
    /// How often something was refused for a while, and asked for again.
    pub refused: u32,
    /// Messages among them: their round trips hold the waiting.
    pub delayed: u32,
    /// Waited in all before asking again.
    pub waited: Duration,
}

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is none.
    #[error("{0} is no address of a raw port, as tcp://127.0.0.1:9000")]
    Target(String),
    /// No descriptor is left, here.
    #[error("too many open files here: raise `ulimit -n`, or start fewer clients at once")]
    Descriptors,
    /// The server closed without an answer, as one without descriptors does.
    #[error(
        "the server ended the connection {0}: is it at its limit of connections or of open files?"
    )]
    Ended(&'static str),
    /// The server took the connection, or its kernel did, and said nothing.
    #[error(
        "the server said nothing for 30 s {0}: is it at its limit of connections or of open files?"
    )]
    Silent(&'static str),
    /// The socket.
    #[error("{0}: {1}{words}", words = allowed::words(.1).unwrap_or(""))]
    Socket(&'static str, io::Error),
    /// The server refused.
    #[error("{0} was refused: {1}")]
    Refused(&'static str, String),
    /// An ack that cannot be.
    #[error("message {0} was acked with {1}")]
    Ack(u32, String),
    /// What it speaks is not the protocol.
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// An answer, as far as this client needs it.
#[derive(Clone, Debug, PartialEq)]
enum Answer {
    Ready,
    Somebody,
    Room(u32),
    Posted(Posted),
    Refused(String, Option<Duration>),
}

/// Connects, sends, counts.
pub fn run(args: &ClientArgs) -> Result<ClientDone, ClientError> {
    let address = address(&args.target)?;
    let began = clock::now();
    let stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN).map_err(of_connect)?;
    let connect_us = clock::now().since(began).as_micros() as u64;
    let set = stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(ANSWER_WITHIN)));
    set.map_err(|error| ClientError::Socket("setting up the socket", error))?;
    let host: Rc<str> = address.to_string().into();
    let driver = Native::new(Dress::Raw, host, Rc::default(), u64::from(args.id));
    let mut client =
        Client { stream, driver, answers: Vec::new(), refused: 0, waited: Duration::ZERO };
    if client.wait("before it said hello")? != Answer::Ready {
        return Err(ClientError::Ended("without a hello"));
    }
    // Two runs of the same client must not meet.
    let unique = format!("{:x}-{:x}", std::process::id(), clock::unix_seconds());
    let name = format!("client-{}-{unique}", args.id);
    let who = match &args.token {
        Some(token) => Action::Authenticate { token },
        None => Action::Register { name: &name, password: &unique_password(&unique) },
    };
    client.ask("logging in", &who)?;
    let Answer::Room(room) = client.ask("making a room", &Action::CreateRoom { name: &name })?
    else {
        return Err(ClientError::Refused("making a room", "answered by something else".into()));
    };
    let mut trips = Vec::with_capacity(args.count as usize);
    let (mut last, mut delayed) = (0, 0);
    let mut body = String::with_capacity(BODY_BYTES);
    for number in 1..=args.count {
        numbered(args.id, number, &mut body);
        let origin_id = number.to_string();
        let (sent, refused) = (clock::now(), client.refused);
        let action = Action::Post {
            room,
            origin_id: &origin_id,
            body: &body,
            file: None,
            durable: true,
            trace: false,
        };
        match client.ask("a message", &action)? {
            Answer::Posted(it) if it.seq > last && it.n == u64::from(number) && it.durable => {
                last = it.seq;
            }
            other => return Err(ClientError::Ack(number, format!("{other:?}"))),
        }
        trips.push(clock::now().since(sent).as_micros() as u64);
        delayed += u32::from(client.refused > refused);
    }
    let median_rtt_us = median(&mut trips);
    let Client { refused, waited, .. } = client;
    let (id, messages) = (args.id, args.count);
    Ok(ClientDone { id, messages, connect_us, median_rtt_us, refused, delayed, waited })
}

fn address(target: &str) -> Result<SocketAddr, ClientError> {
    let text = target.strip_prefix("tcp://").unwrap_or(target).trim_end_matches('/');
    let first = text.to_socket_addrs().ok().and_then(|mut all| all.next());
    first.ok_or_else(|| ClientError::Target(target.to_owned()))
}

fn of_connect(error: io::Error) -> ClientError {
    match allowed::words(&error) {
        Some(words) if words.contains("open files") => ClientError::Descriptors,
        _ => ClientError::Socket("connecting", error),
    }
}

/// Of an account that nobody will use again.
fn unique_password(unique: &str) -> String {
    format!("never-again-{unique}")
}

fn numbered(id: u32, number: u32, body: &mut String) {
    use std::fmt::Write as _;
    body.clear();
    write!(body, "client {id} message {number} ").expect("a String grows");
    while body.len() < BODY_BYTES {
        body.push('.');
    }
}

/// The middle one, or the mean of the two in the middle.
fn median(trips: &mut [u64]) -> u64 {
    trips.sort_unstable();
    let middle = trips.len() / 2;
    match trips.len() {
        0 => 0,
        odd if odd % 2 == 1 => trips[middle],
        _ => trips[middle - 1].midpoint(trips[middle]),
    }
}

struct Client {
    stream: TcpStream,
    driver: Native,
    /// Come and not taken.
    answers: Vec<Answer>,
    /// Refusals that were waited for.
    refused: u32,
    waited: Duration,
}

impl Client {
    /// Asks, and asks again where it is refused for a while, as a person's client does.
    fn ask(&mut self, what: &'static str, action: &Action<'_>) -> Result<Answer, ClientError> {
        let mut out = Vec::new();
        let mut asked = 0;
        loop {
            asked += 1;
            out.clear();
            self.driver.act(action, &mut out);
            self.stream.write_all(&out).map_err(|error| ClientError::Socket(what, error))?;
            match self.wait("in the middle")? {
                Answer::Refused(_, Some(after)) if asked < ASKED_MAX => self.rest(after),
                Answer::Refused(why, None) => return Err(ClientError::Refused(what, why)),
                Answer::Refused(why, Some(_)) => {
                    let why = format!("{why}, {asked} times in a row");
                    return Err(ClientError::Refused(what, why));
                }
                answer => return Ok(answer),
            }
        }
    }

    /// Waits as long as the server says.
    fn rest(&mut self, after: Duration) {
        let after = after.min(RETRY_AFTER_MAX);
        let until = clock::now().plus(after);
        while clock::now() < until {
            std::thread::park_timeout(until.since(clock::now()));
        }
        self.refused += 1;
        self.waited += after;
    }

    /// The next answer; events are heard and passed over.
    fn wait(&mut self, when: &'static str) -> Result<Answer, ClientError> {
        let mut buffer = [0; 16 * 1024];
        let mut out = Vec::new();
        while self.answers.is_empty() {
            let len = match self.stream.read(&mut buffer) {
                Ok(0) => return Err(ClientError::Ended(when)),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(ClientError::Ended(when));
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    return Err(ClientError::Silent(when));
                }
                Err(error) => return Err(ClientError::Socket("waiting for an answer", error)),
            };
            let answers = &mut self.answers;
            self.driver.receive(&mut buffer[..len], &mut out, &mut |seen| {
                answers.extend(answer(&seen));
            })?;
        }
        Ok(self.answers.remove(0))
    }
}

fn answer(seen: &Observation<'_>) -> Option<Answer> {
    match seen {
        Observation::Ready { .. } => Some(Answer::Ready),
        Observation::Event(_) | Observation::Left { .. } => None,
        Observation::Goodbye { code, .. } => Some(Answer::Refused(format!("goodbye {code}"), None)),
        Observation::Reply { outcome, .. } => Some(match outcome {
            Outcome::Joined { room, .. } => Answer::Room(*room),
            Outcome::Posted(posted) => Answer::Posted(*posted),
            Outcome::Rejected { code, name, retry_after_ms } => {
                let after = retry_after_ms.map(|ms| Duration::from_millis(u64::from(ms)));
                Answer::Refused(format!("{code} {name}"), after)
            }
            _ => Answer::Somebody,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_is_between_its_two_middles() {
        assert_eq!(median(&mut [30, 10, 20]), 20);
        assert_eq!(median(&mut [40, 10, 30, 20]), 25);
        assert_eq!(median(&mut []), 0);
    }

    #[test]
    fn a_target_is_an_address_and_nothing_else() {
        assert_eq!(address("tcp://127.0.0.1:9/").unwrap().port(), 9);
        assert!(address("127.0.0.1").unwrap_err().to_string().contains("no address"));
    }

    #[test]
    fn no_descriptors_left_is_told_in_words() {
        let error = of_connect(io::Error::from_raw_os_error(24)).to_string();
        assert!(error.contains("too many open files"), "{error}");
    }

    #[test]
    fn a_server_that_accepts_and_hangs_up_is_asked_about_its_limits() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let target = format!("tcp://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || drop(listener.accept()));
        let args = ClientArgs { id: 7, count: 1, target, token: None };
        let error = run(&args).unwrap_err().to_string();
        server.join().unwrap();
        assert!(error.contains("open files"), "{error}");
    }
}
