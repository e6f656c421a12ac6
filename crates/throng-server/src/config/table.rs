//! Every setting: its key, what it is for, what is allowed. The limits come from the core's list,
//! the rest stands here. It never holds a value: `Settings` does.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::LazyLock;

use throng_core::limits::{DELAY_SECONDS_MAX, SETTABLE, SLOW_SECONDS_MAX};
use throng_core::{Speak, Visibility};

use super::{Fate, LogFormat, Settings};
use crate::address::{Cidr, TrustedProxies};
use crate::auth::{Guests, SignUp};

/// More shards than cores only add turns to sync.
pub(super) const SHARDS_MAX: usize = 64;

/// A value as a file or an argument gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// `true` or `false`.
    Flag(bool),
    /// A list of texts.
    List(Vec<String>),
}

impl Value {
    fn text(&self) -> Result<&str, String> {
        if let Self::Text(text) = self { Ok(text) } else { Err(self.to_string()) }
    }

    fn flag(&self) -> Result<bool, String> {
        if let Self::Flag(flag) = self { Ok(*flag) } else { Err(self.to_string()) }
    }

    fn list(&self) -> Result<&[String], String> {
        if let Self::List(list) = self { Ok(list) } else { Err(self.to_string()) }
    }

    fn number(&self, low: u64, high: u64) -> Result<u64, String> {
        match self {
            Self::Number(number) => u64::try_from(*number)
                .ok()
                .filter(|number| (low..=high).contains(number))
                .ok_or_else(|| self.to_string()),
            _ => Err(self.to_string()),
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => write!(f, "'{text}'"),
            Self::Number(number) => number.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
            Self::List(list) => write!(f, "{list:?}"),
        }
    }
}

/// One setting.
pub struct Setting {
    /// Its key in a file and after `--set`.
    pub key: String,
    /// What it is, and why its default is what it is.
    pub about: &'static str,
    /// What it may be.
    pub allowed: String,
    /// Reads it, as TOML writes it.
    pub get: Box<dyn Fn(&Settings) -> String + Send + Sync>,
    /// Writes it; `Err` is what was given.
    pub set: Box<SetSetting>,
}

type SetSetting = dyn Fn(&mut Settings, &Value) -> Result<(), String> + Send + Sync;

impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setting").field("key", &self.key).finish_non_exhaustive()
    }
}

/// All settings, in the order of the reference.
pub static SETTINGS: LazyLock<Vec<Setting>> =
    LazyLock::new(|| own().into_iter().chain(limits()).collect());

/// The setting of that key.
pub(super) fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// All keys.
pub(super) fn keys() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|setting| setting.key.as_str())
}

fn own() -> Vec<Setting> {
    let mut settings = places();
    settings.push(search());
    settings.push(compress_history());
    settings.push(presence());
    settings.push(stage_timings());
    settings.extend(accounts());
    settings.extend(rooms());
    settings.extend(doors());
    settings.extend(logging());
    settings
}

/// Where it listens and where it keeps its data.
fn places() -> Vec<Setting> {
    vec![
        setting(
            "listen",
            "Where HTTP and WebSocket are served. Only this machine by default: a server that the \
             world can reach should be put there on purpose, behind something that speaks TLS.",
            "an address with a port, as 127.0.0.1:8080 or [::]:8080",
            |settings| format!("\"{}\"", settings.listen),
            |settings, value| {
                settings.listen = address(value)?;
                Ok(())
            },
        ),
        setting(
            "raw_listen",
            "Where length-prefixed Protobuf over bare TCP is served; empty for nowhere.",
            "an address with a port, or empty",
            |settings| {
                format!("\"{}\"", settings.raw_listen.map(|a| a.to_string()).unwrap_or_default())
            },
            |settings, value| {
                let none = value.text()?.is_empty();
                settings.raw_listen = if none { None } else { Some(address(value)?) };
                Ok(())
            },
        ),
        setting(
            "data",
            "The data folder; made when it is missing. One server at a time may use it.",
            "a path",
            |settings| format!("{:?}", settings.data.display().to_string()),
            |settings, value| {
                let text = value.text()?;
                if text.is_empty() {
                    return Err(value.to_string());
                }
                settings.data = PathBuf::from(text);
                Ok(())
            },
        ),
        setting(
            "memory",
            "Keep everything in memory and nothing on disk: for a trial, or as the ceiling of a \
             measurement. A `durable` ack then means: until the process ends.",
            "true or false",
            |settings| settings.memory.to_string(),
            |settings, value| {
                settings.memory = value.flag()?;
                Ok(())
            },
        ),
        setting(
            "shards",
            "Units of order: rooms are spread over them, each has a thread that decides. 0 for one \
             for two cores; more only adds turns that share a sync, and writes that could be one. \
             May be changed between starts.",
            "a number from 0 to 64",
            |settings| settings.shards.to_string(),
            |settings, value| {
                settings.shards = value.number(0, SHARDS_MAX as u64)? as usize;
                Ok(())
            },
        ),
    ]
}

