//! Every settable limit is enforced somewhere and tested on each side. A limit that is added without
//! a row here, or whose place or test goes away, fails.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::fs;
use std::path::{Path, PathBuf};

/// Limit, where it is enforced, and the test of its two sides.
#[rustfmt::skip]
const ROWS: &[(&str, &str, &str)] = &[
    ("frame_len_max_anonymous", "server/src/protocols/native/mod.rs", "a_frame_is_taken_at_the_limit_and_ends_the_stream_above_it"),
    ("frame_len_max", "server/src/connection/serve.rs", "a_frame_is_longer_than_allowed_only_until_one_is_somebody"),
    ("handshake_timeout_ms", "server/src/listeners/http.rs", "one_that_drips_its_request_holds_its_socket_no_longer"),
    ("auth_timeout_ms", "core/src/session.rs", "the_deadline_is_for_strangers_only"),
    ("ping_interval_ms", "server/src/connection/mod.rs", "a_silent_peer_is_probed_and_one_that_does_not_answer_is_sent_away"),
    ("ping_timeout_ms", "server/src/connection/mod.rs", "a_silent_peer_is_probed_and_one_that_does_not_answer_is_sent_away"),
    ("write_timeout_ms", "server/src/connection/mod.rs", "one_that_takes_nothing_is_cut_when_its_time_is_over_and_not_before"),
    ("sends_per_second", "core/src/session.rs", "a_rate_holds_over_time_whoever_hurries"),
    ("sends_burst", "core/src/session.rs", "sends_are_taken_up_to_the_burst_and_the_next_is_told_when"),
    ("requests_per_second", "core/src/session.rs", "a_rate_holds_over_time_whoever_hurries"),
    ("requests_burst", "core/src/session.rs", "requests_of_a_connection_are_taken_up_to_the_burst"),
    ("requests_per_second_anonymous", "core/src/session.rs", "an_address_that_is_nobody_asks_up_to_its_burst_and_then_at_its_rate"),
    ("requests_burst_anonymous", "core/src/session.rs", "an_address_that_is_nobody_asks_up_to_its_burst_and_then_at_its_rate"),
    ("connections_per_address", "server/src/listeners/gate.rs", "an_address_has_as_many_connections_as_it_may_and_not_one_more"),
    ("connections_per_user", "server/src/sessions.rs", "an_account_has_as_many_connections_as_it_may_and_not_one_more"),
    ("connections_max", "server/src/listeners/gate.rs", "the_limits_hold_from_both_sides_and_a_pass_that_is_dropped_makes_place"),
    ("users_max", "server/src/accounts/thread.rs", "a_name_is_taken_once_whatever_its_case_and_a_full_server_takes_none"),
    ("sessions_per_user_max", "server/src/accounts/thread.rs", "the_session_used_longest_ago_makes_place_for_a_new_one"),
    ("file_len_max", "server/src/files/mod.rs", "files_are_taken_up_to_their_limits_and_not_one_beyond"),
    ("files_len_per_user_max", "server/src/files/mod.rs", "files_are_taken_up_to_their_limits_and_not_one_beyond"),
    ("files_per_user_max", "server/src/files/mod.rs", "files_are_taken_up_to_their_limits_and_not_one_beyond"),
    ("uploads_per_user_max", "server/src/files/mod.rs", "files_are_taken_up_to_their_limits_and_not_one_beyond"),
    ("file_unused_ms", "server/src/files/sweep.rs", "a_file_that_no_message_carries_is_freed_after_its_time_and_not_before"),
    ("disk_free_min", "server/src/files/mod.rs", "a_file_for_which_the_disk_has_no_room_is_refused_and_goes_on_when_there_is"),
    ("transfers_max", "server/src/files/transfers.rs", "transfers_are_counted_in_all_and_of_one_account_and_make_place_when_they_end"),
    ("transfers_per_user_max", "server/src/files/transfers.rs", "transfers_are_counted_in_all_and_of_one_account_and_make_place_when_they_end"),
    ("transfer_stall_ms", "server/src/rest/files.rs", "one_who_stops_sending_holds_no_place_and_loses_nothing_that_came"),
    ("picture_len_max", "server/src/files/mod.rs", "a_picture_is_unpacked_up_to_its_limit_and_not_one_byte_further"),
    ("picture_queue_max", "server/src/files/mod.rs", "pictures_wait_to_be_made_small_up_to_their_limit_and_one_more_is_busy"),
    ("outbox_frames_max", "server/src/outbox.rs", "frames_wait_up_to_their_limit_and_one_more_is_too_slow"),
    ("outbox_bytes_max", "server/src/outbox.rs", "bytes_wait_up_to_their_limit_and_one_more_is_too_slow"),
    ("send_buffer_bytes", "server/src/listeners/mod.rs", "a_reader_that_stalls_has_so_much_of_the_kernel_and_no_more"),
    ("resume_events_max", "server/src/connection/serve.rs", "a_gap_at_the_limit_is_given_and_one_above_it_is_too_old"),
    ("pushed_members_max", "core/src/shard.rs", "comings_and_goings_of_a_large_room_are_kept_and_not_pushed"),
    ("rooms_max", "server/src/directory.rs", "the_limit_of_rooms_holds_from_both_sides"),
    ("members_max", "core/src/shard.rs", "a_full_room_takes_nobody_until_someone_leaves"),
    ("marked_max", "core/src/shard.rs", "a_mute_outlasts_leaving_and_counts_among_the_marks_that_a_room_may_keep"),
    ("rooms_per_user_max", "server/src/directory.rs", "joins_under_way_count_against_an_accounts_rooms"),
    ("rooms_made_per_hour", "core/src/session.rs", "an_account_makes_rooms_up_to_its_burst_and_then_at_its_rate"),
    ("rooms_made_burst", "core/src/session.rs", "an_account_makes_rooms_up_to_its_burst_and_then_at_its_rate"),
    ("shard_queue_max", "server/src/app/start.rs", "a_full_shard_makes_its_connections_read_no_more_and_not_one_command_sooner"),
    ("turn_max", "server/src/sequencer.rs", "what_waits_is_decided_in_turns_of_at_most_so_many_commands"),
    ("turn_wait_ms", "server/src/sequencer.rs", "a_turn_that_is_not_full_waits_for_its_time_and_no_longer"),
    ("held_max", "core/src/shard/waiting.rs", "so_many_posts_and_bytes_wait_on_a_server_and_not_one_more"),
    ("held_bytes_max", "core/src/shard/waiting.rs", "so_many_posts_and_bytes_wait_on_a_server_and_not_one_more"),
    ("origin_window_ms", "core/src/window.rs", "an_origin_id_is_remembered_through_the_window_and_its_memory_given_back_after_it"),
    ("origin_window_posts", "core/src/window.rs", "an_origin_id_is_remembered_through_the_window_and_its_memory_given_back_after_it"),
    ("hash_threads", "core/src/limits.rs", "so_many_passwords_are_hashed_at_once_and_the_next_waits_for_its_turn"),
    ("hash_queue_max", "server/src/auth/hashing.rs", "the_queue_takes_exactly_its_bound_and_a_place_given_back_is_free_again"),
    ("hash_wait_max_ms", "server/src/auth/hashing.rs", "a_queue_that_would_be_waited_in_too_long_is_full_before_its_bound"),
    ("logins_per_minute_account", "server/src/auth/throttle.rs", "an_account_is_tried_up_to_its_limit_and_again_when_the_told_time_has_passed"),
    ("logins_per_minute_address", "server/src/auth/throttle.rs", "an_address_tries_up_to_its_limit_over_all_accounts_and_sign_ups"),
    ("guests_max", "server/src/auth/mod.rs", "one_that_logs_out_is_over_and_makes_place_for_another"),
    ("guest_lifetime_ms", "server/src/auth/mod.rs", "a_guest_is_known_by_its_number_and_enters_by_its_token_until_its_time_is_over"),
    ("guests_per_minute_address", "server/src/auth/throttle.rs", "an_address_sends_so_many_guests_a_minute_and_one_more_is_told_when"),
    ("refusals_max", "server/src/outbox.rs", "refusals_of_the_shard_end_a_connection_at_the_limit_whatever_ack_was_asked_for"),
    ("refusals_per_second", "core/src/session.rs", "beyond_the_rate_of_refusals_nothing_is_read_until_another_may_be"),
    ("refusals_burst", "core/src/session.rs", "beyond_the_rate_of_refusals_nothing_is_read_until_another_may_be"),
    ("away_ms", "server/src/auth/away.rs", "each_time_the_wait_is_twice_as_long_up_to_its_bound_and_nobody_else_waits"),
    ("away_ms_max", "server/src/auth/away.rs", "each_time_the_wait_is_twice_as_long_up_to_its_bound_and_nobody_else_waits"),
    ("abuses_per_minute_address", "server/src/auth/throttle.rs", "an_address_whose_nobodies_are_sent_away_up_to_its_limit_connects_and_then_waits"),
    ("search_queue_max", "server/src/app/search.rs", "searches_wait_up_to_their_limit_and_one_more_is_told_to_come_back"),
    ("search_time_max_ms", "server/src/app/search.rs", "a_search_whose_time_is_up_tells_what_it_has"),
    ("keep_seconds", "server/src/keeping.rs", "a_room_keeps_what_it_settled_or_what_the_server_says_and_no_longer_than_the_bound"),
    ("keep_seconds_max", "server/src/keeping.rs", "a_room_keeps_what_it_settled_or_what_the_server_says_and_no_longer_than_the_bound"),
    ("exports_max", "server/src/app/export.rs", "one_exports_at_a_time_and_not_often_and_so_many_do_at_once"),
    ("export_every_ms", "server/src/app/export.rs", "one_exports_at_a_time_and_not_often_and_so_many_do_at_once"),
    ("tail_bytes_max", "server/src/app/start.rs", "a_full_tail_makes_its_sequencers_wait_until_the_fold_has_made_room"),
];

