//! Whether the accounts that a message mentions are somebody's.
//!
//! Neighbours: connections and REST ask it of a post before it goes into its shard's queue. Numbers are
//! given in their order, so that below the greatest that was seen nothing is looked up; a message that
//! mentions nobody asks nothing.

use throng_core::{Command, Rejection, UserId};

use super::App;

impl App {
    /// Whether all that a command mentions are known to be somebody's, or to have been.
    pub fn knows_mentioned(&self, command: &Command) -> bool {
        mentioned(command).iter().all(|user| self.auth.accounts().was_given(*user))
    }

    /// Looks for those that are not known yet; a number that is nobody's is refused.
    pub(super) async fn find_mentioned(&self, command: &Command) -> Result<(), Rejection> {
        let accounts = self.auth.accounts();
        for user in mentioned(command) {
            if !accounts.was_given(*user) && accounts.known(*user).await?.is_none() {
                return Err(Rejection::BadArgument);
            }
        }
        Ok(())
    }
}

fn mentioned(command: &Command) -> &[UserId] {
    match command {
        Command::Post { extras: Some(extras), .. } => &extras.mentions,
        _ => &[],
    }
}
