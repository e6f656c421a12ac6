//! What must happen when the accounts end a session, or can no longer be written.
//!
//! Neighbours: the accounts' thread calls it, and may not wait; `sessions` closes, `lifecycle` ends.

use std::sync::Arc;

use throng_core::SessionId;

use crate::accounts::{AccountsError, Watch};
use crate::lifecycle::Fatal;
use crate::sessions::Sessions;

/// Closes the connections of sessions that end.
#[derive(Debug)]
pub struct SessionsWatch {
    sessions: Arc<Sessions>,
    fatal: Fatal,
}

impl SessionsWatch {
    /// Over these.
    pub fn new(sessions: &Arc<Sessions>, fatal: &Fatal) -> Self {
        Self { sessions: Arc::clone(sessions), fatal: fatal.clone() }
    }
}

impl Watch for SessionsWatch {
    fn session_ended(&self, session: SessionId) {
        self.sessions.end(session);
    }

    fn sync_failed(&self, error: &AccountsError) {
        self.fatal.sync_failed(error);
    }
}
