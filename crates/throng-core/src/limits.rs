//! Every limit, in one place, each with its reason. Constants bound what a value may be; `Limits`
//! holds those that an operator may set and that a client is told. A limit's comment is also its
//! entry in the configuration reference, so one without a reason cannot be added.

use core::ops::RangeInclusive;

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
/// Accounts that one message may mention: a message to everybody is a message without any.
pub const MENTIONS_MAX: usize = 50;
/// A reaction in bytes: one emoji of any composition, or a short word.
pub const REACTION_LEN_MAX: usize = 64;
/// Different reactions on one message, however many people give each: beyond it nobody can tell them
/// apart, and a page of such messages stays a page.
pub const REACTIONS_MAX: usize = 50;
/// Mentions of one account in one room that are counted; beyond it there are as many, at least.
pub const MENTIONS_COUNTED_MAX: usize = 1_000;
/// Messages that one room may have pinned: a list that is read, not searched.
pub const PINS_MAX: usize = 50;
/// Files that one message may carry.
pub const ATTACHMENTS_MAX: usize = 10;
/// A file's name, in bytes: what file systems take.
pub const FILE_NAME_LEN_MAX: usize = 255;
/// A line above a room, in bytes.
pub const TOPIC_LEN_MAX: usize = 512;
/// Words that a room's filter may name: what people keep by hand, looked through for every message.
pub const FILTER_WORDS_MAX: usize = 200;
/// One of them, in bytes.
pub const FILTER_WORD_LEN_MAX: usize = 64;
/// Slow mode: at most six hours between two posts of one account.
pub const SLOW_SECONDS_MAX: u32 = 21_600;
/// A delay before others than those who keep order see a message: five minutes, in which somebody looks.
/// What waits is kept in memory only, and a restart forgets it.
pub const DELAY_SECONDS_MAX: u32 = 300;
/// Messages of one account that may wait in one room: who says more is not waited for.
pub const HELD_OF_SENDER_MAX: usize = 20;
/// Messages that may wait in one room: more than anybody looks through in five minutes.
pub const HELD_OF_ROOM_MAX: usize = 1_000;
/// What a room may settle about how long it keeps what was said, seconds, besides 0 for ever: what is
/// shorter than a minute would be gone before it was read.
pub const KEEP_SECONDS_MIN: u32 = 60;
/// See above: ten years.
pub const KEEP_SECONDS_MAX: u32 = 315_360_000;
/// A UUID, a ULID or 32 bytes as hex fit.
pub const ORIGIN_ID_LEN_MAX: usize = 64;
/// One page of history, in events.
pub const PAGE_EVENTS_MAX: usize = 100;
/// One page of history, in bytes of bodies and names: 32 of the longest messages.
pub const PAGE_BYTES_MAX: usize = 256 * 1024;
/// One page of the room list.
pub const ROOM_LIST_MAX: usize = 100;
/// Names looked at for one page of rooms that are looked for by a part of their names: a millisecond or two,
/// whatever they are. The page ends there, and the next one goes on.
pub const ROOM_NAMES_LOOKED_AT_MAX: usize = 2_000;
/// An invitation to the server: by how many it may be used at most, in hours how long it may be good
/// for, and how long it is when nothing is said: a crowd's, a month's, a long weekend's.
pub const INVITATION_USES_MAX: u32 = 1_000;
/// See above.
pub const INVITATION_HOURS_MAX: u32 = 720;
/// See above.
pub const INVITATION_HOURS: u32 = 72;
/// How long a link is good for that sets a password or makes the first administrator.
pub const PASSWORD_LINK_HOURS: u32 = 24;
/// What is typed to search for, in bytes: more is pasted by mistake.
pub const SEARCH_LEN_MAX: usize = 256;
/// How long a guest that has gone is remembered, in hours: its name is given to nobody, and where it was
/// banned nobody comes in as a guest from its address.
pub const GUEST_REMEMBERED_HOURS: u32 = 168;
/// Guests that have gone and are remembered; beyond it those that went first are forgotten sooner.
pub const GUESTS_REMEMBERED_MAX: usize = 100_000;
/// Deleted accounts whose names are being taken out of what is kept; beyond it nobody is deleted so for a
/// while (`busy`). Each takes its own password and, on a server that is not overrun, a minute or two.
pub const LEAVERS_MAX: usize = 1_000;
/// Words of one search: each is looked up by itself.
pub const SEARCH_WORDS_MAX: usize = 32;
/// A beginning of a word, in characters: a single letter begins a good part of all words.
pub const SEARCH_PREFIX_CHARS_MIN: usize = 2;
/// Hits of one answer: each is read as it is now.
pub const SEARCH_HITS_MAX: usize = 50;
/// Hits that are ranked, the newest of all rooms searched: each is read from the index.
pub const SEARCH_RANKED_MAX: usize = 1_000;
/// A body over REST, in bytes: the longest message, escaped as wastefully as JSON allows (`\u0000`, six for
/// one), fits; nothing much longer is ever held.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Sessions of one list, those used last.
pub const SESSIONS_LISTED_MAX: usize = 100;
/// Invitations to the server that stand at once: one who is an administrator and broken does not fill the
/// disk.
pub const INVITATIONS_MAX: u64 = 1_000;
/// Links that stand at once in one room: they are read as one list.
pub const ROOM_LINKS_MAX: usize = 20;
/// People who are known to type in one room; further ones are not noted.
pub const TYPING_MAX: usize = 100;
/// Reports that wait to be settled in one room; beyond it nobody looks at them anyway.
pub const REPORTS_OPEN_MAX: usize = 1_000;
/// Of one reporter in one room.
pub const REPORTS_OF_ONE_MAX: usize = 20;
/// Settled reports that are kept for one room, the newest.
pub const REPORTS_SETTLED_MAX: usize = 1_000;
/// Entries of the audit log that are kept for one room, the newest.
pub const AUDIT_ENTRIES_MAX: usize = 10_000;
/// Accounts that one account may block: whoever says something to it is looked for among them.
pub const BLOCKED_MAX: usize = 1_000;
/// A reason or a note, in bytes: some lines, said by one to another.
pub const REASON_LEN_MAX: usize = 500;
/// One page of what those who keep order look at, or of blocked accounts.
pub const OVERSIGHT_LIST_MAX: usize = 100;
/// What a client is told to wait after `unavailable`.
pub const UNAVAILABLE_RETRY_AFTER_MS: u32 = 1_000;

