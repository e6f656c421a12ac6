//! What need not arrive: tellings of who is here, of which the next one says all anew.
//!
//! Neighbours: the fan-out hints; `outbox.rs` is the queue. A hint never waits for a socket that refuses,
//! so that nobody is cut for hints and no message stands behind many of them.

use std::io;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use throng_core::UserId;

use super::{Outbox, Phase, Writer};

impl Outbox {
    /// Written now, or with what is staged; false if the socket has refused something, and then it is
    /// left out.
    pub fn hint(&self, chunk: &Bytes, writer: &mut Writer) -> bool {
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return true;
        }
        if state.blocked || (!state.waiting.is_empty() && !state.staged) {
            return false;
        }
        if state.staged {
            state.push(chunk.clone(), 1, false);
            return true;
        }
        match self.stream.try_write(chunk) {
            Ok(len) if len == chunk.len() => writer.wrote(1, len),
            Ok(len) => {
                // What has begun must end.
                writer.wrote(0, len);
                state.push(chunk.slice(len..), 1, false);
                state.begun = true;
                state.signal_blocked();
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(_) => state.gone(),
        }
        true
    }

    /// Whether the socket refused something that waits still.
    pub fn is_blocked(&self) -> bool {
        self.lock().blocked
    }

    /// From now on it speaks for this account.
    pub fn speaks_for(&self, user: UserId) {
        self.user.store(user.get(), Ordering::Relaxed);
    }

    /// The account that it speaks for.
    pub fn user(&self) -> Option<UserId> {
        UserId::new(self.user.load(Ordering::Relaxed))
    }
}
