//! A chore that asks for a test by its name runs none, and passes, when there is none of that name: each
//! is there.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::fs;
use std::path::Path;

/// All sources below a folder, one behind the other.
fn sources(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|end| end == "rs") {
            into.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_test_that_a_chore_names_is_there() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = String::new();
    for name in ["throng", "throng-server", "throng-wire"] {
        sources(&own.parent().unwrap().join("crates").join(name).join("tests"), &mut tests);
    }
    let mut named = 0;
    for chore in ["kill", "longer", "powercut"] {
        let text = fs::read_to_string(own.join("src").join(format!("{chore}.rs"))).unwrap();
        let quoted = text.split('"').skip(1).step_by(2);
        for test in quoted.filter(|it| it.contains("::") && !it.contains(' ')) {
            let name = test.rsplit("::").next().unwrap();
            assert!(tests.contains(&format!("fn {name}()")), "{chore}: no test is named {test}");
            named += 1;
        }
    }
    assert!(named >= 5, "only {named} were found");
    assert!(tests.contains("mod fuzz;"), "`fuzz::` names nothing");
}

/// With a second one `cargo run`, the first command of the README, knows no longer which program is meant.
#[test]
fn cargo_run_starts_the_server() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let packages = fs::read_dir(root.join("crates")).unwrap().map(|entry| entry.unwrap().path());
    let defaults: Vec<String> = packages
        .chain([root.join("xtask")])
        .filter_map(|package| fs::read_to_string(package.join("Cargo.toml")).ok())
        .filter_map(|text| {
            let line = text.lines().find(|line| line.starts_with("default-run"))?;
            Some(line.to_owned())
        })
        .collect();
    assert_eq!(defaults, ["default-run = \"throng\""]);
}
