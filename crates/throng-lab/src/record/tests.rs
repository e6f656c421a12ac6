//! A recording from figures that are known.

use super::*;

/// Figures after so many sends: three rooms of ten and one of a hundred, which hears a tenth of it.
fn look(at: f64, sends: u64) -> Look {
    let text = format!(
        "throng_sends_total {sends}\nthrong_deliveries_total {}\nthrong_connections 101\n\
         throng_connections_opened_total {}\n\
         throng_body_bytes_bucket{{le=\"64.0\"}} 0\nthrong_body_bytes_bucket{{le=\"128.0\"}} {sends}\n\
         throng_body_bytes_bucket{{le=\"+Inf\"}} {sends}\n\
         throng_body_bytes_sum {}\nthrong_body_bytes_count {sends}\n\
         throng_events_total{{kind=\"posted\"}} {sends}\nthrong_events_total{{kind=\"edited\"}} {}\n\
         throng_events_total{{kind=\"joined\"}} {at}\n\
         throng_rooms_heard{{listeners_max=\"16\"}} 3\n\
         throng_rooms_heard{{listeners_max=\"128\"}} 1\n\
         throng_rooms_heard_listeners{{listeners_max=\"16\"}} 30\n\
         throng_rooms_heard_listeners{{listeners_max=\"128\"}} 100\n\
         throng_rooms_heard_posts_total{{listeners_max=\"16\"}} {}\n\
         throng_rooms_heard_posts_total{{listeners_max=\"128\"}} {}\n",
        sends * 19,
        // Ours, and five a second that came back.
        at * 6.0,
        sends * 100,
        sends / 5,
        sends * 9 / 10,
        sends / 10,
    );
    Look { at, figures: Figures::of_text(&text) }
}

fn near(is: f64, wanted: f64) {
    assert!((is / wanted - 1.0).abs() < 0.01, "{is} is not {wanted}");
}

#[test]
fn what_is_recorded_has_the_rates_the_sizes_and_the_shape_of_what_was_carried() {
    let looks = [look(0.0, 0), look(1.0, 100), look(2.0, 400), look(3.0, 600)];
    let scenario = scenario_of("monday", &looks).unwrap();
    assert_eq!((scenario.name.as_str(), scenario.users.count), ("monday", 100));
    let [small, large] = &scenario.rooms[..] else { panic!("{:?}", scenario.rooms) };
    assert_eq!((small.name.as_str(), small.count, small.members), ("up-to-16", 3, 10));
    assert_eq!((large.count, large.members), (1, 100));
    near(small.sends_per_second * 3.0, 180.0);
    near(large.sends_per_second, 20.0);
    assert_eq!((scenario.bodies.bytes_median, scenario.bodies.sigma.to_bits()), (100, 0));
    near(scenario.changes.edits, 0.2);
    near(scenario.churn.reconnect, 0.05);
    near(scenario.churn.membership, 0.01);
    assert_eq!(scenario.phases[0].load.shares(), [0.5, 1.5, 1.0]);
}

#[test]
fn a_recording_can_be_read_again_and_be_run_at_three_times_its_load() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new/monday.toml");
    let looks = [look(0.0, 0), look(1.0, 100)];
    let scenario = scenario_of("monday", &looks).unwrap();
    write(&file, &scenario, &looks).unwrap();
    let read = Scenario::load(file.to_str().unwrap(), &[]).unwrap();
    assert_eq!(read, scenario);
    let loud = read.times(3.0).unwrap();
    near(loud.size().1, 300.0);
    assert_eq!(loud.users, read.users);
    near(loud.churn.reconnect, read.churn.reconnect * 3.0);
    for times in [0.0, -1.0, 10_001.0, f64::NAN] {
        assert!(read.times(times).unwrap_err().to_string().contains("--times"), "{times}");
    }
    // So many times may be asked for; what comes of it has bounds of its own.
    let most = read.times(10_000.0).unwrap_err().to_string();
    assert!(most.contains("sends_per_second") && !most.contains("--times"), "{most}");
}

#[test]
fn what_cannot_be_recorded_is_told_in_words() {
    let silent = Figures::of_text("throng_sends_total 1\n");
    let other = [0.0, 1.0].map(|at| Look { at, figures: silent.clone() });
    for (looks, why) in [
        (&[look(0.0, 5), look(1.0, 5)][..], "nobody said anything"),
        (&[look(0.0, 5), look(1.0, 3), look(2.0, 9)], "started again"),
        (&[look(0.0, 5)], "ended before"),
        (&other, "sizes of its rooms"),
    ] {
        let error = scenario_of("x", looks).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn four_digits_are_kept() {
    for (value, wanted) in [(12.345_67, 12.35), (0.001_234_56, 0.001_235), (98_765.0, 98_770.0)] {
        assert!((tidy(value) - wanted).abs() < wanted * 1e-9, "{value}: {}", tidy(value));
    }
    assert_eq!(tidy(0.0).to_bits(), 0);
}