/// Whether messages are found by their words.
fn search() -> Setting {
    setting(
        "search",
        "Keep an index of all messages in a file of its own (search.db), so that they can be found \
         by their words. Switched off, searches are refused and the file is left as it is; switched \
         on again, what is missing is taken in.",
        "true or false",
        |settings| settings.search.to_string(),
        |settings, value| {
            settings.search = value.flag()?;
            Ok(())
        },
    )
}

/// Whether old pages are packed.
fn compress_history() -> Setting {
    setting(
        "compress_history",
        "Pack blocks of history (zstd) when they are full: chat takes about half of the disk then. It \
         costs the fold up to a fifth of its time, and a page of history takes up to two and a half \
         times as long to read: off, because a disk is larger than a core is quick. May be changed \
         between starts: what was written either way is read.",
        "true or false",
        |settings| settings.compress_history.to_string(),
        |settings, value| {
            settings.compress_history = value.flag()?;
            Ok(())
        },
    )
}

/// Whether it is told who is here.
fn presence() -> Setting {
    setting(
        "presence",
        "Who hears a room is told who else does and who types, once a second where that has changed. \
         Switched off, nothing of it is told and `typing` is taken and passed over; a list of members \
         says all the same who is here when it is asked for.",
        "true or false",
        |settings| settings.presence.to_string(),
        |settings, value| {
            settings.presence = value.flag()?;
            Ok(())
        },
    )
}

/// Whether the stages are timed.
fn stage_timings() -> Setting {
    setting(
        "stage_timings",
        "Count how long a message takes in each stage, for `/metrics` (`throng_stage_seconds`). Switched \
         off, that family is not there, and `throng lab` cannot say where an ack's time went.",
        "true or false",
        |settings| settings.stage_timings.to_string(),
        |settings, value| {
            settings.stage_timings = value.flag()?;
            Ok(())
        },
    )
}

/// Who may come in.
fn doors() -> Vec<Setting> {
    vec![
        setting(
            "websocket_deflate",
            "Messages above 1 KiB are compressed (permessage-deflate, no context takeover) for \
             clients that offer it: once for all who get them. Off, because most chat is shorter, \
             pages of history are compressed for each reader, and the length of what is \
             compressed tells one who watches the line something of its content.",
            "true or false",
            |settings| settings.websocket_deflate.to_string(),
            |settings, value| {
                settings.websocket_deflate = value.flag()?;
                Ok(())
            },
        ),
        setting(
            "allowed_origins",
            "Pages of other hosts that may open a WebSocket. A page this server served itself always \
             may, and so may clients that are no browser and send no Origin; every other page is \
             refused, or any page a user opens could speak in the user's name.",
            "a list of origins, as \"https://chat.example\"",
            |settings| format!("{:?}", settings.allowed_origins),
            |settings, value| {
                let list = value.list()?;
                if let Some(wrong) = list.iter().find(|origin| !is_origin(origin)) {
                    return Err(format!("'{wrong}'"));
                }
                settings.allowed_origins = list.to_vec();
                Ok(())
            },
        ),
        setting(
            "trusted_proxies",
            "Proxies whose X-Forwarded-For is believed when limits are counted by address. Empty: \
             the header is not read, because anyone can write it.",
            "a list of addresses or ranges, as \"10.0.0.0/8\"",
            |settings| {
                let ranges: Vec<_> =
                    settings.trusted_proxies.0.iter().map(ToString::to_string).collect();
                format!("{ranges:?}")
            },
            |settings, value| {
                let parse = |text: &String| text.parse::<Cidr>().map_err(|_| format!("'{text}'"));
                let ranges = value.list()?.iter().map(parse).collect::<Result<_, _>>()?;
                settings.trusted_proxies = TrustedProxies(ranges);
                Ok(())
            },
        ),
    ]
}

