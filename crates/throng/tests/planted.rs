//! The proof of the proof: each fault of `faults.rs` that a live server can show is caught. (That
//! commits are not synced is shown by the power cuts, in the server's own tests.)

use crate::{kill, slow};

/// So many kills at most until a fault that shows itself only at the moment of a kill is caught.
const KILLS_MAX: u64 = 60;

#[test]
fn an_ack_before_the_commit_is_caught_by_kill_nine() {
    caught_by_kill("ack_before_commit");
}

#[test]
fn telling_before_the_commit_is_caught_by_kill_nine() {
    caught_by_kill("tell_before_commit");
}

#[test]
fn forgetting_origin_ids_is_caught_by_one_who_tries_again() {
    caught_by_kill("forget_origins");
}

#[test]
fn a_resume_that_is_off_by_one_is_caught_by_one_who_comes_back() {
    caught_by_kill("resume_off_by_one");
}

#[test]
fn dropping_what_a_full_outbox_cannot_hold_is_caught_by_a_slow_reader() {
    slow::stall(Some("drop_when_full")).expect_err("something was kept from the reader");
}

fn caught_by_kill(fault: &'static str) {
    let mut kills = 0;
    for seed in 1.. {
        let cycles = 4;
        kills += cycles;
        if kill::run(kill::Plan { cycles, seed, fault: Some(fault) }).is_err() {
            return;
        }
        assert!(kills < KILLS_MAX, "{fault} was not caught in {kills} kills");
    }
}
