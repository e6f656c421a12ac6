//! The house rules a machine can check. Each test is a rule; its failure names file and line.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
/// Generated from the .proto; its shape is prost's.
const GENERATED: &[&str] = &["crates/throng-wire/src/native/v1.rs"];
/// The schema: who writes a client takes it as one file.
const WHOLE: &[&str] = &["crates/throng-wire/proto/throng.proto"];
/// The only file that may hold the word: SQLite's VFS interface is C.
const UNSAFE_ALLOWED: &[&str] = &["crates/throng-server/tests/power/vfs.rs"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().into()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            let skipped = ["target", ".git", "node_modules", "throng-data", "runs", "vendor"];
            if !skipped.contains(&name.as_str()) {
                walk(&path, found);
            }
        } else {
            found.push(path);
        }
    }
}

/// Every file of the tree with one of these endings, as (path from the root, text).
fn files(endings: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    walk(&root(), &mut found);
    found.sort();
    let wanted = |path: &PathBuf| {
        path.extension().is_some_and(|ending| endings.contains(&&*ending.to_string_lossy()))
    };
    let named = |path: PathBuf| {
        let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        (name, fs::read_to_string(&path).unwrap_or_default())
    };
    found.into_iter().filter(wanted).map(named).collect()
}

fn sources() -> Vec<(String, String)> {
    files(&["rs"]).into_iter().filter(|(name, _)| !GENERATED.contains(&name.as_str())).collect()
}

#[track_caller]
fn none(broken: &[String]) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn a_file_has_at_most_600_lines() {
    let mut broken = Vec::new();
    for (name, text) in files(&["rs", "js", "mjs", "css", "html", "proto"]) {
        let lines = text.lines().count();
        let whole = GENERATED.iter().chain(WHOLE).any(|whole| *whole == name);
        if lines > FILE_LINES_MAX && !whole {
            broken.push(format!("{name}: {lines} lines"));
        }
    }
    none(&broken);
}

#[test]
fn a_function_has_at_most_70_lines() {
    let mut broken = Vec::new();
    for (name, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (begin, line) in lines.iter().enumerate() {
            if !is_function(line) {
                continue;
            }
            let indent = line.len() - line.trim_start().len();
            let closes = |other: &&str| **other == format!("{}}}", " ".repeat(indent));
            let Some(length) = lines[begin..].iter().position(closes) else {
                continue;
            };
            if length + 1 > FUNCTION_LINES_MAX && !line.trim_end().ends_with('}') {
                broken.push(format!("{name}:{}: {} lines", begin + 1, length + 1));
            }
        }
    }
    none(&broken);
}

fn is_function(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let first = words.find(|word| {
        !matches!(*word, "pub" | "async" | "const" | "unsafe" | "extern" | "\"C\"")
            && !word.starts_with("pub(")
    });
    first == Some("fn") && !line.trim_end().ends_with(';')
}

#[test]
fn a_source_file_begins_with_what_it_is_for() {
    let broken: Vec<String> = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(name, _)| format!("{name}: begin with `//!` and what the file is for"))
        .collect();
    none(&broken);
}

#[test]
fn the_core_and_the_grammars_do_not_wait_or_look_at_the_clock() {
    let banned = ["async fn", ".await", "std::net", "std::fs", "Instant", "SystemTime", "tokio"];
    let mut broken = Vec::new();
    for (name, text) in sources() {
        let pure = ["crates/throng-core/src/", "crates/throng-wire/src/"];
        if !pure.iter().any(|folder| name.starts_with(folder)) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            broken.extend(
                banned
                    .iter()
                    .filter(|word| code.contains(**word))
                    .map(|word| format!("{name}:{}: {word}", number + 1)),
            );
        }
    }
    none(&broken);
}

#[test]
fn the_crates_know_only_whom_the_design_allows() {
    let allowed: &[(&str, &[&str])] = &[
        ("throng-core", &[]),
        ("throng-wire", &[]),
        ("throng-server", &["throng-core", "throng-wire"]),
        ("throng-lab", &["throng-wire"]),
        ("throng", &["throng-server", "throng-lab"]),
    ];
    let mut broken = Vec::new();
    for (name, may) in allowed {
        let manifest =
            fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap();
        let own = manifest.split("[dependencies]").nth(1).unwrap_or_default();
        let own = own.split("\n[").next().unwrap_or_default();
        for line in own.lines().filter(|line| line.starts_with("throng-")) {
            let other = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if !may.contains(&other) {
                broken.push(format!("crates/{name}/Cargo.toml: {name} may not know {other}"));
            }
        }
    }
    none(&broken);
}

