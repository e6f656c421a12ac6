//! What an operator may set, and where a value comes from: defaults, then a TOML file, then the
//! command line; the later one wins.
//!
//! Neighbours: `throng serve` builds `Settings`, everything below `app` is given them. `table.rs`
//! lists every setting with its reason, `reference.rs` writes that list as a page. A value that is
//! not allowed never gets in: it is refused with the place where it stands.

pub mod reference;
mod table;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use throng_core::{Limits, RoomDefaults, Speak, Visibility};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::address::TrustedProxies;
use crate::auth::{Guests, SignUp};
pub use table::{SETTINGS, Setting, Value};

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own, by its name")]
pub struct Settings {
    /// Where HTTP and WebSocket are served.
    pub listen: SocketAddr,
    /// Where length-prefixed Protobuf over bare TCP is served, if at all.
    pub raw_listen: Option<SocketAddr>,
    /// The data folder.
    pub data: PathBuf,
    /// Keep everything in memory and nothing on disk.
    pub memory: bool,
    /// Units of order; 0 for one for two cores.
    pub shards: usize,
    /// Keep an index of all messages, so that they can be found by their words.
    pub search: bool,
    /// Full blocks of history are packed on disk.
    pub compress_history: bool,
    /// Long messages over WebSocket are compressed for clients that offer it.
    pub websocket_deflate: bool,
    /// Who hears a room is told who else does, and who types.
    pub presence: bool,
    /// How long each stage takes is counted.
    pub stage_timings: bool,
    /// Pages of other hosts that may open a WebSocket, as `https://chat.example`.
    pub allowed_origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// Who may make an account; `None`: anyone, where only this machine can reach the server, else
    /// nobody.
    pub sign_up: Option<SignUp>,
    /// Who has no account may look in, for a while.
    pub guests: Guests,
    /// What becomes of the messages of an account that is deleted.
    pub deleted_messages: Fate,
    /// How rooms begin whose owners say nothing. How long they keep what was said is of the limits, and
    /// nothing here.
    pub rooms: RoomDefaults,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// Which log lines are written.
    pub log_level: String,
    /// The limits.
    pub limits: Limits,
}

/// What becomes of messages whose account is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They stay, under the name they were said by.
    Kept,
    /// They stay, and nothing that is kept says any more who has said them.
    Anonymous,
    /// Their texts are deleted, in the order of their rooms.
    Erased,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For a person.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            raw_listen: None,
            data: PathBuf::from("throng-data"),
            memory: false,
            shards: 0,
            search: true,
            compress_history: false,
            websocket_deflate: false,
            presence: true,
            stage_timings: true,
            allowed_origins: Vec::new(),
            trusted_proxies: TrustedProxies::default(),
            sign_up: None,
            guests: Guests::Off,
            deleted_messages: Fate::Kept,
            rooms: RoomDefaults {
                speak: Some(Speak::Everyone),
                history: Some(Visibility::Members),
                slow_seconds: Some(0),
                delay_seconds: Some(0),
                keep_seconds: None,
            },
            log_format: LogFormat::Text,
            log_level: "info".into(),
            limits: Limits::default(),
        }
    }
}

impl Settings {
    /// Puts the values of a TOML file over these.
    pub fn merge_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Unreadable {
            path: path.display().to_string(),
            cause: cause.to_string(),
        })?;
        self.merge_toml(&path.display().to_string(), &text)
    }

    /// Puts the values of a TOML text over these; `origin` names it in errors.
    pub fn merge_toml(&mut self, origin: &str, text: &str) -> Result<(), ConfigError> {
        let table = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            ConfigError::at(&place(origin, text, at), error.message())
        })?;
        self.merge_table(origin, text, "", table.get_ref())
    }

    fn merge_table(
        &mut self,
        origin: &str,
        text: &str,
        prefix: &str,
        table: &DeTable<'_>,
    ) -> Result<(), ConfigError> {
        for (key, value) in table {
            let name = format!("{prefix}{}", key.get_ref());
            let place = place(origin, text, key.span().start);
            match value.get_ref() {
                DeValue::Table(inner) if prefix.is_empty() && is_group(&name) => {
                    self.merge_table(origin, text, &format!("{name}."), inner)?;
                }
                _ => self
                    .set(&name, &read_value(value).map_err(|why| ConfigError::at(&place, &why))?)
                    .map_err(|why| ConfigError::at(&place, &why))?,
            }
        }
        Ok(())
    }

    /// Takes one `key=value` of the command line.
    pub fn merge_argument(&mut self, argument: &str) -> Result<(), ConfigError> {
        let (key, text) = argument.split_once('=').ok_or_else(|| {
            ConfigError::at(&format!("--set {argument}"), "write it as --set key=value")
        })?;
        let place = format!("--set {argument}");
        self.set(key.trim(), &argument_value(text.trim()))
            .map_err(|why| ConfigError::at(&place, &why))
    }

    /// Sets one value; `Err` says what is allowed.
    pub fn set(&mut self, key: &str, value: &Value) -> Result<(), String> {
        let setting = table::find(key).ok_or_else(|| unknown(key))?;
        (setting.set)(self, value).map_err(|got| format!("{key} is {}; got {got}", setting.allowed))
    }

    /// Who may make an account: as set, or as the listeners are.
    pub fn sign_up(&self) -> SignUp {
        let here = |address: &SocketAddr| address.ip().is_loopback();
        let only_here = here(&self.listen) && self.raw_listen.as_ref().is_none_or(here);
        self.sign_up.unwrap_or(if only_here { SignUp::Open } else { SignUp::Closed })
    }

    /// Shards to run: as set, or one for two cores: the other reads, decodes and folds for it.
    pub fn shard_count(&self, cores: usize) -> usize {
        if self.shards == 0 { (cores / 2).clamp(1, table::SHARDS_MAX) } else { self.shards }
    }
}

