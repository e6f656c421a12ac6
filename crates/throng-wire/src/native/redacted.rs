//! `Debug` of the messages that carry a secret: whatever logs a frame must not log a password or token.

use std::fmt;

use super::v1::{
    Authenticate, ChangePassword, DeleteAccount, Invitation, JoinByLink, Login, Register,
    ResetPassword, RoomLink, Session,
};

const SECRET: &str = "…";

impl fmt::Debug for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Register").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("name", &self.name).field("password", &SECRET).finish()
    }
}

impl fmt::Debug for Authenticate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticate").field("token", &SECRET).finish()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("user", &self.user).field("token", &SECRET).finish()
    }
}

impl fmt::Debug for ChangePassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangePassword").finish_non_exhaustive()
    }
}

impl fmt::Debug for ResetPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResetPassword").finish_non_exhaustive()
    }
}

impl fmt::Debug for DeleteAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeleteAccount").finish_non_exhaustive()
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { uses, expires_at, .. } = self;
        let mut shown = f.debug_struct("Invitation");
        shown.field("link", &SECRET).field("uses", uses).field("expires_at", expires_at).finish()
    }
}

impl fmt::Debug for RoomLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { room, number, uses, .. } = self;
        let mut shown = f.debug_struct("RoomLink");
        shown.field("room", room).field("number", number).field("uses", uses);
        shown.finish_non_exhaustive()
    }
}

impl fmt::Debug for JoinByLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinByLink").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use crate::native::json;

    #[test]
    fn a_frame_that_is_logged_tells_no_secret() {
        for frame in [
            r#"{"register":{"name":"ada","password":"hunter22"}}"#,
            r#"{"login":{"name":"ada","password":"hunter22"}}"#,
            r#"{"authenticate":{"token":"hunter22"}}"#,
            r#"{"register":{"name":"ada","link":"hunter22"}}"#,
            r#"{"change_password":{"password":"hunter22","new_password":"hunter22"}}"#,
            r#"{"delete_account":{"password":"hunter22"}}"#,
            r#"{"join_by_link":{"link":"hunter22"}}"#,
            r#"{"reset_password":{"link":"hunter22","password":"hunter22"}}"#,
        ] {
            let told = format!("{:?}", json::decode_client(frame.as_bytes()).unwrap());
            assert!(!told.contains("hunter22"), "{told}");
        }
        for frame in [
            r#"{"reply":{"invitation":{"link":"hunter22"}}}"#,
            r#"{"reply":{"room_link":{"link":"hunter22"}}}"#,
        ] {
            let told = format!("{:?}", json::decode_server(frame.as_bytes()).unwrap());
            assert!(!told.contains("hunter22"), "{told}");
        }
        let frame = br#"{"reply":{"session":{"user":{"name":"ada"},"token":"hunter22"}}}"#;
        let told = format!("{:?}", json::decode_server(frame).unwrap());
        assert!(told.contains("ada") && !told.contains("hunter22"), "{told}");
    }
}
