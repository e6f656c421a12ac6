//! The two tables of refusal. A `Rejection` answers one request; a `Disconnect` ends a connection
//! and says by its code whether to come back. Codes never change their meaning;
//! `docs/reference/protocol.md` tells them to clients, and a test compares.

use crate::limits;

/// Makes `Rejection` and its table from one list, so that no entry lacks a part.
macro_rules! rejections {
    ($(
        $(#[doc = $about:literal])+
        $variant:ident $({ $wait:ident })? = $code:literal, $name:literal, $text:literal;
    )+) => {
        /// A refusal of one request. The number and name go over the wire; texts may be reworded.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Rejection {
            $($(#[doc = $about])+ $variant $({
                /// When to try again.
                $wait: u32,
            })?,)+
        }

        impl Rejection {
            /// Every one, with nothing to wait for.
            pub const ALL: &[Self] = &[$(Self::$variant $({ $wait: 0 })?,)+];

            /// The number on the wire. 1xx: the request is wrong; 2xx: the asker may not; 3xx: not now.
            pub fn code(self) -> u16 {
                match self { $(Self::$variant { .. } => $code,)+ }
            }

            /// The name on the wire.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant { .. } => $name,)+ }
            }

            /// For a person: what was refused and what can be done.
            pub fn text(self) -> &'static str {
                match self { $(Self::$variant { .. } => $text,)+ }
            }
        }
    };
}

rejections! {
    /// The frame was not of the grammar.
    Malformed = 100, "malformed", "the frame could not be read; see the protocol reference";
    /// The request is not one this server knows.
    UnknownRequest = 101, "unknown_request", "no such request; see the protocol reference";
    /// A name outside the rules of `Username`.
    BadUsername = 102, "bad_username",
        "a username is 2 to 32 letters, digits, dots, dashes or underscores";
    /// A password outside `PASSWORD_LEN_MIN..=PASSWORD_LEN_MAX`.
    BadPassword = 103, "bad_password", "a password is 8 to 256 bytes";
    /// A name outside the rules of `RoomName`.
    BadRoomName = 104, "bad_room_name", "a room name is 1 to 64 visible characters";
    /// A message without text or file.
    EmptyBody = 105, "empty_body", "a message needs a text or a file";
    /// A message above `BODY_LEN_MAX`.
    BodyTooLong = 106, "body_too_long", "the message is longer than this server allows";
    /// An id outside the rules of `OriginId`.
    BadOriginId = 107, "bad_origin_id", "an origin_id is 1 to 64 visible ASCII characters";
    /// A number or a text outside what the field allows, or nothing where something is asked for.
    BadArgument = 108, "bad_argument",
        "a field of this request is missing, or is not one of those it allows";
    /// A topic above `TOPIC_LEN_MAX`, or with characters that do not show.
    BadTopic = 109, "bad_topic", "a topic is one line of at most 512 bytes that show";
    /// A text outside the rules of `Reaction`.
    BadReaction = 120, "bad_reaction", "a reaction is 1 to 64 bytes that show, without spaces";
    /// A word filter that is too long, or an entry that is no word.
    BadWords = 150, "bad_words", "a filter has at most 200 words of at most 64 bytes each";
    /// A search that names nothing to look for.
    EmptyQuery = 145, "empty_query", "name at least one word to look for";
    /// A search that is not of the grammar, or too long.
    BadQuery = 146, "bad_query",
        "search for words, \"phrases\", beginnings* of two letters or more and -without; not so many";
    /// A part of a file that does not go on where the last one ended, or two at once.
    WrongOffset = 140, "wrong_offset", "the file does not go on there; ask how much has come";
    /// A file above `file_len_max`.
    FileTooLarge = 141, "file_too_large", "the file is larger than this server allows";
    /// A file of which no small picture can be made: no picture, a broken one, or one that unpacks to more
    /// than it may.
    BadPicture = 142, "bad_picture",
        "no small picture can be made of that file; send a PNG, JPEG, GIF or WebP, not too large";
    /// Asked before `authenticate`.
    NotAuthenticated = 200, "not_authenticated", "log in or authenticate first";
    /// The name or the password is wrong; which of the two is not said.
    WrongCredentials = 201, "wrong_credentials", "the name or the password is wrong";
    /// The token is not known, or was revoked.
    BadToken = 202, "bad_token", "the token is not valid any more; log in again";
    /// The username is in use.
    UsernameTaken = 203, "username_taken", "that username is taken; choose another";
    /// The room's name is in use.
    RoomNameTaken = 204, "room_name_taken", "a room of that name exists; join it or choose another";
    /// There is no such room.
    NoSuchRoom = 205, "no_such_room", "there is no such room";
    /// The room is not one the asker is a member of.
    NotMember = 206, "not_member", "join the room first";
    /// The position is older than what can be resumed in one go, or of another epoch: read pages.
    TooOld = 207, "too_old", "too much has happened since; read pages of history instead";
    /// More rooms, members or accounts than this server allows.
    LimitReached = 208, "limit_reached",
        "there are as many of these as this server allows";
    /// This connection speaks for an account already.
    AlreadyAuthenticated = 209, "already_authenticated",
        "this connection is logged in; open another one";
    /// The room's rules or the asker's role do not allow it.
    Forbidden = 210, "forbidden", "your role does not allow that";
    /// The asker was muted.
    Muted = 211, "muted", "you are muted in this room";
    /// Only some may speak there, and the asker is not one of them.
    NoVoice = 212, "no_voice", "only some may speak in this room; ask a moderator for voice";
    /// The asker, or the one to be invited, was banned.
    Banned = 213, "banned", "banned from this room";
    /// There is no such account, or it does not belong to the room.
    NoSuchUser = 214, "no_such_user", "there is no such user, or not in this room";
    /// The place holds no message that the asker may see, or one that was deleted.
    NoSuchMessage = 215, "no_such_message", "there is no such message";
    /// No such file, or it is not the asker's, or it is not carried by that message, or not whole.
    NoSuchFile = 240, "no_such_file", "there is no such file";
    /// The account's files are as many, or as large, as they may be.
    QuotaExceeded = 241, "quota_exceeded", "your files take all the room they may; those that no message carries make room in a day";
    /// The room's filter does not let a word of the text pass.
    WordRefused = 250, "word_refused", "this room does not allow a word of that message";
    /// No report of that number waits in the room.
    NoSuchReport = 251, "no_such_report", "no report of that number waits here";
    /// The other does not want to hear from the asker.
    NotAccepted = 252, "not_accepted", "that user takes no messages from you";
    /// This server takes no sign-ups, whatever is brought.
    SignUpClosed = 260, "sign_up_closed", "nobody may sign up on this server";
    /// This server takes no sign-ups without an invitation.
    InvitationNeeded = 264, "invitation_needed", "signing up here needs an invitation";
    /// The link is not known, used up, expired, or for something else.
    BadLink = 261, "bad_link", "the link is not valid any more; ask for another one";
    /// The account has no such session.
    NoSuchSession = 262, "no_such_session", "there is no such session";
    /// This server takes nobody without an account.
    NoGuests = 263, "no_guests", "this server takes no guests; log in or sign up";
    /// This server keeps no search index.
    SearchOff = 245, "search_off", "search is switched off on this server";
    /// Sent faster than allowed; retry after the time given.
    RateLimited { retry_after_ms } = 300, "rate_limited",
        "too fast; try again after the time given";
    /// As much of this as may be is under way (passwords, pages, searches, exports, files); retry after
    /// the time given.
    Busy { retry_after_ms } = 301, "busy",
        "too much of this at once; try again after the time given";
    /// Slow mode: too soon after the asker's last post; retry after the time given.
    SlowMode { retry_after_ms } = 303, "slow_mode",
        "this room is in slow mode; try again after the time given";
    /// The disk has no room left for files; chat goes on.
    DiskFull = 340, "disk_full", "this server has no room for files now; try again later";
    /// The server could not keep the promise asked for (a failed commit, a full disk). Nothing was
    /// done; the same request may be tried again.
    Unavailable = 302, "unavailable", "the server cannot do this now; nothing was done, try again";
}