/// A setting that cannot be used, with the place where it stands and what is allowed there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file itself.
    #[error("cannot read the settings in {path}: {cause}")]
    Unreadable {
        /// Which file.
        path: String,
        /// What the system said.
        cause: String,
    },
    /// A value or key.
    #[error("cannot use the settings: {place}: {cause}")]
    Wrong {
        /// File and line, or the argument.
        place: String,
        /// What is wrong, and what is allowed.
        cause: String,
    },
}

impl ConfigError {
    fn at(place: &str, cause: &str) -> Self {
        Self::Wrong { place: place.to_owned(), cause: cause.to_owned() }
    }
}

/// `file:line`.
fn place(origin: &str, text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or_default();
    format!("{origin}:{}", before.matches('\n').count() + 1)
}

/// Whether keys of this table exist, as `limits` of `limits.turn_max`.
fn is_group(name: &str) -> bool {
    table::keys().any(|key| key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

fn read_value(value: &Spanned<DeValue<'_>>) -> Result<Value, String> {
    match value.get_ref() {
        DeValue::String(text) => Ok(Value::Text(text.to_string())),
        DeValue::Boolean(flag) => Ok(Value::Flag(*flag)),
        DeValue::Integer(number) => {
            i64::from_str_radix(&number.as_str().replace('_', ""), number.radix())
                .map(Value::Number)
                .map_err(|_| format!("{} is too large a number", number.as_str()))
        }
        DeValue::Array(items) => items
            .iter()
            .map(|item| match item.get_ref() {
                DeValue::String(text) => Ok(text.to_string()),
                other => Err(format!("a list holds texts, not a {}", other.type_str())),
            })
            .collect::<Result<_, _>>()
            .map(Value::List),
        other => Err(format!("a {} is not a value of any setting", other.type_str())),
    }
}

/// A shell's argument: numbers and flags as themselves, a list in brackets as in TOML, all else is
/// text, so that nobody must quote twice.
fn argument_value(text: &str) -> Value {
    let plain = || Value::Text(text.to_owned());
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '[' | '"' | 't' | 'f' | '-')) {
        return plain();
    }
    DeValue::parse(text).ok().and_then(|value| read_value(&value).ok()).unwrap_or_else(plain)
}

/// Says that a key is not known, and which one was perhaps meant.
fn unknown(key: &str) -> String {
    // The right word in the wrong table is nearer than any other in the right one.
    let last = |key: &'_ str| key.rsplit('.').next().map(str::to_owned);
    let elsewhere = |known: &str| key.contains('.') && last(known) == last(key);
    let near = |known| if elsewhere(known) { 0 } else { distance(key, known) };
    match table::keys().map(|known| (near(known), known)).min() {
        Some((distance, known)) if distance <= key.len().div_ceil(3) => {
            format!("there is no setting '{key}'; did you mean '{known}'?")
        }
        _ => format!("there is no setting '{key}'; see docs/reference/config.md"),
    }
}

