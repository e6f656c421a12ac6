//! Every limit, in one place, each with its reason. Constants bound what a value may be; `Limits`
//! holds those that an operator may set and that a client is told.

/// Shorter names are squatted, not chosen.
pub const USERNAME_LEN_MIN: usize = 2;
/// Fits a column of any client.
pub const USERNAME_LEN_MAX: usize = 32;
/// NIST SP 800-63B: at least eight.
pub const PASSWORD_LEN_MIN: usize = 8;
/// Long passphrases pass; hashing cost stays flat.
pub const PASSWORD_LEN_MAX: usize = 256;
/// Fits one line of a list.
pub const ROOM_NAME_CHARS_MAX: usize = 64;
/// A page of text; a tenth of the frame limit, so that a page of history stays bounded.
pub const BODY_LEN_MAX: usize = 8 * 1024;
/// A UUID, a ULID or 32 bytes as hex fit.
pub const ORIGIN_ID_LEN_MAX: usize = 64;
/// One page of history, in events.
pub const PAGE_EVENTS_MAX: usize = 100;
/// One page of history, in bytes of bodies and names: 32 of the longest messages.
pub const PAGE_BYTES_MAX: usize = 256 * 1024;
/// One page of the room list.
pub const ROOM_LIST_MAX: usize = 100;
/// What a client is told to wait after `unavailable`.
pub const UNAVAILABLE_RETRY_AFTER_MS: u32 = 1_000;

/// What an operator may set. `Default` is what a public server should run with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A frame or message before authentication, bytes: names and a password fit, a bomb does not.
    pub frame_len_max_anonymous: usize,
    /// A frame or message after it, bytes.
    pub frame_len_max: usize,
    /// Time from accept to a full request head.
    pub handshake_timeout_ms: u64,
    /// Time from accept to authentication.
    pub auth_timeout_ms: u64,
    /// Silence after which the server pings.
    pub ping_interval_ms: u64,
    /// Silence after a ping that ends the connection.
    pub ping_timeout_ms: u64,
    /// Sends of one account a second, sustained.
    pub sends_per_second: u32,
    /// Sends of one account in a burst.
    pub sends_burst: u32,
    /// Other requests (joins, pages, lists) of one connection a second, sustained.
    pub requests_per_second: u32,
    /// The same, in a burst: a client that opens its rooms after a restart.
    pub requests_burst: u32,
    /// Connections from one address (or one /64).
    pub connections_per_address: u32,
    /// Connections of one account.
    pub connections_per_user: u32,
    /// Connections in all.
    pub connections_max: u32,
    /// Frames waiting for one connection; beyond it `Disconnect::Slow`.
    pub outbox_frames_max: usize,
    /// Bytes waiting for one connection; beyond it `Disconnect::Slow`.
    pub outbox_bytes_max: usize,
    /// `SO_SNDBUF` of a client's socket, bytes (the kernel doubles it).
    pub send_buffer_bytes: usize,
    /// Events that one resume may return; beyond it `too_old`.
    pub resume_events_max: usize,
    /// Membership events are pushed in rooms of at most this many members.
    pub pushed_members_max: usize,
    /// Rooms on this server.
    pub rooms_max: u32,
    /// Members of one room.
    pub members_max: usize,
    /// Rooms of one account.
    pub rooms_per_user_max: usize,
    /// Commands waiting for a shard; then its connections stop reading.
    pub shard_queue_max: usize,
    /// Commands decided in one turn.
    pub turn_max: usize,
    /// How long an `origin_id` is remembered.
    pub origin_window_ms: u64,
    /// How many of the newest posts are remembered by `origin_id`.
    pub origin_window_posts: u64,
    /// Threads that hash passwords.
    pub hash_threads: usize,
    /// Passwords waiting to be hashed; beyond it `busy`.
    pub hash_queue_max: usize,
    /// Logins a minute for one account.
    pub logins_per_minute_account: u32,
    /// Logins and sign-ups a minute from one address.
    pub logins_per_minute_address: u32,
    /// Refusals in a row after which a connection is ended.
    pub refusals_max: u32,
    /// Unfolded events kept in memory before sends must wait, bytes.
    pub tail_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_len_max_anonymous: 4 * 1024,
            frame_len_max: 64 * 1024,
            handshake_timeout_ms: 5_000,
            auth_timeout_ms: 10_000,
            ping_interval_ms: 25_000,
            ping_timeout_ms: 20_000,
            sends_per_second: 10,
            sends_burst: 50,
            requests_per_second: 50,
            requests_burst: 2_000,
            connections_per_address: 100,
            connections_per_user: 20,
            connections_max: 100_000,
            outbox_frames_max: 4_096,
            outbox_bytes_max: 256 * 1024,
            send_buffer_bytes: 32 * 1024,
            resume_events_max: 1_000,
            pushed_members_max: 100,
            rooms_max: 1_000_000,
            members_max: 100_000,
            rooms_per_user_max: 1_000,
            shard_queue_max: 4_096,
            turn_max: 1_024,
            origin_window_ms: 7 * 24 * 3_600 * 1_000,
            origin_window_posts: 10_000_000,
            hash_threads: 1,
            hash_queue_max: 64,
            logins_per_minute_account: 5,
            logins_per_minute_address: 20,
            refusals_max: 100,
            tail_bytes_max: 256 * 1024 * 1024,
        }
    }
}
