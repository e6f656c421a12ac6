//! What is planned: the same from the same seed, at the rates asked for, and never nonsense.

use std::collections::BTreeSet;

use super::*;
use crate::scenario::Scenario;

fn canonical(settings: &[&str]) -> Scenario {
    let settings: Vec<String> = settings.iter().map(|it| (*it).to_owned()).collect();
    Scenario::load("canonical", &settings).unwrap()
}

fn count(deeds: &[Planned], is: fn(&Deed) -> bool) -> usize {
    deeds.iter().filter(|it| is(&it.deed)).count()
}

#[test]
fn the_same_seed_gives_the_same_deeds_and_another_gives_others() {
    let plan = |seed: &str| Plan::new(&canonical(&[seed])).collect::<Vec<_>>();
    assert_eq!(plan("seed=7"), plan("seed=7"));
    assert_ne!(plan("seed=7"), plan("seed=8"));
}

/// Figures of years stand beside each other by this name. It was another until messages could be changed and
/// members put out; then came files, and nothing else is done otherwise for them.
#[test]
fn canonical_is_deed_for_deed_what_it_always_was() {
    let hash = |is: fn(&Deed) -> bool| {
        let mut hash = blake3::Hasher::new();
        for planned in Plan::new(&canonical(&[])).filter(|it| is(&it.deed)) {
            hash.update(format!("{planned:?}").as_bytes());
        }
        hash.finalize().to_hex()[..16].to_owned()
    };
    assert_eq!(hash(|deed| !matches!(deed, Deed::Share { .. })), "5ec715c50b5c21c5");
    assert_eq!(hash(|_| true), "28d2de69757c56fd");
}

#[test]
fn members_type_as_often_as_their_share_of_the_sends_and_else_not_at_all() {
    let plan = |typing: &str| Plan::new(&canonical(&[typing])).collect::<Vec<_>>();
    let types = |deed: &Deed| matches!(deed, Deed::Type { .. });
    let deeds = plan("changes.typing=0.5");
    let said = count(&deeds, |it| matches!(it, Deed::Say { .. }));
    let typed = count(&deeds, types);
    assert!((said * 9 / 20..said * 11 / 20).contains(&typed), "{typed} of {said}");
    assert_eq!(count(&plan("changes.typing=0.0"), types), 0);
}

#[test]
fn files_come_at_their_rate_and_each_has_its_length_and_is_like_no_other() {
    let deeds: Vec<Planned> = Plan::new(&canonical(&["seconds=600"])).collect();
    let files = count(&deeds, |it| matches!(it, Deed::Share { .. }));
    assert!((230..370).contains(&files), "300 by chance, four deviations: {files}");
    let (words, mut seen) = (Words::new(1), BTreeSet::new());
    for bytes in [FILE_BYTES_MIN, 500, 100_000] {
        for number in 0..4 {
            let (file, picture) = words.file(number, bytes);
            assert_eq!(file.len(), bytes as usize);
            assert_eq!(file.starts_with(b"\x89PNG"), picture);
            assert!(seen.insert(file));
        }
    }
}

#[test]
fn deeds_come_in_order_and_at_the_rates_asked_for() {
    let deeds: Vec<Planned> = Plan::new(&canonical(&[])).collect();
    assert!(deeds.is_sorted_by_key(|it| it.at));
    assert!(deeds.last().unwrap().at < Duration::from_mins(1));
    let team = count(&deeds, |it| matches!(it, Deed::Say { room: 1..=100, .. }));
    assert!((6_000..=6_001).contains(&team), "evenly spaced: {team}");
    let lobby = count(&deeds, |it| matches!(it, Deed::Say { room: 0, .. }));
    assert!((1_050..1_350).contains(&lobby), "1,200 by chance, four deviations: {lobby}");
    let reconnects = count(&deeds, |it| matches!(it, Deed::Reconnect { .. }));
    assert!((500..700).contains(&reconnects), "{reconnects}");
    let moves = count(&deeds, |it| matches!(it, Deed::Join { .. } | Deed::Leave { .. }));
    assert!((220..380).contains(&moves), "{moves}");
    assert_eq!(count(&deeds, |it| matches!(it, Deed::Stall { .. })), 10);
}

