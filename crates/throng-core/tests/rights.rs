//! `docs/reference/permissions.md` is the table of rights: every cell of it is what `permit` answers,
//! and no request, act or endpoint is without a row.

use std::collections::BTreeMap;

use throng_core::rights::{Operation, outranks, permit};
use throng_core::{Act, Kind, Policy, Rejection, Role, Speak, Standing, Visibility};

const REFERENCE: &str = include_str!("../../../docs/reference/permissions.md");
const SCHEMA: &str = include_str!("../../throng-wire/proto/throng.proto");
const ROUTES: &str = include_str!("../../throng-server/src/rest/mod.rs");

/// The rows of the n-th table below a heading, without its head: cells without their backticks.
fn table(heading: &str, nth: usize) -> Vec<Vec<&'static str>> {
    let from = REFERENCE.find(&format!("## {heading}\n")).expect(heading);
    let lines = REFERENCE[from + 3..].lines().take_while(|line| !line.starts_with("## "));
    let mut tables: Vec<Vec<Vec<&str>>> = Vec::new();
    let mut inside = false;
    for line in lines {
        match line.strip_prefix("| ") {
            Some(row) if inside => {
                let cells = row.trim_end_matches('|').split('|');
                let cells = cells.map(|cell| cell.trim().trim_matches('`'));
                tables.last_mut().expect("it has begun").push(cells.collect());
            }
            Some(_) => tables.push(Vec::new()),
            None => {}
        }
        inside = line.starts_with('|');
    }
    let mut rows = tables.swap_remove(nth);
    rows.remove(0); // The line of dashes.
    assert!(!rows.is_empty(), "{heading} has rows");
    rows
}

/// What a cell that is no rule of its own says.
fn said(cell: &str) -> Result<(), Rejection> {
    if cell == "yes" {
        return Ok(());
    }
    let rejection = Rejection::ALL.iter().find(|rejection| rejection.name() == cell);
    Err(*rejection.unwrap_or_else(|| panic!("`{cell}` is neither yes nor a refusal")))
}

fn operation(name: &str) -> Operation {
    let found = Operation::ALL.iter().find(|operation| operation.name() == name);
    *found.unwrap_or_else(|| panic!("`{name}` is no operation"))
}

/// The tables, read.
struct Document {
    members: BTreeMap<&'static str, Vec<&'static str>>,
    speaking: Vec<Vec<&'static str>>,
    outside: BTreeMap<&'static str, Vec<&'static str>>,
    of_two: BTreeMap<&'static str, Vec<&'static str>>,
}

impl Document {
    fn read() -> Self {
        let by_name = |heading| {
            let rows = table(heading, 0).into_iter();
            rows.map(|mut row| (row.remove(0), row)).collect()
        };
        Self {
            members: by_name("Members"),
            speaking: table("Speaking", 0),
            outside: by_name("Outside"),
            of_two: by_name("Direct rooms"),
        }
    }

    fn says(&self, operation: Operation, who: Standing, policy: Policy) -> Result<(), Rejection> {
        match who.role() {
            Some(role) => self.says_of_member(operation, role, who, policy),
            None => self.says_outside(operation, who, policy),
        }
    }

    fn says_of_member(
        &self,
        operation: Operation,
        role: Role,
        who: Standing,
        policy: Policy,
    ) -> Result<(), Rejection> {
        if policy.kind == Kind::Direct {
            let row = self.of_two.get(operation.name()).unwrap_or(&self.of_two["any other"]);
            return said(row[0]);
        }
        match self.members[operation.name()][role as usize - 1] {
            "speaks" => {
                let speak = match policy.speak {
                    Speak::Everyone => "everyone",
                    Speak::Members => "members",
                    Speak::Voiced => "voiced",
                };
                let mark = match who {
                    _ if who.has(Standing::MUTED) => "muted",
                    _ if who.has(Standing::VOICED) => "voiced",
                    _ => "none",
                };
                let fits =
                    |row: &&Vec<&str>| (row[0] == speak || row[0] == "any") && row[1] == mark;
                let row = self.speaking.iter().find(fits).expect("the table is whole");
                said(row[1 + role as usize])
            }
            "in private" => said(if policy.kind == Kind::Private { "yes" } else { "forbidden" }),
            cell => said(cell),
        }
    }

    fn says_outside(
        &self,
        operation: Operation,
        who: Standing,
        policy: Policy,
    ) -> Result<(), Rejection> {
        let row = self.outside.get(operation.name()).unwrap_or(&self.outside["any other"]);
        let column = match (policy.kind, who.has(Standing::BANNED), who.has(Standing::INVITED)) {
            (Kind::Public, false, _) => 0,
            (Kind::Public, true, _) => 1,
            (Kind::Private, false, false) => 2,
            (Kind::Private, false, true) => 3,
            (Kind::Private, true, _) => 4,
            (Kind::Direct, ..) => 5,
        };
        match row[column] {
            "reads" if policy.history == Visibility::All => Ok(()),
            "reads" => Err(Rejection::NotMember),
            cell => said(cell),
        }
    }
}

