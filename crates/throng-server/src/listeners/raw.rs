//! Length-prefixed Protobuf over bare TCP.
//!
//! Neighbours: `mod.rs` accepts, `connection` runs. There is no handshake.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::net::TcpStream;

use super::Pass;
use crate::app::App;
use crate::connection::{Connection, Opened};
use crate::outbox::Outbox;
use crate::protocols::Form;
use crate::protocols::native::Native;

/// Runs a connection on a socket as it is.
pub fn serve(app: &Arc<App>, stream: TcpStream, peer: IpAddr, pass: Pass) {
    if app.auth.may_connect(peer.into()).is_err() {
        app.metrics.connections_refused.inc();
        return;
    }
    let form = Form::RawProtobuf;
    let outbox = Outbox::new(app.sessions.next_id(), form, stream, &app.limits);
    let opened = Opened {
        outbox: Arc::new(outbox),
        protocol: Native::new(form, &app.limits),
        address: peer.into(),
        head: Vec::new(),
        bearer: None,
        pass,
    };
    app.lifecycle.spawn(Connection::new(app, opened));
}