/// Inside the server arrows go down only: a room on the left never names one on the right.
#[test]
fn the_servers_arrows_go_down_only() {
    let forbidden: &[(&str, &[&str])] = &[
        ("log", &["store", "fanout", "sequencer", "connection", "rest", "app", "listeners"]),
        ("store", &["fanout", "sequencer", "connection", "rest", "app", "listeners"]),
        ("outbox", &["fanout", "sequencer", "rest", "app", "listeners", "log", "store"]),
        ("protocols", &["fanout", "sequencer", "rest", "app", "listeners", "log", "store"]),
        ("tail", &["fanout", "sequencer", "connection", "rest", "app", "listeners"]),
        ("fold", &["fanout", "sequencer", "connection", "rest", "app", "listeners"]),
        ("history", &["fanout", "sequencer", "connection", "rest", "app", "listeners"]),
        ("search", &["fanout", "sequencer", "connection", "rest", "app", "listeners"]),
        ("fanout", &["connection", "rest", "app", "listeners"]),
        ("sequencer", &["connection", "rest", "app", "listeners"]),
    ];
    let mut broken = Vec::new();
    for (name, text) in sources() {
        let Some(inside) = name.strip_prefix("crates/throng-server/src/") else { continue };
        let room = inside.split(['/', '.']).next().unwrap_or_default();
        let Some((_, may_not)) = forbidden.iter().find(|(from, _)| *from == room) else {
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for other in *may_not {
                if code.contains(&format!("crate::{other}::"))
                    || code.contains(&format!("crate::{other};"))
                {
                    broken.push(format!("{name}:{}: {room} may not know {other}", number + 1));
                }
            }
        }
    }
    none(&broken);
}

#[test]
fn unsafe_stands_in_one_named_file() {
    let mut broken = Vec::new();
    for (name, text) in sources() {
        if UNSAFE_ALLOWED.contains(&name.as_str()) || name == "xtask/tests/tidy.rs" {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let keyword = |next: &&str| code.contains(&format!("unsafe {next}"));
            if ["{", "fn", "impl", "extern", "trait"].iter().any(keyword) {
                broken.push(format!("{name}:{}", number + 1));
            }
        }
    }
    none(&broken);
}

#[test]
fn there_are_no_drawers() {
    let drawers = ["util", "utils", "common", "helpers", "misc", "shared"];
    let broken: Vec<String> = files(&["rs", "js", "mjs"])
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| {
            name.split(['/', '.']).any(|part| drawers.contains(&part)) || name.ends_with("_util.rs")
        })
        .collect();
    none(&broken);
}

#[test]
fn nothing_is_left_for_later_and_no_test_sleeps() {
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("#[ig", "nore"),
        concat!("thread::", "sleep"),
        concat!("time::", "sleep("),
    ];
    let allowed = |name: &str, word: &str| {
        // The server's own pauses (bounded waits of the runtime) and a measuring program's; no test's.
        let server = name.starts_with("crates/throng-server/src/");
        let pauses = word == words[5] || word == words[6];
        pauses && server || word == words[5] && name.contains("/examples/")
    };
    let mut broken = Vec::new();
    for (name, text) in files(&["rs", "js", "mjs"]) {
        for (number, line) in text.lines().enumerate() {
            for word in words {
                if line.contains(word) && !allowed(&name, word) {
                    broken.push(format!("{name}:{}: {word}", number + 1));
                }
            }
        }
    }
    none(&broken);
}

#[test]
fn no_test_file_is_forgotten() {
    let mut broken = Vec::new();
    for (name, _) in sources() {
        let Some((before, file)) = name.rsplit_once('/') else { continue };
        // Beside its subject a test file is a module of that.
        if !before.ends_with("/tests")
            || before.contains("/src/")
            || file == "runner.rs"
            || before == "xtask/tests"
        {
            continue;
        }
        let module = file.trim_end_matches(".rs");
        let runner = fs::read_to_string(root().join(before).join("runner.rs")).unwrap_or_default();
        if !runner.contains(&format!("mod {module};")) {
            broken.push(format!("{name}: not a module of {before}/runner.rs"));
        }
    }
    none(&broken);
}