/// Who may have an account, and what becomes of it.
fn accounts() -> Vec<Setting> {
    vec![
        setting(
            "sign_up",
            "Who may make an account: anyone, who has an invitation of an administrator, or nobody. \
             Empty: `open` while all addresses that are listened on are of this machine alone, else \
             `closed`, because what the world can reach should be opened to it on purpose.",
            "'open', 'invite', 'closed' or empty",
            |settings| match settings.sign_up {
                None => "\"\"".into(),
                Some(SignUp::Open) => "\"open\"".into(),
                Some(SignUp::Invite) => "\"invite\"".into(),
                Some(SignUp::Closed) => "\"closed\"".into(),
            },
            |settings, value| {
                settings.sign_up = match value.text()? {
                    "" => None,
                    "open" => Some(SignUp::Open),
                    "invite" => Some(SignUp::Invite),
                    "closed" => Some(SignUp::Closed),
                    _ => return Err(value.to_string()),
                };
                Ok(())
            },
        ),
        setting(
            "guests",
            "Who has no account may look in, under a name and for a while (`limits.guest_lifetime_ms`): \
             hears and speaks in rooms as a visitor, makes none, sends no files and is sent no direct \
             messages. Off by default: it is for rooms where those who keep order are about.",
            "'on' or 'off'",
            |settings| match settings.guests {
                Guests::On => "\"on\"".into(),
                Guests::Off => "\"off\"".into(),
            },
            |settings, value| {
                settings.guests = match value.text()? {
                    "on" => Guests::On,
                    "off" => Guests::Off,
                    _ => return Err(value.to_string()),
                };
                Ok(())
            },
        ),
        setting(
            "deleted_messages",
            "What becomes of the messages of an account that is deleted: kept, under the name they \
             were said by; anonymous, under a number that nothing names any more; or erased, their \
             texts deleted as their sender would, in the rooms that the account is in. Kept by \
             default, because a talk of two is of two.",
            "'kept', 'anonymous' or 'erased'",
            |settings| match settings.deleted_messages {
                Fate::Kept => "\"kept\"".into(),
                Fate::Anonymous => "\"anonymous\"".into(),
                Fate::Erased => "\"erased\"".into(),
            },
            |settings, value| {
                settings.deleted_messages = match value.text()? {
                    "kept" => Fate::Kept,
                    "anonymous" => Fate::Anonymous,
                    "erased" => Fate::Erased,
                    _ => return Err(value.to_string()),
                };
                Ok(())
            },
        ),
    ]
}

