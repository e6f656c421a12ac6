//! The proof of the proof: each fault of `faults.rs` is caught by a test that passes without it. That
//! commits are not synced can only be seen when the power goes: the server's own tests show it.

use std::process::Command;

use throng_server::faults::Fault;

use crate::{kill, slow};

/// So many kills at most until a fault that shows itself only at the moment of a kill is caught.
const KILLS_MAX: u64 = 60;

#[test]
fn an_ack_before_the_commit_is_caught_by_kill_nine() {
    caught(Fault::AckBeforeCommit);
}

#[test]
fn telling_before_the_commit_is_caught_by_kill_nine() {
    caught(Fault::TellBeforeCommit);
}

#[test]
fn forgetting_origin_ids_is_caught_by_one_who_tries_again() {
    caught(Fault::ForgetOrigins);
}

#[test]
fn a_resume_that_is_off_by_one_is_caught_by_one_who_comes_back() {
    caught(Fault::ResumeOffByOne);
}

#[test]
fn dropping_what_a_full_outbox_cannot_hold_is_caught_by_a_slow_reader() {
    caught(Fault::DropWhenFull);
}

fn caught(fault: Fault) {
    match fault {
        Fault::NoSync => panic!("kill -9 leaves the page cache alone and cannot show this"),
        Fault::DropWhenFull => {
            let kept_from_it = slow::stall(Some(fault.name()));
            kept_from_it.expect_err("something was kept from the reader");
        }
        Fault::AckBeforeCommit
        | Fault::TellBeforeCommit
        | Fault::ResumeOffByOne
        | Fault::ForgetOrigins => {
            let cycles = 4;
            let plan = |seed| kill::Plan { cycles, seed, fault: Some(fault.name()) };
            let caught = (1..=KILLS_MAX / cycles).any(|seed| kill::run(plan(seed)).is_err());
            assert!(caught, "{} was not caught in {KILLS_MAX} kills", fault.name());
        }
    }
}

#[test]
fn the_build_that_people_run_has_no_planted_faults() {
    let mut tree = Command::new(std::env::var_os("CARGO").expect("cargo runs the tests"));
    tree.args(["tree", "--package", "throng", "--edges", "normal,features", "--offline"]);
    tree.args(["--invert", "throng-server", "--manifest-path"]);
    let told = tree.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).output();
    let told = String::from_utf8(told.expect("cargo runs the tests").stdout).expect("text");
    assert!(told.contains("throng-server feature \"default\""), "{told}");
    assert!(!told.contains("planted"), "{told}");
}