#[test]
fn every_document_is_linked_and_every_link_leads_somewhere() {
    let documents = files(&["md"]);
    let mut reached = BTreeSet::new();
    let mut broken = Vec::new();
    for (name, text) in &documents {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") || target.contains(' ') {
                continue;
            }
            let folder = root().join(name).parent().unwrap().to_path_buf();
            match folder.join(target).canonicalize() {
                Ok(path) => {
                    reached.insert(path);
                }
                Err(_) => broken.push(format!("{name}: link to {target} leads nowhere")),
            }
        }
    }
    for (name, _) in &documents {
        let path = root().join(name).canonicalize().unwrap();
        if !reached.contains(&path) && name != "README.md" {
            broken.push(format!("{name}: no document links to it"));
        }
    }
    none(&broken);
}

#[test]
fn every_heading_that_a_link_names_is_there() {
    let mut broken = Vec::new();
    for (name, text) in files(&["md"]) {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let Some((target, heading)) = link.split_once('#') else { continue };
            if target.contains("://") || link.contains(' ') {
                continue;
            }
            let of = if target.is_empty() { root().join(&name) } else { beside(&name, target) };
            // One that is not there is told of above.
            let Ok(of) = fs::read_to_string(of) else { continue };
            if !headings(&of).any(|one| one == heading) {
                broken.push(format!("{name}: there is no heading {link}"));
            }
        }
    }
    none(&broken);
    let text = "# One\n```sh\n# none\n```\n## 2. `Two`, *and* [three](4.md)!\n";
    assert_eq!(headings(text).collect::<Vec<_>>(), ["one", "2-two-and-three"]);
}

fn beside(document: &str, target: &str) -> PathBuf {
    root().join(document).parent().expect("a document is in a folder").join(target)
}

/// The headings of a document, as links name them: letters, digits and dashes of what is shown.
fn headings(text: &str) -> impl Iterator<Item = String> {
    let mut shown = true;
    text.lines().filter_map(move |line| {
        shown ^= line.starts_with("```");
        let heading = line.strip_prefix('#').filter(|_| shown)?.trim_start_matches('#');
        let mut named = String::new();
        let mut of_link = false;
        for letter in heading.trim().to_lowercase().chars() {
            of_link = (of_link || (letter == '(' && named.ends_with(']'))) && letter != ')';
            match letter {
                _ if of_link => {}
                ']' => named.push(letter),
                ' ' => named.push('-'),
                letter if letter.is_alphanumeric() || "-_".contains(letter) => named.push(letter),
                _ => {}
            }
        }
        Some(named.replace(']', ""))
    })
}

#[test]
fn every_source_file_that_a_document_names_is_there() {
    let sources: Vec<String> = files(&["rs"]).into_iter().map(|(name, _)| name).collect();
    let mut broken = Vec::new();
    for (name, text) in files(&["md"]) {
        for named in text.split('`').filter(|word| is_source_path(word)) {
            let path = format!("/{}", named.trim_start_matches("../"));
            if !sources.iter().any(|source| format!("/{source}").ends_with(&path)) {
                broken.push(format!("{name}: there is no {named}"));
            }
        }
    }
    none(&broken);
}

fn is_source_path(word: &str) -> bool {
    let of_path = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    Path::new(word).extension().is_some_and(|it| it == "rs") && word.chars().all(of_path)
}

#[test]
fn every_dependency_says_why_it_is_here() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let section = manifest.split("[workspace.dependencies]").nth(1).unwrap();
    let section = section.split("\n[").next().unwrap();
    let mut explained = false;
    let mut broken = Vec::new();
    for line in section.lines() {
        match line {
            line if line.starts_with('#') => explained = true,
            "" => explained = false,
            line if line.contains(" = ") && !explained && !line.contains("path = ") => {
                broken.push(format!("Cargo.toml: {line}"));
            }
            _ => {}
        }
    }
    none(&broken);
}

#[test]
fn the_project_speaks_of_itself_alone() {
    let banned = [concat!("/work", "/"), concat!("/tmp", "/wt"), concat!("/ro", "ot/")];
    let mut broken = Vec::new();
    for (name, text) in files(&["rs", "md", "toml", "js", "mjs", "html", "css", "proto"]) {
        for (number, line) in text.lines().enumerate() {
            for word in banned {
                if line.contains(word) && name != "xtask/tests/tidy.rs" {
                    broken.push(format!("{name}:{}: {word}", number + 1));
                }
            }
        }
    }
    none(&broken);
}