/// How rooms begin.
fn rooms() -> Vec<Setting> {
    vec![
        setting(
            "rooms.speak",
            "Who may speak in a room whose owner has not said it (`set_room_defaults`, or the request \
             that makes the room): all, all but visitors, or those with voice. Settled when a room \
             is made; rooms that are there stay as they are.",
            "'everyone', 'members' or 'voiced'",
            |settings| match settings.rooms.speak {
                None | Some(Speak::Everyone) => "\"everyone\"".into(),
                Some(Speak::Members) => "\"members\"".into(),
                Some(Speak::Voiced) => "\"voiced\"".into(),
            },
            |settings, value| {
                settings.rooms.speak = Some(match value.text()? {
                    "everyone" => Speak::Everyone,
                    "members" => Speak::Members,
                    "voiced" => Speak::Voiced,
                    _ => return Err(value.to_string()),
                });
                Ok(())
            },
        ),
        setting(
            "rooms.history",
            "Whose its history is: its members', theirs from their joining on, or of all who can see \
             the room. Settled as above.",
            "'members', 'joining' or 'all'",
            |settings| match settings.rooms.history {
                None | Some(Visibility::Members) => "\"members\"".into(),
                Some(Visibility::Joining) => "\"joining\"".into(),
                Some(Visibility::All) => "\"all\"".into(),
            },
            |settings, value| {
                settings.rooms.history = Some(match value.text()? {
                    "members" => Visibility::Members,
                    "joining" => Visibility::Joining,
                    "all" => Visibility::All,
                    _ => return Err(value.to_string()),
                });
                Ok(())
            },
        ),
        setting(
            "rooms.slow_seconds",
            "Its slow mode: the least time between two messages of one account, 0 for none. Settled \
             as above.",
            &format!("a number from 0 to {SLOW_SECONDS_MAX}"),
            |settings| settings.rooms.slow_seconds.unwrap_or_default().to_string(),
            |settings, value| {
                let seconds = value.number(0, u64::from(SLOW_SECONDS_MAX))?;
                settings.rooms.slow_seconds = Some(seconds as u32);
                Ok(())
            },
        ),
        setting(
            "rooms.delay_seconds",
            "Its delay before others than those who keep order see a message, 0 for none. Settled as \
             above. How long a room keeps what was said is `limits.keep_seconds`, which rooms follow \
             for as long as they settle nothing else.",
            &format!("a number from 0 to {DELAY_SECONDS_MAX}"),
            |settings| settings.rooms.delay_seconds.unwrap_or_default().to_string(),
            |settings, value| {
                let seconds = value.number(0, u64::from(DELAY_SECONDS_MAX))?;
                settings.rooms.delay_seconds = Some(seconds as u32);
                Ok(())
            },
        ),
    ]
}

/// What it says to the operator.
fn logging() -> Vec<Setting> {
    vec![
        setting(
            "log_format",
            "How log lines are written to the standard error: for a person, or one JSON object each.",
            "'text' or 'json'",
            |settings| match settings.log_format {
                LogFormat::Text => "\"text\"".into(),
                LogFormat::Json => "\"json\"".into(),
            },
            |settings, value| {
                settings.log_format = match value.text()? {
                    "text" => LogFormat::Text,
                    "json" => LogFormat::Json,
                    _ => return Err(value.to_string()),
                };
                Ok(())
            },
        ),
        setting(
            "log_level",
            "Which log lines are written. Bodies, passwords and tokens are in none of them.",
            "'error', 'warn', 'info', 'debug' or 'trace'",
            |settings| format!("\"{}\"", settings.log_level),
            |settings, value| match value.text()? {
                level @ ("error" | "warn" | "info" | "debug" | "trace") => {
                    level.clone_into(&mut settings.log_level);
                    Ok(())
                }
                _ => Err(value.to_string()),
            },
        ),
    ]
}

/// The core's limits, each behind `limits.`.
fn limits() -> impl Iterator<Item = Setting> {
    SETTABLE.iter().map(|limit| {
        let (low, high) = (*limit.allowed.start(), *limit.allowed.end());
        Setting {
            key: format!("limits.{}", limit.name),
            about: limit.about.trim(),
            allowed: format!("a number from {low} to {high}"),
            get: Box::new(|settings| (limit.get)(&settings.limits).to_string()),
            set: Box::new(move |settings, value| {
                (limit.set)(&mut settings.limits, value.number(low, high)?);
                Ok(())
            }),
        }
    })
}

fn setting(
    key: &str,
    about: &'static str,
    allowed: &str,
    get: impl Fn(&Settings) -> String + Send + Sync + 'static,
    set: impl Fn(&mut Settings, &Value) -> Result<(), String> + Send + Sync + 'static,
) -> Setting {
    Setting {
        key: key.to_owned(),
        about,
        allowed: allowed.to_owned(),
        get: Box::new(get),
        set: Box::new(set),
    }
}

fn address(value: &Value) -> Result<SocketAddr, String> {
    value.text()?.parse().map_err(|_| value.to_string())
}

/// Scheme, host and perhaps a port, nothing behind them: what a browser sends as `Origin`.
fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| {
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic() && !b"/?#@*".contains(&b))
    })
}