/// Of a grammar or a number's width, not of what somebody may do; and what a thread takes at a time.
const NO_LIMITS: &[&str] = &["ROOM_ID_MAX", "SEQ_MAX", "ASKS_MAX", "SECONDS_MAX"];

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates")
}

/// The names in the list of `limits.rs`, in their order.
fn settable() -> Vec<String> {
    let text = fs::read_to_string(crates().join("throng-core/src/limits.rs")).unwrap();
    let (_, list) = text.split_once("settable_limits! {\n").unwrap();
    let (list, _) = list.split_once("\n}\n").unwrap();
    let name = |line: &str| Some(line.trim().split_once(": ")?.0.to_owned());
    list.lines().filter(|line| line.contains(" = ")).filter_map(name).collect()
}

fn sources(folder: &Path, out: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            out.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_limit_has_a_row_and_every_row_a_limit() {
    let mut rows: Vec<String> = ROWS.iter().map(|row| row.0.to_owned()).collect();
    let mut limits = settable();
    rows.sort();
    limits.sort();
    assert_eq!(limits, rows);
}

#[test]
fn every_limit_is_read_where_its_row_says_and_its_test_is_there() {
    let mut tests = String::new();
    for name in ["throng-core", "throng-server", "throng"] {
        for part in ["src", "tests"] {
            sources(&crates().join(name).join(part), &mut tests);
        }
    }
    for (limit, place, test) in ROWS {
        let text = fs::read_to_string(crates().join(format!("throng-{place}"))).unwrap();
        let read = [format!("limits.{limit}"), format!("self.{limit}")];
        assert!(read.iter().any(|read| text.contains(read)), "{place} does not read {limit}");
        assert!(tests.contains(&format!("fn {test}()")), "{limit}: no test is named {test}");
    }
}

/// What more than one file must know of a limit is what a client meets: it stands with the others.
#[test]
fn a_limit_that_others_know_stands_in_the_one_file() {
    let mut sources_of_all = String::new();
    for name in ["throng-core", "throng-server"] {
        sources(&crates().join(name).join("src"), &mut sources_of_all);
    }
    let limits = fs::read_to_string(crates().join("throng-core/src/limits.rs")).unwrap();
    let names = |text: &str| -> Vec<String> {
        let constants = text.lines().filter_map(|line| line.strip_prefix("pub const "));
        let named = constants.filter_map(|rest| Some(rest.split_once(':')?.0.to_owned()));
        named.filter(|name| name.ends_with("_MAX")).collect()
    };
    let there = names(&limits);
    assert!(there.len() > 30, "{there:?}");
    let elsewhere = names(&sources_of_all).into_iter().filter(|name| !there.contains(name));
    let elsewhere: Vec<_> = elsewhere.filter(|name| !NO_LIMITS.contains(&&**name)).collect();
    assert_eq!(elsewhere, Vec::<String>::new(), "limits outside of throng-core/src/limits.rs");
}
