//! `docs/reference/protocol.md` tells clients the same codes that the tables have.

use std::collections::BTreeSet;

use throng_core::{Disconnect, Rejection};

const REFERENCE: &str = include_str!("../../../docs/reference/protocol.md");

/// The cells of the table rows that begin with a number of this many digits, in the section.
fn rows(section: &str) -> Vec<Vec<&'static str>> {
    let from = REFERENCE.find(&format!("### {section}\n")).expect("the section is there");
    let lines = REFERENCE[from..].lines().skip(1).take_while(|line| !line.starts_with('#'));
    let cells = lines.filter_map(|line| line.strip_prefix('|')).map(|line| line.split('|'));
    let rows = cells.map(|cells| cells.map(|cell| cell.trim().trim_matches('`')).collect());
    rows.filter(|row: &Vec<_>| row[0].parse::<u16>().is_ok()).collect()
}

#[test]
fn every_refusal_is_documented_and_no_other() {
    let told: BTreeSet<_> =
        rows("Refusals").iter().map(|row| (row[0].to_owned(), row[1].to_owned())).collect();
    let known: BTreeSet<_> =
        Rejection::ALL.iter().map(|r| (r.code().to_string(), r.name().to_owned())).collect();
    assert_eq!(told, known);
}

#[test]
fn every_farewell_is_documented_and_no_other() {
    let told: BTreeSet<_> = rows("Farewells")
        .iter()
        .map(|row| (row[0].to_owned(), row[1].to_owned(), row[2] == "yes"))
        .collect();
    let known: BTreeSet<_> = Disconnect::ALL
        .iter()
        .map(|d| (d.code().to_string(), d.reason().to_owned(), d.reconnect()))
        .collect();
    assert_eq!(told, known);
}

#[test]
fn no_code_and_no_name_stands_for_two_things() {
    let codes: BTreeSet<_> = Rejection::ALL.iter().map(|r| r.code()).collect();
    let names: BTreeSet<_> = Rejection::ALL.iter().map(|r| r.name()).collect();
    assert_eq!((codes.len(), names.len()), (Rejection::ALL.len(), Rejection::ALL.len()));
    let codes: BTreeSet<_> = Disconnect::ALL.iter().map(|d| d.code()).collect();
    assert_eq!(codes.len(), Disconnect::ALL.len());
}
