//! A scenario looked at in whole: all its presets and arms, and what it sets of the server, not only what
//! a run uses of them. A word that is mistyped is told when the file is read, by its line.
//!
//! Neighbours: `run` asks before it starts anything. Which settings a server has is not known here: who
//! knows hands that in.

use super::{Scenario, ScenarioError, Variant, settings};

/// Whether a server has a setting of this name, and may be given this value; why not, in words.
pub type KnownSetting = fn(&str, &str) -> Result<(), String>;

/// Looks at the scenario of this name, and at `set`, which goes over it. Where nobody knows the server's
/// settings, those are passed over.
pub fn check(name: &str, set: &[String], known: Option<KnownSetting>) -> Result<(), ScenarioError> {
    let (source, text) = Scenario::text_of(name)?;
    let known = known.unwrap_or(|_, _| Ok(()));
    let plain = Scenario::parse(&source, &text, &[])?;
    let place = |what: &str| match line_of(&text, what) {
        Some(line) => format!("{source}, line {line}"),
        None => source.clone(),
    };
    for (key, value) in &plain.server {
        let wrong = |why| ScenarioError::BadValue(place(&format!("\"{key}\"")), why);
        known(key, value).map_err(wrong)?;
    }
    let of_server = |setting: &str| {
        let full = settings::in_full(&[setting.to_owned()], &plain.shorthands);
        full.iter().find_map(|it| {
            let (key, value) = it.split_once('=')?;
            known(key.strip_prefix("server.")?, value).err()
        })
    };
    for (what, list) in [("preset", &plain.presets), ("arm", &plain.arms)] {
        for Variant { name, set } in list {
            let wrong = |setting: &str, why: &str| {
                let place = place(&format!("\"{}\"", setting.replace('"', "\\\"")));
                ScenarioError::BadValue(place, format!("{what} {name}: {setting}: {why}"))
            };
            for setting in set {
                if let Some(why) = of_server(setting) {
                    return Err(wrong(setting, &why));
                }
            }
            match Scenario::parse(&source, &text, set) {
                Err(ScenarioError::BadSetting(setting, why)) => return Err(wrong(&setting, &why)),
                other => other.map(drop)?,
            }
        }
    }
    match set.iter().find_map(|setting| Some((setting, of_server(setting)?))) {
        Some((setting, why)) => Err(ScenarioError::BadSetting(setting.clone(), why)),
        None => Ok(()),
    }
}

/// The first line that holds this and is no comment.
fn line_of(text: &str, what: &str) -> Option<usize> {
    let is = |line: &str| !line.trim_start().starts_with('#') && line.contains(what);
    text.lines().position(is).map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server with one setting, a number.
    fn one_setting(key: &str, value: &str) -> Result<(), String> {
        match (key, value.parse::<u32>()) {
            ("limits.turn_max", Ok(_)) => Ok(()),
            ("limits.turn_max", Err(_)) => Err(format!("{key} is a number; got {value}")),
            _ => Err(format!("no setting {key}")),
        }
    }

    const TEXT: &str = r#"
name = "mine"
says = "two who talk"
seconds = 1.0
seed = 1
[users]
count = 2
dresses = ["ws-json"]
[[rooms]]
name = "room"
count = 1
members = 2
sends_per_second = 1.0
arrivals = "constant"
[bodies]
bytes_min = 20
bytes_median = 60
bytes_max = 600
sigma = 1.0
[server]
"limits.turn_max" = "5"
[shorthands]
turn = "server.limits.turn_max"
[[presets]]
name = "short"
set = ["seconds=0.5"]
[[arms]]
name = "one"
set = ["turn=1"]
"#;

    fn checked(good: &str, bad: &str, set: &[&str]) -> Result<(), ScenarioError> {
        let text = TEXT.replacen(good, bad, 1);
        assert!(good == bad || text != TEXT, "{good}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.toml");
        std::fs::write(&file, text).unwrap();
        let set: Vec<String> = set.iter().map(|it| (*it).to_owned()).collect();
        check(file.to_str().unwrap(), &set, Some(one_setting))
    }

    #[test]
    fn what_no_run_uses_is_looked_at_too_and_told_by_its_line() {
        checked("", "", &["seconds=2", "turn=7"]).unwrap();
        for (good, bad, why) in [
            ("\"limits.turn_max\"", "\"limits.turn_mx\"", "no setting limits.turn_mx"),
            ("= \"5\"", "= \"five\"", "is a number; got five"),
            ("[\"seconds=0.5\"]", "[\"secnods=0.5\"]", "preset short: secnods=0.5: "),
            ("[\"seconds=0.5\"]", "[\"seconds=0\"]", "seconds = 0 is not from 0.1"),
            ("[\"turn=1\"]", "[\"server.limits.x=1\"]", "arm one: server.limits.x=1: no setting"),
            ("[\"turn=1\"]", "[\"turn=one\"]", "arm one: turn=one: "),
        ] {
            let line = TEXT.replacen(good, bad, 1).lines().position(|line| line.contains(bad));
            let error = checked(good, bad, &[]).unwrap_err().to_string();
            let place = format!("mine.toml, line {}: ", line.unwrap() + 1);
            assert!(error.contains(&place) && error.contains(why), "{bad}: {error}");
        }
    }

    #[test]
    fn what_is_set_over_it_is_looked_at_as_well() {
        for setting in ["server.limits.turn_mx=1", "turn=x"] {
            let error = checked("", "", &[setting]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("--set {setting}: ")), "{error}");
        }
    }

    #[test]
    fn all_that_come_with_the_program_are_whole() {
        for scenario in Scenario::built_in() {
            check(&scenario.name, &[], None).unwrap();
        }
    }
}
