//! The two tables of refusal. A `Rejection` answers one request; a `Disconnect` ends a connection
//! and says by its code whether to come back. Codes never change their meaning.

use crate::limits;

/// A refusal of one request. The number and name go over the wire; texts may be reworded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// The frame was not of the grammar.
    Malformed,
    /// The request is not one this server knows.
    UnknownRequest,
    /// A name outside the rules of `Username`.
    BadUsername,
    /// A password outside `PASSWORD_LEN_MIN..=PASSWORD_LEN_MAX`.
    BadPassword,
    /// A name outside the rules of `RoomName`.
    BadRoomName,
    /// A message without text.
    EmptyBody,
    /// A message above `BODY_LEN_MAX`.
    BodyTooLong,
    /// An id outside the rules of `OriginId`.
    BadOriginId,
    /// A number outside what the field allows.
    BadArgument,
    /// Asked before `authenticate`.
    NotAuthenticated,
    /// The name or the password is wrong; which of the two is not said.
    WrongCredentials,
    /// The token is not known, or was revoked.
    BadToken,
    /// The username is in use.
    UsernameTaken,
    /// The room's name is in use.
    RoomNameTaken,
    /// There is no such room.
    NoSuchRoom,
    /// The room is not one the asker is a member of.
    NotMember,
    /// The position is older than what can be resumed in one go, or of another epoch: read pages.
    TooOld,
    /// More rooms, members or accounts than this server allows.
    LimitReached,
    /// This connection speaks for an account already.
    AlreadyAuthenticated,
    /// Sent faster than allowed; retry after the time given.
    RateLimited {
        /// When to try again.
        retry_after_ms: u32,
    },
    /// The password pool's queue is full; retry after the time given.
    Busy {
        /// When to try again.
        retry_after_ms: u32,
    },
    /// The server could not keep the promise asked for (a failed commit, a full disk). Nothing was
    /// done; the same request may be tried again.
    Unavailable,
}

impl Rejection {
    /// The number on the wire. 1xx: the request is wrong; 2xx: the asker may not; 3xx: not now.
    pub fn code(self) -> u16 {
        match self {
            Self::Malformed => 100,
            Self::UnknownRequest => 101,
            Self::BadUsername => 102,
            Self::BadPassword => 103,
            Self::BadRoomName => 104,
            Self::EmptyBody => 105,
            Self::BodyTooLong => 106,
            Self::BadOriginId => 107,
            Self::BadArgument => 108,
            Self::NotAuthenticated => 200,
            Self::WrongCredentials => 201,
            Self::BadToken => 202,
            Self::UsernameTaken => 203,
            Self::RoomNameTaken => 204,
            Self::NoSuchRoom => 205,
            Self::NotMember => 206,
            Self::TooOld => 207,
            Self::LimitReached => 208,
            Self::AlreadyAuthenticated => 209,
            Self::RateLimited { .. } => 300,
            Self::Busy { .. } => 301,
            Self::Unavailable => 302,
        }
    }

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownRequest => "unknown_request",
            Self::BadUsername => "bad_username",
            Self::BadPassword => "bad_password",
            Self::BadRoomName => "bad_room_name",
            Self::EmptyBody => "empty_body",
            Self::BodyTooLong => "body_too_long",
            Self::BadOriginId => "bad_origin_id",
            Self::BadArgument => "bad_argument",
            Self::NotAuthenticated => "not_authenticated",
            Self::WrongCredentials => "wrong_credentials",
            Self::BadToken => "bad_token",
            Self::UsernameTaken => "username_taken",
            Self::RoomNameTaken => "room_name_taken",
            Self::NoSuchRoom => "no_such_room",
            Self::NotMember => "not_member",
            Self::TooOld => "too_old",
            Self::LimitReached => "limit_reached",
            Self::AlreadyAuthenticated => "already_authenticated",
            Self::RateLimited { .. } => "rate_limited",
            Self::Busy { .. } => "busy",
            Self::Unavailable => "unavailable",
        }
    }

    /// For a person: what was refused and what can be done.
    pub fn text(self) -> &'static str {
        match self {
            Self::Malformed => "the frame could not be read; see the protocol reference",
            Self::UnknownRequest => "no such request; see the protocol reference",
            Self::BadUsername => {
                "a username is 2 to 32 letters, digits, dots, dashes or underscores"
            }
            Self::BadPassword => "a password is 8 to 256 bytes",
            Self::BadRoomName => "a room name is 1 to 64 visible characters",
            Self::EmptyBody => "a message needs a text",
            Self::BodyTooLong => "the message is longer than this server allows",
            Self::BadOriginId => "an origin_id is 1 to 64 visible ASCII characters",
            Self::BadArgument => "a number is outside of what this request allows",
            Self::NotAuthenticated => "log in or authenticate first",
            Self::WrongCredentials => "the name or the password is wrong",
            Self::BadToken => "the token is not valid any more; log in again",
            Self::UsernameTaken => "that username is taken; choose another",
            Self::RoomNameTaken => "a room of that name exists; join it or choose another",
            Self::NoSuchRoom => "there is no such room",
            Self::NotMember => "join the room first",
            Self::TooOld => "too much has happened since; read pages of history instead",
            Self::LimitReached => "this server's limit is reached; see the limits it announces",
            Self::AlreadyAuthenticated => "this connection is logged in; open another one",
            Self::RateLimited { .. } => "too fast; try again after the time given",
            Self::Busy { .. } => "too many logins at once; try again after the time given",
            Self::Unavailable => "the server cannot do this now; nothing was done, try again",
        }
    }

    /// Milliseconds to wait before the same request can succeed, where that is known.
    pub fn retry_after_ms(self) -> Option<u32> {
        match self {
            Self::RateLimited { retry_after_ms } | Self::Busy { retry_after_ms } => {
                Some(retry_after_ms)
            }
            Self::Unavailable => Some(limits::UNAVAILABLE_RETRY_AFTER_MS),
            _ => None,
        }
    }
}