#[test]
fn fifty_of_the_lobby_speak_and_never_leave_it() {
    let deeds: Vec<Planned> = Plan::new(&canonical(&[])).collect();
    let speakers: BTreeSet<u32> = deeds
        .iter()
        .filter_map(|it| match it.deed {
            Deed::Say { room: 0, user, .. } => Some(user),
            _ => None,
        })
        .collect();
    assert_eq!(speakers.len(), 50);
    let left = |it: &Planned| match it.deed {
        Deed::Leave { room: 0, user } => speakers.contains(&user),
        _ => false,
    };
    assert!(!deeds.iter().any(left));
}

#[test]
fn nobody_speaks_joins_or_leaves_where_it_makes_no_sense() {
    let scenario = canonical(&["churn.membership=0.2", "seconds=30"]);
    let rooms = rooms(&scenario);
    let mut members: Vec<BTreeSet<u32>> =
        rooms.iter().map(|room| room.members.iter().copied().collect()).collect();
    let mut out = BTreeSet::new();
    for planned in Plan::new(&scenario) {
        match planned.deed {
            Deed::Say { room, user, .. }
            | Deed::Change { room, user, .. }
            | Deed::Share { room, user, .. }
            | Deed::Type { room, user } => {
                assert!(members[room as usize].contains(&user));
            }
            Deed::Join { room, user } => assert!(members[room as usize].insert(user)),
            Deed::Leave { room, user } => assert!(members[room as usize].remove(&user)),
            Deed::Moderate { room, user, act: Act::Kick | Act::Ban, by } => {
                assert_eq!(by, rooms[room as usize].members[0], "who made it keeps its order");
                assert!(by != user && members[room as usize].remove(&user));
                out.insert((room, user));
            }
            // Who is banned does not come before he is let in.
            Deed::Moderate { room, user, act: Act::Unban, .. } => {
                assert!(!members[room as usize].contains(&user));
            }
            Deed::Reconnect { .. } | Deed::Stall { .. } => {}
            Deed::Arrive { .. } | Deed::Look { .. } | Deed::Depart { .. } => {
                panic!("canonical has no lives")
            }
        }
    }
    assert!(members.iter().all(|room| room.len() >= MEMBERS_KEPT));
    assert!(out.len() > 30 && out.iter().all(|(room, _)| !rooms[*room as usize].direct));
}

#[test]
fn changes_and_removals_come_at_the_rates_asked_for_and_every_ban_is_lifted_in_its_time() {
    let deeds: Vec<Planned> = Plan::new(&canonical(&["seconds=600"])).collect();
    let change = |wanted| {
        let is = |it: &&Planned| matches!(it.deed, Deed::Change { change, .. } if change == wanted);
        deeds.iter().filter(is).count()
    };
    // 2 % of 130 a second, four deviations either way.
    for wanted in [Change::Edit, Change::Delete, Change::React] {
        assert!((1_400..1_720).contains(&change(wanted)), "{wanted:?}: {}", change(wanted));
    }
    let acts = |wanted| {
        let of = deeds.iter().filter_map(|it| match it.deed {
            Deed::Moderate { room, user, act, .. } if act == wanted => Some((it.at, room, user)),
            _ => None,
        });
        of.collect::<Vec<_>>()
    };
    let (kicks, bans, unbans) = (acts(Act::Kick), acts(Act::Ban), acts(Act::Unban));
    // A draw that falls on who made the room or speaks in the lobby puts nobody out.
    assert!((400..600).contains(&kicks.len()), "{}", kicks.len());
    assert!((400..600).contains(&bans.len()), "{}", bans.len());
    let lifted = bans.iter().map(|(at, room, user)| (*at + Duration::from_secs(3), *room, *user));
    let lifted: Vec<_> = lifted.filter(|(at, ..)| *at < Duration::from_mins(10)).collect();
    assert_eq!(unbans, lifted);
}