/// How many letters differ (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let next = (diagonal + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], next);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use throng_core::limits::{DELAY_SECONDS_MAX, SLOW_SECONDS_MAX};

    use super::*;

    fn refused(text: &str) -> String {
        Settings::default().merge_toml("throng.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn a_later_source_wins_over_an_earlier_one() {
        let mut settings = Settings::default();
        let file = "listen = '0.0.0.0:9'\n[limits]\nturn_max = 7\nsends_burst = 1_000\n";
        settings.merge_toml("throng.toml", file).unwrap();
        settings.merge_argument("limits.turn_max=8").unwrap();
        settings.merge_argument("trusted_proxies=[\"10.0.0.0/8\"]").unwrap();
        settings.merge_argument("data=/var/lib/throng").unwrap();
        settings.merge_argument("memory=true").unwrap();
        assert_eq!(settings.listen.to_string(), "0.0.0.0:9");
        assert_eq!((settings.limits.turn_max, settings.limits.sends_burst), (8, 1_000));
        assert_eq!(settings.trusted_proxies.0.len(), 1);
        assert_eq!(settings.data, Path::new("/var/lib/throng"));
        assert!(settings.memory);
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_line_and_what_is_allowed() {
        assert_eq!(
            refused("\n[limits]\nturn_max = 0\n"),
            "cannot use the settings: throng.toml:3: limits.turn_max is a number from 1 to 65536; got 0"
        );
        assert_eq!(
            refused("log_format = 'xml'"),
            "cannot use the settings: throng.toml:1: log_format is 'text' or 'json'; got 'xml'"
        );
        assert!(refused("listen = 'nowhere'").contains("got 'nowhere'"));
        assert!(refused("listen = 80").contains("got 80"));
        assert!(refused("trusted_proxies = ['10.0.0.0/40']").contains("10.0.0.0/40"));
        assert!(refused("a = \n").starts_with("cannot use the settings: throng.toml:1: "));
        assert!(refused("[limits]\nturn_max = 1.5").contains("throng.toml:2"));
    }

    #[test]
    fn whoever_reaches_a_server_may_sign_up_only_where_nobody_else_can_reach_it() {
        let settings = |text: &str| {
            let mut settings = Settings::default();
            settings.merge_toml("throng.toml", text).unwrap();
            settings.sign_up()
        };
        assert_eq!(settings(""), SignUp::Open);
        assert_eq!(settings("listen = '[::1]:80'\nraw_listen = '127.0.0.2:81'"), SignUp::Open);
        assert_eq!(settings("listen = '0.0.0.0:80'"), SignUp::Closed);
        assert_eq!(settings("raw_listen = '10.0.0.1:81'"), SignUp::Closed);
        assert_eq!(settings("listen = '0.0.0.0:80'\nsign_up = 'open'"), SignUp::Open);
        assert_eq!(settings("sign_up = 'invite'"), SignUp::Invite);
        assert!(refused("sign_up = 'sometimes'").contains("got 'sometimes'"));
    }

    #[test]
    fn how_rooms_begin_is_within_what_a_room_may_settle_and_not_a_second_beside_it() {
        for (key, most) in
            [("slow_seconds", SLOW_SECONDS_MAX), ("delay_seconds", DELAY_SECONDS_MAX)]
        {
            for fine in [0, most - 1, most] {
                let text = format!("[rooms]\n{key} = {fine}");
                assert_eq!(Settings::default().merge_toml("throng.toml", &text), Ok(()));
            }
            let expected = format!(
                "cannot use the settings: throng.toml:2: rooms.{key} is a number from 0 to {most}; \
                 got {}",
                most + 1
            );
            assert_eq!(refused(&format!("[rooms]\n{key} = {}", most + 1)), expected);
        }
        let mut settings = Settings::default();
        settings.merge_toml("throng.toml", "[rooms]\nspeak = 'voiced'\nhistory = 'all'").unwrap();
        let said = (settings.rooms.speak, settings.rooms.history);
        assert_eq!(said, (Some(Speak::Voiced), Some(Visibility::All)));
        assert!(refused("[rooms]\nspeak = 'nobody'").contains("got 'nobody'"));
        assert!(refused("[rooms]\nhistory = 'none'").contains("got 'none'"));
        let keep = refused("[rooms]\nkeep_seconds = 60");
        assert!(keep.contains("there is no setting 'rooms.keep_seconds'"), "{keep}");
        assert!(keep.contains("did you mean 'limits.keep_seconds'?"), "{keep}");
    }

    #[test]
    fn an_unknown_key_is_refused_and_the_nearest_one_is_named() {
        assert!(refused("[limits]\nturn_mx = 1").contains("did you mean 'limits.turn_max'?"));
        assert!(refused("[limit]\nturn_max = 1").contains("throng.toml:1"));
        let error = Settings::default().merge_argument("lisen=1").unwrap_err().to_string();
        assert!(error.contains("did you mean 'listen'?"), "{error}");
        let error = Settings::default().merge_argument("nonsense").unwrap_err().to_string();
        assert!(error.contains("--set key=value"), "{error}");
    }

    #[test]
    fn every_number_is_refused_on_the_far_side_of_both_its_bounds() {
        for limit in throng_core::limits::SETTABLE {
            let key = format!("limits.{}", limit.name);
            let mut settings = Settings::default();
            let (low, high) = (*limit.allowed.start() as i64, *limit.allowed.end() as i64);
            assert!(settings.set(&key, &Value::Number(low)).is_ok(), "{key}");
            assert!(settings.set(&key, &Value::Number(high)).is_ok(), "{key}");
            assert!(settings.set(&key, &Value::Number(low - 1)).is_err(), "{key}");
            assert!(settings.set(&key, &Value::Number(high + 1)).is_err(), "{key}");
        }
    }

    #[test]
    fn every_default_is_a_value_that_may_be_set() {
        for setting in SETTINGS.iter() {
            let mut settings = Settings::default();
            let shown = (setting.get)(&settings);
            settings.merge_toml("defaults", &format!("{} = {shown}", setting.key)).unwrap();
            assert_eq!(settings, Settings::default(), "{}", setting.key);
        }
    }
}
