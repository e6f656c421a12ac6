//! What is not the same in two runs that were made before: of two that did other work, or did it elsewhere, a
//! ratio says little.
//!
//! Neighbours: `mod` refuses runs of two scenarios, and tells the rest beside its table. Nothing here judges.

use serde_json::Value;

use crate::report::Folder;

/// What may be another in each run of a side: it is where chance comes from.
const OF_CHANCE: &str = "seed";

/// Each thing in which they differ, with what it was in either: keys of the scenario, settings of the server, the
/// machine.
pub(super) fn unlike(a: &Folder, b: &Folder) -> Vec<String> {
    let mut found = Vec::new();
    values("", &a.manifest.scenario, &b.manifest.scenario, &mut found);
    let version = |run: &Folder| run.manifest.server_version.clone().unwrap_or_default();
    differ("the server", &version(a), &version(b), &mut found);
    let machine = |run: &Folder| {
        let it = &run.manifest.machine;
        [
            ("the machine's processor", it.cpu.clone()),
            ("its cores", it.cores.to_string()),
            ("its kernel", it.kernel.clone()),
            ("its bytes of memory", it.memory_bytes.to_string()),
        ]
    };
    for ((name, a), (_, b)) in machine(a).into_iter().zip(machine(b)) {
        differ(name, &a, &b, &mut found);
    }
    found
}

fn differ(name: &str, a: &str, b: &str, found: &mut Vec<String>) {
    if a != b {
        found.push(format!("{name}: {a} and {b}"));
    }
}

/// Of a list of things that have names, each is compared with the one of its name.
fn values(at: &str, a: &Value, b: &Value, found: &mut Vec<String>) {
    let key = |name: &str| {
        if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
    };
    match (parts(a), parts(b)) {
        (Some(a), Some(b)) => {
            let mut names: Vec<&str> = a.iter().chain(&b).map(|(name, _)| *name).collect();
            names.sort_unstable();
            names.dedup();
            for name in names.into_iter().filter(|name| key(name) != OF_CHANCE) {
                let of = |parts: &[(&str, &Value)]| {
                    let is = parts.iter().find(|(it, _)| *it == name);
                    is.map_or(Value::Null, |(_, value)| (*value).clone())
                };
                values(&key(name), &of(&a), &of(&b), found);
            }
        }
        _ if a != b => found.push(format!("{at}: {} and {}", word(a), word(b))),
        _ => {}
    }
}

/// What has names in it.
fn parts(value: &Value) -> Option<Vec<(&str, &Value)>> {
    match value {
        Value::Object(map) => {
            Some(map.iter().map(|(name, value)| (name.as_str(), value)).collect())
        }
        Value::Array(list) if !list.is_empty() => {
            list.iter().map(|it| Some((it.get("name")?.as_str()?, it))).collect()
        }
        _ => None,
    }
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Object(_) => "something".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_is_named_with_both_values_and_the_seed_is_not() {
        let mut found = Vec::new();
        let rooms = |sends: f64, count: u32| json!([{ "name": "lobby", "sends_per_second": sends }, { "name": "team", "count": count }]);
        let a =
            json!({ "seed": 1, "seconds": 5.0, "rooms": rooms(1.0, 7), "users": { "count": 3 } });
        let b = json!({ "seed": 2, "seconds": 5.0, "rooms": rooms(2.5, 7), "users": { "count": 3 },
                        "server": { "search": "false" } });
        values("", &a, &b, &mut found);
        let wanted = ["rooms.lobby.sends_per_second: 1.0 and 2.5", "server: nothing and something"];
        assert_eq!(found, wanted);
    }
}