#[test]
fn lengths_are_log_normal_within_their_bounds() {
    let deeds = Plan::new(&canonical(&[]));
    let mut lengths: Vec<u32> = deeds
        .filter_map(|it| match it.deed {
            Deed::Say { bytes, .. } => Some(bytes),
            _ => None,
        })
        .collect();
    lengths.sort_unstable();
    assert!(lengths[0] >= 20 && *lengths.last().unwrap() <= 2_000);
    let median = lengths[lengths.len() / 2];
    assert!((57..=63).contains(&median), "{median}");
}

#[test]
fn a_body_has_its_length_and_is_like_no_other() {
    let words = Words::new(1);
    let (mut body, mut seen) = (String::new(), BTreeSet::new());
    for number in 0..2_000 {
        let bytes = 20 + number;
        words.body(number, bytes, &mut body);
        assert_eq!(body.len(), bytes as usize);
        assert!(seen.insert(body.clone()));
    }
    let again = Words::new(1);
    let mut same = String::new();
    again.body(1_999, 20 + 1_999, &mut same);
    assert_eq!(same, body);
    again.body(7, 0, &mut same);
    assert_eq!(same, "", "of a file that is sent alone");
}

fn deeds(name: &str, settings: &[&str]) -> Vec<Planned> {
    let settings: Vec<String> = settings.iter().map(|it| (*it).to_owned()).collect();
    Plan::new(&Scenario::load(name, &settings).unwrap()).collect()
}

#[test]
fn every_scenario_is_the_same_from_the_same_seed_and_in_the_order_of_its_times() {
    for name in Scenario::built_in().map(|it| it.name) {
        let plan = |seed: &str| {
            let scenario = Scenario::load_variant(&name, Some("short"), None, &[seed.to_owned()]);
            let scenario = scenario.unwrap();
            (rooms(&scenario), Plan::new(&scenario).collect::<Vec<_>>())
        };
        assert_eq!(plan("seed=7"), plan("seed=7"), "{name}");
        assert!(plan("seed=7").1.is_sorted_by_key(|it| it.at), "{name}");
    }
}

/// The rules of the document that the scenario comes from, followed user by user.
#[test]
fn people_of_the_ramp_do_what_its_document_says() {
    let scenario = Scenario::load("ramp-with-logins", &[]).unwrap();
    let deeds: Vec<Planned> = Plan::new(&scenario).collect();
    let mut within: Vec<BTreeSet<u32>> = vec![BTreeSet::new(); 250];
    for (number, room) in rooms(&scenario).iter().enumerate().take(10) {
        for user in &room.members {
            within[*user as usize].insert(number as u32);
        }
    }
    assert!(within.iter().all(|rooms| (2..=6).contains(&rooms.len())));
    let mut done = vec![0_u32; 250];
    let (mut said, mut joined, mut left) = (0, 0, 0);
    for Planned { at, deed } in &deeds {
        let act = |user: u32, done: &mut Vec<u32>| {
            done[user as usize] += 1;
            let wanted = f64::from(user) * 0.25 + 6.0 * f64::from(done[user as usize]);
            assert!((at.as_secs_f64() - wanted).abs() < 1e-6, "{user} at {at:?}");
        };
        match *deed {
            Deed::Say { room: 10, user, .. } => assert_eq!(user, 250, "the probe"),
            Deed::Say { room, user, bytes } => {
                act(user, &mut done);
                assert!(within[user as usize].contains(&room) && (13..=110).contains(&bytes));
                said += 1;
            }
            Deed::Join { user, room } => {
                act(user, &mut done);
                assert!(within[user as usize].insert(room));
                joined += 1;
            }
            Deed::Leave { user, room } => {
                act(user, &mut done);
                assert!(within[user as usize].len() >= 4 && within[user as usize].remove(&room));
                left += 1;
            }
            Deed::Arrive { user, .. } => {
                assert!((at.as_secs_f64() - f64::from(user) * 0.25).abs() < 1e-6);
            }
            Deed::Depart { user } => assert_eq!(done[user as usize], 40),
            _ => panic!("{deed:?}"),
        }
    }
    assert_eq!(done, vec![40; 250]);
    assert_eq!(count(&deeds, |it| matches!(it, Deed::Depart { .. })), 250);
    assert!(
        (9_200..=9_700).contains(&said) && joined > 200 && left > 100,
        "{said} {joined} {left}"
    );
}