#[test]
fn every_cell_of_the_table_of_rights_is_what_the_code_answers() {
    let document = Document::read();
    let mut cells = 0;
    for operation in Operation::ALL {
        for who in (0..=u8::MAX).filter_map(Standing::from_byte) {
            for kind in [Kind::Public, Kind::Private, Kind::Direct] {
                for speak in [Speak::Everyone, Speak::Members, Speak::Voiced] {
                    for history in [Visibility::Members, Visibility::Joining, Visibility::All] {
                        let policy = Policy { kind, speak, history, ..Policy::default() };
                        let expected = document.says(*operation, who, policy);
                        let answered = permit(*operation, who, policy);
                        assert_eq!(answered, expected, "{operation:?} {who:?} {policy:?}");
                        cells += 1;
                    }
                }
            }
        }
    }
    assert_eq!(cells, Operation::ALL.len() * 80 * 27);
    println!("{cells} cells were compared");
}

#[test]
fn no_row_stands_for_an_operation_that_there_is_not() {
    let document = Document::read();
    assert_eq!(document.members.len(), Operation::ALL.len());
    for name in document.members.keys().chain(document.outside.keys()).chain(document.of_two.keys())
    {
        if *name != "any other" {
            operation(name);
        }
    }
}

#[test]
fn on_whom_one_acts_and_which_roles_one_gives_is_as_the_tables_say() {
    let role =
        |name: &str| Role::ALL.into_iter().find(|role| format!("{role:?}").to_lowercase() == name);
    for row in table("On whom", 0) {
        let asker = Standing::of(role(row[0]).expect(row[0]));
        let targets = [None].into_iter().chain(Role::ALL.map(Some));
        for (cell, target) in row[1..].iter().zip(targets) {
            let target = target.map_or(Standing::default(), Standing::of);
            for act in [None, Some(Act::Kick), Some(Act::SetRole(Role::Visitor))] {
                assert_eq!(outranks(asker, target, act), said(cell), "{row:?} {act:?}");
            }
        }
    }
    for row in table("On whom", 1) {
        let asker = Standing::of(role(row[0]).expect(row[0]));
        for (cell, given) in row[1..].iter().zip(Role::ALL) {
            let member = Standing::of(Role::Member);
            assert_eq!(outranks(asker, member, Some(Act::SetRole(given))), said(cell), "{row:?}");
        }
    }
}

/// Names of the fields of a oneof, or of the values of an enum.
fn names(of: &str) -> Vec<&'static str> {
    let (_, after) = SCHEMA.split_once(&format!("{of} {{")).expect(of);
    let (inside, _) = after.split_once('}').expect(of);
    let named = |line: &'static str| line.trim().split_once(" = ").map(|(left, _)| left);
    inside.lines().filter_map(named).filter_map(|left| left.split(' ').next_back()).collect()
}

#[test]
fn no_request_of_the_schema_and_no_act_is_without_a_row() {
    let requests = table("Requests", 0);
    // A row without a request is of what only REST has.
    let asked: Vec<_> = requests.iter().map(|row| row[0]).filter(|name| !name.is_empty()).collect();
    assert_eq!(asked, names("oneof request"), "in the order of the schema");
    let document = Document::read();
    for act in names("enum Act").into_iter().filter(|act| *act != "ACT_NONE") {
        let act = act.trim_start_matches("ACT_").to_lowercase();
        assert!(document.members.contains_key(&*format!("moderate {act}")), "{act}");
    }
}

#[test]
fn no_endpoint_is_without_a_row() {
    let mut routed = Vec::new();
    let api = ROUTES.split("fn api()").nth(1).expect("the router is there");
    for line in api.split(".fallback").next().expect("it ends").lines() {
        let Some(route) = line.trim().strip_prefix(".route(\"") else { continue };
        let (path, handlers) = route.split_once("\", ").expect(line);
        for method in ["get", "post", "patch", "delete", "put", "options"] {
            let named = handlers.starts_with(&format!("{method}("))
                || handlers.contains(&format!(".{method}("));
            routed.extend(named.then(|| format!("{} {path}", method.to_uppercase())));
        }
    }
    assert!(routed.len() >= 13, "{routed:?}");
    let rows = table("Requests", 0);
    let mut told: Vec<_> = rows.iter().map(|row| row[1]).filter(|cell| !cell.is_empty()).collect();
    routed.sort();
    told.sort_unstable();
    assert_eq!(told, routed);
}