/// A farewell. On WebSocket the number is the close code (RFC 6455 §7.4): below 4000 as the RFC
/// names them; 40xx: come back and resume; 44xx: do not come back the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Disconnect {
    /// The client said goodbye.
    Normal,
    /// The server is being restarted or shut down: come back after a while.
    Shutdown,
    /// The client broke the WebSocket grammar.
    ProtocolError,
    /// A frame of the wrong kind (text where binary was agreed, or the reverse).
    WrongKind,
    /// Text that was not UTF-8.
    NotUtf8,
    /// A frame or message above the limit.
    TooBig,
    /// The client read too slowly, its outbox was full: come back and resume.
    Slow,
    /// No pong came in time: come back and resume.
    PingTimeout,
    /// Something here went wrong with this connection alone: come back and resume.
    Internal,
    /// No authentication in time.
    AuthTimeout,
    /// The session was ended by a log-out: log in again.
    SessionEnded,
    /// Too many requests in a row were refused: the client is broken or hostile.
    TooManyRefusals,
    /// More connections than one address or account may hold.
    TooManyConnections,
}

impl Disconnect {
    /// The close code.
    pub fn code(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::Shutdown => 1012,
            Self::ProtocolError => 1002,
            Self::WrongKind => 1003,
            Self::NotUtf8 => 1007,
            Self::TooBig => 1009,
            Self::Slow => 4000,
            Self::PingTimeout => 4001,
            Self::Internal => 4002,
            Self::AuthTimeout => 4400,
            Self::SessionEnded => 4401,
            Self::TooManyRefusals => 4402,
            Self::TooManyConnections => 4403,
        }
    }

    /// The name that goes with the code.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Shutdown => "shutdown",
            Self::ProtocolError => "protocol_error",
            Self::WrongKind => "wrong_kind",
            Self::NotUtf8 => "not_utf8",
            Self::TooBig => "too_big",
            Self::Slow => "slow",
            Self::PingTimeout => "ping_timeout",
            Self::Internal => "internal",
            Self::AuthTimeout => "auth_timeout",
            Self::SessionEnded => "session_ended",
            Self::TooManyRefusals => "too_many_refusals",
            Self::TooManyConnections => "too_many_connections",
        }
    }

    /// Whether the client should come back and resume.
    pub fn reconnect(self) -> bool {
        matches!(self, Self::Shutdown | Self::Slow | Self::PingTimeout | Self::Internal)
    }
}
