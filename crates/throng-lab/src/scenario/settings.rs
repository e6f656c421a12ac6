//! `--set key=value`: one value of a scenario changed, before it is checked.
//!
//! Neighbours: `mod` reads the text and applies these. Nothing here knows what a key means.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What a short name stands for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Shorthand {
    /// A key.
    One(String),
    /// Keys that get the same value.
    Several(Vec<String>),
}

impl Shorthand {
    fn keys(&self) -> &[String] {
        match self {
            Self::One(key) => std::slice::from_ref(key),
            Self::Several(keys) => keys,
        }
    }
}

/// Each `key=value` with its key in full, where the scenario has a short name for it: as many as it stands
/// for.
pub fn in_full(settings: &[String], shorthands: &BTreeMap<String, Shorthand>) -> Vec<String> {
    let full = |setting: &String| -> Option<Vec<String>> {
        let (key, value) = setting.split_once('=')?;
        let keys = shorthands.get(key)?.keys();
        Some(keys.iter().map(|key| format!("{key}={value}")).collect())
    };
    settings.iter().flat_map(|it| full(it).unwrap_or_else(|| vec![it.clone()])).collect()
}

/// Puts one value at a dotted key. Where tables stand in a row, a part of the key is a table's
/// name. Keys below `server` are settings of the server and hold dots of their own.
pub fn set(table: &mut toml::Table, key: &str, value: &str) -> Result<(), String> {
    if let Some(setting) = key.strip_prefix("server.") {
        let server = table.entry("server").or_insert_with(|| toml::Table::new().into());
        let server = server.as_table_mut().ok_or("server is not a table")?;
        server.insert(setting.to_owned(), value.into());
        return Ok(());
    }
    let (path, last) = key.rsplit_once('.').unwrap_or(("", key));
    let mut at = table;
    let mut parts = path.split('.').filter(|part| !part.is_empty());
    while let Some(part) = parts.next() {
        let next = at.entry(part).or_insert_with(|| toml::Table::new().into());
        at = match next {
            toml::Value::Table(table) => table,
            toml::Value::Array(tables) => {
                let name = parts.next().ok_or_else(|| format!("{part}.NAME.{last}"))?;
                let named = tables.iter_mut().filter_map(toml::Value::as_table_mut);
                let is =
                    |it: &&mut toml::Table| it.get("name").and_then(|it| it.as_str()) == Some(name);
                named.into_iter().find(is).ok_or_else(|| format!("{part} has no `{name}`"))?
            }
            _ => return Err(format!("{part} is not a table")),
        };
    }
    let value = value.parse::<toml::Value>().unwrap_or_else(|_| value.into());
    // Whole numbers are as good as others where a fraction is allowed.
    let value = match (at.get(last), value) {
        (Some(toml::Value::Float(_)), toml::Value::Integer(whole)) => (whole as f64).into(),
        (_, value) => value,
    };
    at.insert(last.to_owned(), value);
    Ok(())
}