impl Rejection {
    /// Milliseconds to wait before the same request can succeed, where that is known.
    pub fn retry_after_ms(self) -> Option<u32> {
        match self {
            Self::RateLimited { retry_after_ms }
            | Self::Busy { retry_after_ms }
            | Self::SlowMode { retry_after_ms } => Some(retry_after_ms),
            Self::Unavailable => Some(limits::UNAVAILABLE_RETRY_AFTER_MS),
            _ => None,
        }
    }

    /// The server's own fault: whoever asked did nothing wrong.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Unavailable)
    }
}

/// Makes `Disconnect` and its table from one list.
macro_rules! disconnects {
    ($(
        $(#[doc = $about:literal])+
        $variant:ident = $code:literal, $reason:literal, reconnect $reconnect:literal;
    )+) => {
        /// A farewell. On WebSocket the number is the close code (RFC 6455 §7.4): below 4000 as the
        /// RFC names them; 40xx: come back and resume; 44xx: do not come back the same way.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Disconnect {
            $($(#[doc = $about])+ $variant,)+
        }

        impl Disconnect {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The close code.
            pub fn code(self) -> u16 {
                match self { $(Self::$variant => $code,)+ }
            }

            /// The name that goes with the code.
            pub fn reason(self) -> &'static str {
                match self { $(Self::$variant => $reason,)+ }
            }

            /// Whether the client should come back and resume.
            pub fn reconnect(self) -> bool {
                match self { $(Self::$variant => $reconnect,)+ }
            }
        }
    };
}

disconnects! {
    /// The client said goodbye.
    Normal = 1000, "normal", reconnect false;
    /// The server is being restarted or shut down: come back after a while.
    Shutdown = 1012, "shutdown", reconnect true;
    /// The client broke the WebSocket grammar.
    ProtocolError = 1002, "protocol_error", reconnect false;
    /// A frame of the wrong kind (text where binary was agreed, or the reverse).
    WrongKind = 1003, "wrong_kind", reconnect false;
    /// Text that was not UTF-8.
    NotUtf8 = 1007, "not_utf8", reconnect false;
    /// A frame or message above the limit.
    TooBig = 1009, "too_big", reconnect false;
    /// The client read too slowly, its outbox was full: come back and resume.
    Slow = 4000, "slow", reconnect true;
    /// No pong came in time: come back and resume.
    PingTimeout = 4001, "ping_timeout", reconnect true;
    /// Something here went wrong with this connection alone: come back and resume.
    Internal = 4002, "internal", reconnect true;
    /// No authentication in time.
    AuthTimeout = 4400, "auth_timeout", reconnect false;
    /// The session was ended by a log-out: log in again.
    SessionEnded = 4401, "session_ended", reconnect false;
    /// Too many requests in a row were refused: the client is broken or hostile.
    TooManyRefusals = 4402, "too_many_refusals", reconnect false;
    /// More connections than one address or account may hold.
    TooManyConnections = 4403, "too_many_connections", reconnect false;
}

impl Disconnect {
    /// It ends one that floods, or that does not speak what was agreed.
    pub fn is_abuse(self) -> bool {
        matches!(
            self,
            Self::TooManyRefusals
                | Self::ProtocolError
                | Self::WrongKind
                | Self::NotUtf8
                | Self::TooBig
        )
    }
}