/// One settable limit, for those who read settings and write their reference.
#[derive(Clone, Debug)]
pub struct Settable {
    /// Its name in `Limits` and, behind `limits.`, in the settings.
    pub name: &'static str,
    /// What it is and why: the field's comment.
    pub about: &'static str,
    /// What it is when nobody sets it.
    pub default: u64,
    /// What it may be set to.
    pub allowed: RangeInclusive<u64>,
    /// Reads it.
    pub get: fn(&Limits) -> u64,
    /// Writes it; the value lies within `allowed`.
    pub set: fn(&mut Limits, u64),
}

/// Makes `Limits`, its defaults and `SETTABLE` from one list, so that none of them lacks an entry.
macro_rules! settable_limits {
    ($($(#[doc = $about:literal])+ $name:ident: $kind:ty = $default:literal, $allowed:expr;)+) => {
        /// What an operator may set. `Default` is what a public server should run with.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Limits {
            $($(#[doc = $about])+ pub $name: $kind,)+
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        /// Every field of `Limits`.
        #[expect(clippy::cast_lossless, reason = "one list for integers of several widths")]
        pub const SETTABLE: &[Settable] = &[$(
            Settable {
                name: stringify!($name),
                about: concat!($($about),+),
                default: $default,
                allowed: $allowed,
                get: |limits| limits.$name as u64,
                set: |limits, value| limits.$name = value as $kind,
            },
        )+];
    };
}

settable_limits! {
    /// A frame or message before authentication, bytes: names and a password fit, a bomb does not.
    frame_len_max_anonymous: usize = 4_096, 1_024..=65_536;
    /// A frame or message after it, bytes.
    frame_len_max: usize = 65_536, 16_384..=1_048_576;
    /// Time from accept to a full request head; then for the body of a request that is no file, and the
    /// silence after which an HTTP connection is closed. Above what a proxy keeps idle ones for.
    handshake_timeout_ms: u64 = 5_000, 100..=60_000;
    /// Time from accept to authentication.
    auth_timeout_ms: u64 = 10_000, 100..=60_000;
    /// Silence after which the server pings.
    ping_interval_ms: u64 = 25_000, 100..=600_000;
    /// Silence after a ping that ends the connection.
    ping_timeout_ms: u64 = 20_000, 100..=600_000;
    /// Time for which one may take nothing of what waits for it, before its connection is cut: one that
    /// pauses for less is served when it goes on, one that is gone holds its socket no longer. Over HTTP
    /// too: an answer that is not read, a download that pauses.
    write_timeout_ms: u64 = 10_000, 100..=600_000;
    /// Sends of one account a second, sustained.
    sends_per_second: u32 = 10, 1..=1_000_000;
    /// Sends of one account in a burst.
    sends_burst: u32 = 50, 1..=1_000_000;
    /// Other requests (joins, pages, lists) of one connection a second, sustained; a WebSocket ping
    /// or pong, and a piece of a message below 64 bytes, counts as one.
    requests_per_second: u32 = 50, 1..=1_000_000;
    /// The same, in a burst: a client that opens its rooms after a restart.
    requests_burst: u32 = 2_000, 1..=1_000_000;
    /// Requests over REST a second from one address (or one /64), sustained, that show no token or one
    /// that is good for nothing; those with a good one never count. Guessing and asking for nothing are
    /// not free, and a household whose clients all lost their sessions is not shut out.
    requests_per_second_anonymous: u32 = 20, 1..=1_000_000;
    /// The same, in a burst.
    requests_burst_anonymous: u32 = 400, 1..=1_000_000;
    /// Connections from one address (or one /64).
    connections_per_address: u32 = 100, 1..=1_000_000;
    /// Connections of one account.
    connections_per_user: u32 = 20, 1..=1_000_000;
    /// Connections in all.
    connections_max: u32 = 100_000, 1..=1_000_000;
    /// Accounts on this server: beyond it sign-up is refused, so that the disk is not filled by it.
    users_max: u64 = 10_000_000, 1..=1_000_000_000;
    /// Sessions of one account; a login beyond it ends the one that was used longest ago.
    sessions_per_user_max: u32 = 50, 1..=10_000;
    /// Frames waiting for one connection; beyond it `Disconnect::Slow`.
    outbox_frames_max: usize = 4_096, 16..=1_048_576;
    /// Bytes waiting for one connection; beyond it `Disconnect::Slow`. The frames that may wait, at
    /// 256 B each, so that a pause of either side is no cut. The bytes of an event are held once for
    /// all who wait for it.
    outbox_bytes_max: usize = 1_048_576, 65_536..=67_108_864;
    /// `SO_SNDBUF` of a client's socket, bytes (the kernel doubles it).
    send_buffer_bytes: usize = 32_768, 4_096..=4_194_304;
    /// Events that one resume may return; beyond it `too_old`.
    resume_events_max: usize = 1_000, 1..=100_000;
    /// Membership events are pushed in rooms of at most this many members.
    pushed_members_max: usize = 100, 0..=1_000_000;
    /// Rooms on this server.
    rooms_max: u32 = 1_000_000, 1..=8_388_607;
    /// Members of one room.
    members_max: usize = 100_000, 1..=1_000_000;
    /// Bans, mutes and invitations of one room, in all: they are kept when their bearers leave.
    marked_max: usize = 10_000, 1..=1_000_000;
    /// Rooms of one account.
    rooms_per_user_max: usize = 1_000, 1..=1_000_000;
    /// Rooms that one account makes in an hour, sustained. A room outlasts those who leave it, so that one
    /// who makes rooms and leaves them without end would soon have left none for others.
    rooms_made_per_hour: u32 = 100, 1..=1_000_000;
    /// The same, in a burst: as many as it may belong to.
    rooms_made_burst: u32 = 1_000, 1..=1_000_000;
    /// Commands waiting for a shard; then its connections stop reading.
    shard_queue_max: usize = 4_096, 1..=1_048_576;
    /// Commands decided in one turn.
    turn_max: usize = 1_024, 1..=65_536;
    /// How long a turn that is not full waits for further commands before it is decided; 0 for not at all. The
    /// next one gathers while one commits, so that waiting pays only where a sync is dear and nobody minds.
    turn_wait_ms: u32 = 0, 0..=1_000;
    /// Messages that may wait for their rooms' delays, in all: they are in memory and nowhere else.
    held_max: usize = 100_000, 1..=10_000_000;
    /// Bytes of those, in all: so many of the longest messages would be ten times that.
    held_bytes_max: usize = 67_108_864, 65_536..=4_294_967_296;
    /// How long an `origin_id` is remembered.
    origin_window_ms: u64 = 604_800_000, 0..=31_536_000_000;
    /// How many of the newest posts are remembered by `origin_id`.
    origin_window_posts: u64 = 10_000_000, 0..=1_000_000_000;
    /// Threads that hash passwords, at low priority; 0 for half of the cores, at least one: a hash
    /// fills 19 MiB twice, and what it takes of caches and memory no priority gives back.
    hash_threads: usize = 0, 0..=64;
    /// Passwords waiting to be hashed; beyond it `busy`.
    hash_queue_max: usize = 64, 1..=65_536;
    /// Time a password may wait to be hashed, milliseconds; one that would wait longer is `busy` at
    /// once, because a person gives up and tries again.
    hash_wait_max_ms: u64 = 2_000, 1..=60_000;
    /// Logins a minute for one account.
    logins_per_minute_account: u32 = 5, 1..=1_000_000;
    /// Logins and sign-ups a minute from one address.
    logins_per_minute_address: u32 = 20, 1..=1_000_000;
    /// Guests at a time, where `guests` is `on`.
    guests_max: u32 = 1_000, 1..=1_000_000;
    /// How long one is a guest, milliseconds; then its connections are closed and it leaves its rooms.
    guest_lifetime_ms: u64 = 3_600_000, 1_000..=604_800_000;
    /// Guests a minute from one address: who is sent away should not be back at once as somebody else.
    guests_per_minute_address: u32 = 5, 1..=1_000_000;
    /// Refusals in a row after which a connection is ended.
    refusals_max: u32 = 100, 1..=1_000_000;
    /// Refusals of one connection a second, sustained; beyond it what it sends is not read until it may be
    /// refused again. Refusing costs as much as serving, and a sender whose socket is full costs nothing.
    refusals_per_second: u32 = 20, 1..=1_000_000;
    /// The same, in a burst: more than end a connection in a row.
    refusals_burst: u32 = 200, 1..=1_000_000;
    /// How long an account waits for its next connection when one was sent away for flooding or for what is
    /// no grammar of ours, milliseconds; twice as long each time it comes to that again. 0 for not at all.
    away_ms: u64 = 1_000, 0..=60_000;
    /// The longest such wait: a client that was mended is back within a minute.
    away_ms_max: u64 = 60_000, 1..=3_600_000;
    /// Connections a minute from one address (or one /64) that are sent away so before they are anybody;
    /// beyond it none is taken from there for a while but with a good token.
    abuses_per_minute_address: u32 = 60, 1..=1_000_000;
    /// Searches that wait while others are answered, two at a time; beyond it `busy`.
    search_queue_max: usize = 64, 1..=65_536;
    /// Time of one search, milliseconds; what was found by then is the answer.
    search_time_max_ms: u64 = 500, 1..=60_000;
    /// One file, bytes; 0 takes none. A server in memory takes none whatever stands here.
    file_len_max: u64 = 26_214_400, 0..=1_099_511_627_776;
    /// All files of one account, bytes, those included that are still on their way.
    files_len_per_user_max: u64 = 1_073_741_824, 0..=1_099_511_627_776;
    /// Files of one account, so that many empty ones do not fill the table.
    files_per_user_max: u32 = 10_000, 1..=10_000_000;
    /// Files of one account that are on their way at a time.
    uploads_per_user_max: u32 = 10, 1..=10_000;
    /// How long a file is kept that no message carries, milliseconds, counted from its last use.
    file_unused_ms: u64 = 86_400_000, 3_600_000..=31_536_000_000;
    /// Space of the disk that files leave free, bytes: the log must not be stopped by a picture.
    disk_free_min: u64 = 1_073_741_824, 0..=1_099_511_627_776;
    /// Files being sent or fetched at a time, in all; each holds 64 KiB.
    transfers_max: u32 = 256, 1..=100_000;
    /// Files being sent or fetched at a time by one account.
    transfers_per_user_max: u32 = 8, 1..=100_000;
    /// Time in which a transfer must go on by 64 KiB, milliseconds.
    transfer_stall_ms: u64 = 30_000, 100..=600_000;
    /// A picture of which a small one is made, bytes of it when it is unpacked: twelve megapixels of
    /// a phone fit.
    picture_len_max: u64 = 67_108_864, 65_536..=1_073_741_824;
    /// Pictures waiting to be made small; beyond it `busy`.
    picture_queue_max: usize = 64, 1..=65_536;
    /// How long what is said is kept in rooms that have not settled it, seconds; 0 for ever.
    keep_seconds: u32 = 0, 0..=315_360_000;
    /// The longest that any room keeps what is said, whatever it has settled, seconds; 0 for no such
    /// bound.
    keep_seconds_max: u32 = 0, 0..=315_360_000;
    /// Exports of what an account has, at a time: each reads all of its rooms' history.
    exports_max: u32 = 2, 1..=1_000;
    /// The least time between two exports of one account, milliseconds.
    export_every_ms: u64 = 3_600_000, 0..=604_800_000;
    /// Unfolded events kept in memory before sends must wait, bytes.
    tail_bytes_max: usize = 268_435_456, 1_048_576..=68_719_476_736;
}

impl Limits {
    /// Threads that hash passwords on a machine of so many cores.
    pub fn hash_thread_count(&self, cores: usize) -> usize {
        if self.hash_threads == 0 { (cores / 2).max(1) } else { self.hash_threads }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_can_be_set_to_both_ends_of_what_is_allowed_and_its_default_lies_between() {
        for limit in SETTABLE {
            let mut limits = Limits::default();
            assert_eq!((limit.get)(&limits), limit.default, "{}", limit.name);
            assert!(limit.allowed.contains(&limit.default), "{}", limit.name);
            assert!(!limit.about.trim().is_empty(), "{}", limit.name);
            for value in [*limit.allowed.start(), *limit.allowed.end()] {
                (limit.set)(&mut limits, value);
                assert_eq!((limit.get)(&limits), value, "{}", limit.name);
            }
        }
    }
}
