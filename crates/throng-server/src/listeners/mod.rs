//! Doors: sockets are accepted, counted and handed to what speaks on them.
//!
//! Neighbours: `http.rs` serves REST and the upgrade to WebSocket, `raw.rs` bare TCP; both end in
//! `connection`. A listener reads nothing but a request's head, and when descriptors run out it
//! pauses and goes on when some return; it never spins and never ends of that.

mod gate;
mod http;
mod raw;
mod write_deadline;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::app::App;
use crate::operations::seldom::Seldom;
pub use gate::{Gate, Pass};

/// Connections that may wait to be accepted: a thousand users that come back at once and more.
pub const BACKLOG: i32 = 4_096;
/// How long accepting rests when descriptors are used up and none was given back.
const PAUSE: Duration = Duration::from_millis(100);

/// What kind of door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Http,
    Raw,
}

/// A listener that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {cause}{}", advice(.cause, .address))]
pub struct ListenError {
    address: SocketAddr,
    cause: io::Error,
}

fn advice(cause: &io::Error, address: &SocketAddr) -> String {
    match cause.kind() {
        io::ErrorKind::AddrInUse => {
            format!("; another program has the port {}: stop it or set another", address.port())
        }
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need a privilege: set another or grant it".to_owned()
        }
        _ => String::new(),
    }
}

/// The doors' real addresses (a port of 0 is any free one).
#[derive(Clone, Copy, Debug)]
pub struct Open {
    /// REST, the page and WebSocket.
    pub http: SocketAddr,
    /// Bare TCP, if it was asked for.
    pub raw: Option<SocketAddr>,
}

/// Opens the doors that are set and begins to accept. They close when the server drains.
pub fn open(app: &Arc<App>) -> Result<Open, ListenError> {
    let gate = Arc::new(Gate::new(&app.limits));
    let http = open_one(app, &gate, app.settings.listen, Kind::Http)?;
    let raw = app.settings.raw_listen;
    let raw = raw.map(|address| open_one(app, &gate, address, Kind::Raw)).transpose()?;
    Ok(Open { http, raw })
}

fn open_one(
    app: &Arc<App>,
    gate: &Arc<Gate>,
    address: SocketAddr,
    kind: Kind,
) -> Result<SocketAddr, ListenError> {
    let trouble = |cause| ListenError { address, cause };
    let listener = listen(address).map_err(trouble)?;
    let bound = listener.local_addr().map_err(trouble)?;
    let door = Door {
        app: Arc::clone(app),
        gate: Arc::clone(gate),
        router: (kind == Kind::Http).then(|| http::router(app)),
    };
    app.lifecycle.spawn(Box::pin(door.accept(listener)));
    Ok(bound)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

struct Door {
    app: Arc<App>,
    gate: Arc<Gate>,
    /// Of HTTP; bare TCP has none.
    router: Option<axum::Router>,
}

impl Door {
    /// Accepts until the server drains.
    async fn accept(self, listener: TcpListener) {
        let draining = self.app.lifecycle.draining();
        tokio::pin!(draining);
        let mut exhausted = Seldom::default();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut draining => return,
            };
            match accepted {
                Ok((stream, peer)) => self.admit(stream, peer.ip()),
                Err(error) if is_exhausted(&error) => {
                    self.app.metrics.accept_pauses.inc();
                    if let Some(others) = exhausted.may(self.app.clock.now()) {
                        tracing::warn!(%error, others, "cannot accept, waiting until descriptors return");
                    }
                    tokio::select! {
                        () = self.gate.freed() => {}
                        () = tokio::time::sleep(PAUSE) => {}
                        () = &mut draining => return,
                    }
                }
                // The peer was gone before it was accepted; the next one may not be.
                Err(error) => tracing::debug!(%error, "a connection was not accepted"),
            }
        }
    }

    fn admit(&self, stream: TcpStream, peer: IpAddr) {
        // One that comes from a proxy is counted by whom it stands for, once that is known.
        let proxied = self.router.is_some() && self.app.settings.trusted_proxies.trusts(peer);
        let Some(pass) = self.gate.enter(peer.into(), !proxied) else {
            self.app.metrics.connections_refused.inc();
            return;
        };
        if let Err(error) = self.prepare(&stream) {
            tracing::debug!(%error, "a connection was gone before it began");
            return;
        }
        let app = Arc::clone(&self.app);
        match &self.router {
            Some(router) => http::serve(&app, router.clone(), stream, peer, pass),
            None => raw::serve(&app, stream, peer, pass),
        }
    }

    fn prepare(&self, stream: &TcpStream) -> io::Result<()> {
        let socket = SockRef::from(stream);
        // Frames are gathered here, not in the kernel.
        socket.set_tcp_nodelay(true)?;
        // A reader that stalls holds this much of the kernel and no more.
        socket.set_send_buffer_size(self.app.limits.send_buffer_bytes)?;
        if self.router.is_none() {
            let limits = &self.app.limits;
            let idle = Duration::from_millis(limits.ping_interval_ms.max(1_000));
            let between = Duration::from_millis((limits.ping_timeout_ms / 4).max(1_000));
            let alive = TcpKeepalive::new().with_time(idle).with_interval(between);
            socket.set_tcp_keepalive(&alive.with_retries(3))?;
        }
        Ok(())
    }
}

/// Whether the process or the system has no descriptor or buffer left.
fn is_exhausted(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    errno.is_some_and(|e| [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].contains(&e))
}