#[test]
fn guests_of_the_crowd_come_ten_a_second_talk_in_their_phase_and_go() {
    let deeds = deeds("crowd", &[]);
    let within = |deed: fn(&Deed) -> bool, from: f64, to: f64| {
        let is = |it: &&Planned| deed(&it.deed) && (from..to).contains(&it.at.as_secs_f64());
        deeds.iter().filter(is).count()
    };
    let arrives: fn(&Deed) -> bool = |it| matches!(it, Deed::Arrive { .. });
    let says: fn(&Deed) -> bool = |it| matches!(it, Deed::Say { .. });
    assert_eq!((within(arrives, 0.0, 12.0), within(says, 0.0, 12.0)), (2, 50));
    for begins in [12.0, 67.0, 122.0] {
        assert_eq!(within(arrives, begins, begins + 10.0), 100);
        assert_eq!(within(says, begins + 15.0, begins + 35.0), 400);
        let departs: fn(&Deed) -> bool = |it| matches!(it, Deed::Depart { .. });
        assert_eq!(within(departs, begins + 40.0, begins + 50.0), 100);
    }
    let looks: fn(&Deed) -> bool = |it| matches!(it, Deed::Look { history: 20, .. });
    assert_eq!((within(looks, 0.0, 122.0), within(looks, 122.0, 1e6)), (200, 0));
}

#[test]
fn sends_follow_the_phases_and_a_probe_does_not() {
    let settings = ["rooms.chat.arrivals=constant", "users.rest_connections=1"];
    let steps = deeds("spammers", &settings);
    for step in 0..10_u32 {
        let from = Duration::from_secs(u64::from(step) * 10);
        let is = |it: &&Planned| (from..from + Duration::from_secs(10)).contains(&it.at);
        let sends = steps.iter().filter(is).count();
        assert!(sends.abs_diff((step as usize + 1) * 10_000) <= 1, "step {step}: {sends}");
    }
    // Only those who post over REST speak: every other of the twenty.
    assert!(steps.iter().all(|it| matches!(it.deed, Deed::Say { user, .. } if user % 2 == 0)));
}

#[test]
fn rooms_are_one_big_many_small_pairs_or_sized_by_zipf() {
    let text = r#"
        name = "shapes"
        says = "all kinds of rooms"
        seconds = 1.0
        seed = 5
        [users]
        count = 100
        dresses = ["raw"]
        [[rooms]]
        name = "big"
        count = 1
        members = 100
        sends_per_second = 1.0
        arrivals = "poisson"
        [[rooms]]
        name = "ten"
        count = 10
        members = 10
        sends_per_second = 1.0
        arrivals = "poisson"
        [[rooms]]
        name = "pair"
        count = 50
        members = 2
        sends_per_second = 1.0
        arrivals = "poisson"
        [[rooms]]
        name = "zipf"
        count = 60
        members = 90
        zipf = 1.0
        sends_per_second = 1.0
        arrivals = "poisson"
        [bodies]
        bytes_min = 20
        bytes_median = 60
        bytes_max = 2000
        sigma = 1.0
    "#;
    let rooms = rooms(&Scenario::parse("shapes", text, &[]).unwrap());
    let sizes = |kind: usize| -> Vec<usize> {
        rooms.iter().filter(|room| room.kind == kind).map(|room| room.members.len()).collect()
    };
    assert_eq!((sizes(0), sizes(1), sizes(2)), (vec![100], vec![10; 10], vec![2; 50]));
    assert_eq!(sizes(3)[..5], [90, 45, 30, 23, 18]);
    assert_eq!(sizes(3)[59], 2);
    for room in &rooms {
        let distinct: BTreeSet<&u32> = room.members.iter().collect();
        assert_eq!(distinct.len(), room.members.len());
    }
}
