//! Scenarios are read, changed and refused.

use super::*;

fn canonical(settings: &[&str]) -> Result<Scenario, ScenarioError> {
    let settings: Vec<String> = settings.iter().map(|it| (*it).to_owned()).collect();
    Scenario::load("canonical", &settings)
}

fn near(is: f64, wanted: f64) {
    assert!((is - wanted).abs() < 1e-9, "{is} is not {wanted}");
}

#[test]
fn canonical_is_what_the_yardstick_says() {
    let scenario = canonical(&[]).unwrap();
    assert_eq!(scenario.users.count, 1_000);
    near(scenario.seconds, 60.0);
    let sends: f64 =
        scenario.rooms.iter().map(|it| f64::from(it.count) * it.sends_per_second).sum();
    near(sends, 130.0);
    near(scenario.changes.kicks + scenario.changes.bans, 2.0);
}

#[test]
fn an_unknown_key_is_refused_by_its_line_with_what_is_allowed() {
    let text = BUILT_IN[0].1.replace("speakers = 50", "speekers = 50");
    let error = Scenario::parse("mine.toml", &text, &[]).unwrap_err().to_string();
    let line = text.lines().position(|line| line.contains("speekers")).unwrap() + 1;
    assert!(error.starts_with("mine.toml:"), "{error}");
    assert!(error.contains(&format!("line {line}")), "{error}");
    assert!(error.contains("speakers"), "{error}");
}

#[test]
fn a_number_out_of_bounds_is_refused_with_its_bounds() {
    let error = canonical(&["rooms.lobby.members=2000"]).unwrap_err().to_string();
    assert!(error.contains("rooms.lobby.members = 2000 is not from 1 to 1000"), "{error}");
}

/// Nothing is not less than nothing.
#[test]
fn no_seconds_are_refused_without_a_sign() {
    let error = canonical(&["seconds=0"]).unwrap_err().to_string();
    assert!(error.contains("seconds = 0 is not from 0.1 to"), "{error}");
}

/// Of phases too, which have a time of their own.
#[test]
fn a_time_that_is_none_is_told_of_itself_and_not_of_the_phases() {
    for bad in ["0", "-1", "nan", "inf", "1e300"] {
        let setting = format!("seconds={bad}");
        let error = Scenario::load("crowd", std::slice::from_ref(&setting)).unwrap_err();
        let wanted = format!("--set {setting}: seconds = ");
        assert!(error.to_string().starts_with(&wanted), "{error}");
    }
    let text = BUILT_IN.iter().find(|(name, _)| *name == "crowd").unwrap().1;
    let error = Scenario::parse("mine.toml", &text.replacen("seed", "seconds = 0\nseed", 1), &[]);
    let error = error.unwrap_err().to_string();
    assert!(error.starts_with("mine.toml, line ") && error.contains("seconds = 0 is"), "{error}");
    near(Scenario::load("crowd", &[]).unwrap().seconds, 177.0);
}

#[test]
fn a_self_check_and_a_grade_that_nothing_could_miss_are_refused() {
    for key in ["cpu_max", "lag_p50_ms", "lag_p99_ms", "late_ms", "others_cores"] {
        for bad in ["nan", "-1", "0", "inf"] {
            let setting = format!("self_check.{key}={bad}");
            let error = canonical(&[&setting]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("--set {setting}: self_check.{key} = ")), "{error}");
        }
    }
    for bad in ["sends_per_second=nan", "ack_p99_ms=inf", "fan_out=-1"] {
        let setting = format!("grades.gold.{bad}");
        let error = Scenario::load("new-year", std::slice::from_ref(&setting)).unwrap_err();
        assert!(error.to_string().contains(" is not from "), "{error}");
    }
}

/// What is measured in tenths of a millisecond is not sent later than that.
#[test]
fn half_of_all_sends_leave_within_a_fifth_of_a_millisecond_in_every_scenario() {
    for (name, _) in BUILT_IN {
        let bounds = Scenario::load(name, &[]).unwrap().self_check;
        assert!(bounds.lag_p50_ms <= 0.2, "{name}: {bounds:?}");
    }
}

#[test]
fn a_setting_reaches_what_it_names() {
    let scenario = canonical(&[
        "seconds=5",
        "rooms.team.count=3",
        "churn.reconnect=0",
        "server.limits.sends_per_second=100",
    ])
    .unwrap();
    near(scenario.seconds, 5.0);
    assert_eq!(scenario.rooms[1].count, 3);
    near(scenario.churn.reconnect, 0.0);
    assert_eq!(scenario.server["limits.sends_per_second"], "100");
}

#[test]
fn a_setting_that_names_nothing_is_refused() {
    for (setting, why) in [
        ("secnods=5", "secnods"),
        ("rooms.pub.count=3", "no `pub`"),
        ("seconds", "key=value"),
        ("seconds=soon", "invalid type"),
    ] {
        let error = canonical(&[setting]).unwrap_err().to_string();
        assert!(error.contains(why), "{setting}: {error}");
    }
}

#[test]
fn a_name_that_is_no_scenario_is_refused_with_those_that_are() {
    let error = Scenario::load("nonsense", &[]).unwrap_err().to_string();
    assert!(error.contains("canonical"), "{error}");
}

#[test]
fn every_built_in_scenario_can_be_read() {
    assert_eq!(Scenario::built_in().count(), BUILT_IN.len());
}

#[test]
fn every_scenario_every_preset_and_every_arm_can_be_used_and_has_a_short_form() {
    for (name, text) in BUILT_IN {
        let scenario = Scenario::load(name, &[]).unwrap();
        assert_eq!(scenario.name, name);
        assert!(scenario.presets.iter().any(|it| it.name == "short"), "{name}: no short form");
        assert!(!text.is_empty() && !scenario.says.is_empty());
        for preset in &scenario.presets {
            Scenario::load_variant(name, Some(&preset.name), None, &[]).unwrap();
        }
        for arm in &scenario.arms {
            Scenario::load_variant(name, Some("short"), Some(&arm.name), &[]).unwrap();
        }
    }
}

#[test]
fn a_number_out_of_bounds_is_told_by_its_line_with_what_is_allowed() {
    let text = BUILT_IN[1].1;
    for (good, bad, why) in [
        ("seconds = 62.5", "seconds = -1.0", "phases.ramp.seconds = -1 is not from 0.01"),
        ("count = 250", "count = 400", "lives.people.count = 400 is not from 1 to 251"),
        ("every_seconds = 6.0", "every_seconds = 0.0", "lives.people.every_seconds = 0 is not"),
        ("member_of = [2, 6]", "member_of = [2, 60]", "member_of = 60 is not from 0 to 10"),
        ("words = [1, 10]", "words = [0, 10]", "lives.people.words = 0 is not from 1 to 10"),
        ("join = 0.03", "join = 1.5", "lives.people.join = 1.5 is not from 0 to 1"),
        ("rooms = \"channel\"", "rooms = \"chanel\"", "`chanel` is not one of channel, probe"),
        ("bytes_min = 20", "bytes_min = 2", "bodies.bytes_min = 2 is not from 10 to 60"),
        ("dresses = [\"ws-json\"]", "dresses = []", "at least one of ws-json"),
    ] {
        let broken = text.replacen(good, bad, 1);
        assert_ne!(broken, text, "{good}");
        let line = broken.lines().position(|line| line == bad).unwrap() + 1;
        let error = Scenario::parse("mine.toml", &broken, &[]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("mine.toml, line {line}: ")), "{error}");
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_phase_a_dress_or_a_shape_that_is_none_is_refused_with_those_that_are() {
    let text = BUILT_IN[1].1;
    for (good, bad, why) in [
        ("login = \"password\"", "login = \"face\"", "token"),
        ("[\"ws-json\"]", "[\"smoke\"]", "ws-protobuf"),
        ("seconds = 183.5", "seconds = 183.5\nload = { wave = 1.0 }", "spike"),
        ("words = [1, 10]", "acts_in = \"noon\"", "ramp, plateau, tail"),
    ] {
        let broken = text.replacen(good, bad, 1);
        let error = Scenario::parse("mine.toml", &broken, &[]).unwrap_err().to_string();
        assert!(error.starts_with("mine.toml") && error.contains("line"), "{error}");
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_bad_number_by_set_is_told_as_that_setting() {
    let settings = ["lives.people.count=0".to_owned()];
    let error = Scenario::load("ramp-with-logins", &settings).unwrap_err().to_string();
    assert!(error.starts_with("--set lives.people.count=0: "), "{error}");
    let error = Scenario::load_variant("new-year", Some("7"), None, &[]).unwrap_err().to_string();
    assert!(error.starts_with("--preset 7: not one of: short, 3, 30"), "{error}");
}

#[test]
fn a_short_name_stands_for_its_key_and_is_told_in_full() {
    let load = |setting: &str| Scenario::load("ramp-with-logins", &[setting.to_owned()]);
    let before = load("logins=before").unwrap();
    assert_eq!(before, load("lives.people.login=before").unwrap());
    assert_eq!(before.lives[0].login, Login::Before);
    let error = load("logins=never").unwrap_err().to_string();
    assert!(error.starts_with("--set lives.people.login=never: unknown variant"), "{error}");
    for scenario in Scenario::built_in() {
        for short in scenario.shorthands.keys() {
            // A key that there is not would be told as unknown, and not as a value that does not fit.
            let wrong = vec![format!("{short}=[[7]]")];
            let error = Scenario::load(&scenario.name, &wrong).unwrap_err().to_string();
            let known = !error.contains("unknown field") && !error.contains(" has no ");
            assert!(known, "{}: {short}: {error}", scenario.name);
        }
    }
}

/// As many as open files allow; those beyond the 249th send no more than it.
#[test]
fn the_number_of_clients_is_one_setting_and_none_sends_more_than_the_seeds_last() {
    let rows = Scenario::load("scale-up-down", &["clients=1000".to_owned()]).unwrap();
    assert_eq!((rows.users.count, rows.rooms[0].count), (1_000, 1_000));
    for row in &rows.rows {
        assert_eq!((row.count, row.in_flight_max), (1_000, 250));
        let sends = [0, 1, 248, 249, 999].map(|place| row.messages(place));
        assert_eq!(sends, [10, 20, 2_490, 2_490, 2_490]);
    }
    let error = Scenario::load("scale-up-down", &["clients=0".to_owned()]).unwrap_err().to_string();
    assert!(error.starts_with("--set users.count=0: "), "{error}");
    let none = ["rows.up.messages_max=0".to_owned()];
    let error = Scenario::load("scale-up-down", &none).unwrap_err().to_string();
    assert!(error.starts_with("--set rows.up.messages_max=0: "), "{error}");
}

#[test]
fn less_than_a_durable_ack_is_asked_for_where_there_is_less() {
    let load = |settings: &[&str]| {
        let settings: Vec<String> = settings.iter().map(|it| (*it).to_owned()).collect();
        Scenario::load("prices", &settings)
    };
    assert_eq!(load(&["users.ack=accepted"]).unwrap().users.ack, Ack::Accepted);
    let rest = "users.dresses=[\"ws-json\", \"rest\"]";
    assert_eq!(load(&[rest]).unwrap().users.ack, Ack::Durable);
    let error = load(&[rest, "users.ack=accepted"]).unwrap_err().to_string();
    assert!(error.starts_with("--set users.ack=accepted: ") && error.contains("REST"), "{error}");
}

#[test]
fn phases_keep_their_share_of_another_time_in_all() {
    let scenario = Scenario::load("ramp-with-logins", &["seconds=31.2".into()]).unwrap();
    near(scenario.phases[0].seconds, 6.25);
    near(scenario.phase(Some("tail")).unwrap().0, 24.6);
    near(Scenario::load("ramp-with-logins", &[]).unwrap().seconds, 312.0);
}

#[test]
fn a_scenario_grows_by_users_in_the_same_time_or_by_sends() {
    let ramp = Scenario::load("ramp-with-logins", &[]).unwrap();
    assert_eq!(ramp.size(), (Measure::Users, 250.0));
    let large = ramp.scaled_to(1_000.0).unwrap();
    assert_eq!(
        (large.lives[0].count, large.users.count, large.rooms[1].first),
        (1_000, 1_001, 1_000)
    );
    near(large.lives[0].arrive_every_seconds * 1_000.0, 62.5);
    assert_eq!(ramp.scaled_to(250.0).unwrap(), ramp);
    let rows = Scenario::load("scale-up-down", &[]).unwrap().scaled_to(498.0).unwrap();
    assert_eq!((rows.users.count, rows.rooms[0].count, rows.rows[1].count), (498, 498, 498));
    let guests = Scenario::load("crowd", &[]).unwrap().scaled_to(200.0).unwrap();
    let groups: Vec<(u32, u32)> = guests.lives.iter().map(|it| (it.first, it.count)).collect();
    assert_eq!(groups, [(1, 4), (5, 200), (5, 200), (5, 200)]);
    let party = Scenario::load("new-year", &[]).unwrap();
    assert_eq!(party.size(), (Measure::SendsPerSecond, 1_000.0));
    near(party.scaled_to(5_000.0).unwrap().rooms[0].sends_per_second, 500.0);
    assert!(party.scaled_to(1e9).is_err());
}

#[test]
fn a_threshold_names_a_figure_a_bound_and_phases_that_are_there() {
    let text = BUILT_IN.iter().find(|it| it.0 == "slow-readers").unwrap().1;
    let parsed = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        Scenario::parse("mine.toml", &text.replace(from, to), &[])
    };
    assert!(parsed("at_most = 1.1", "at_most = 1.2\nat_least = 0.1").is_ok());
    for (from, to, why) in [
        ("at_most = 1.1", "", "it needs at_most or at_least"),
        ("against = \"calm\"", "against = \"clam\"", "not one of calm, stalled, after"),
        ("figure = \"memory_mib\"", "figure = \"memory\"", "unknown variant `memory`"),
        ("figure = \"memory_mib\"", "figure = \"memory_mib\"\nrooms = \"lobby\"", "for latencies"),
        ("at_most = 100.0", "at_most = -1.0", "thresholds.memory.at_most = -1 is not from 0"),
    ] {
        let error = parsed(from, to).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        assert!(error.starts_with("mine.toml"), "{error}");
    }
}

/// A short form is too short for a ratio and for a slope, and says so; a run in full has to show its goals.
#[test]
fn only_short_forms_of_goals_that_take_longer_pass_with_what_was_not_measured() {
    for whole in Scenario::built_in() {
        assert!(!whole.unmeasured_may_pass, "{}", whole.name);
        let short = Scenario::load_variant(&whole.name, Some("short"), None, &[]).unwrap();
        let takes_longer = |it: &Threshold| it.against.is_some() || it.figure.is_slope();
        let any = whole.thresholds.iter().any(takes_longer);
        assert_eq!(short.unmeasured_may_pass, any, "{}", whole.name);
    }
}
