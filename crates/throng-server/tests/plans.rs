//! Every statement of every SQLite file of the server, and how SQLite would carry it out: none walks
//! through all of a table that grows.
//!
//! The statements are the literals of the sources that begin as one, so that a new one is looked at
//! without being named here. Each is prepared in the file that its folder of the sources writes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};
use throng_server::app::App;
use throng_server::clock::Clock;
use throng_server::config::Settings;
use throng_server::lifecycle::Fatal;

/// Which file the statements of a source are for.
const FILES: [(&str, &str); 8] = [
    ("log/", "log.db"),
    ("store/", "store.db"),
    ("accounts/", "accounts.db"),
    ("moderation/", "moderation.db"),
    ("personal/", "personal.db"),
    ("search/", "search.db"),
    ("files/", "files.db"),
    ("sqlite.rs", "store.db"),
];

/// Statements that may walk through all of a table, by how they begin, and why.
const WALKS: [(&str, &str); 13] = [
    (
        "SELECT seq FROM sqlite_sequence",
        "one row for each table that numbers its own, of which there are two",
    ),
    ("UPDATE sqlite_sequence", "the same two rows, where numbers were lost"),
    ("SELECT EXISTS (SELECT 1 FROM users)", "at start: ends at the first row of each"),
    ("SELECT id, address, gone FROM guests", "at start: where guests came from is held in memory"),
    ("SELECT count(*) FROM sqlite_schema", "at start: as many rows as there are tables"),
    ("SELECT 1 FROM sqlite_sequence", "as many rows as there are tables that number theirs"),
    ("SELECT user, name, at FROM leaving", "at start: who is named no more is held in memory"),
    ("SELECT user, blocked FROM blocks", "at start: who is blocked is held in memory"),
    ("SELECT user, who FROM writers", "at start: who may write to whom is held in memory"),
    (
        "SELECT user, speak, history, slow, delay, keep FROM room_defaults",
        "as who may write to whom",
    ),
    ("SELECT room, user, seq, standing FROM members", "at start: rooms are held in memory"),
    ("SELECT id FROM pins ORDER BY id", "at start: rooms are held in memory"),
    ("SELECT id, name, created_at, at, head", "at start: rooms are held in memory"),
];

/// What a statement begins with.
const VERBS: [&str; 6] = ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "REPLACE ", "WITH "];

#[test]
fn no_statement_walks_through_all_of_a_table_that_grows() {
    let folder = tempfile::tempdir().unwrap();
    make_files(folder.path());
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let statements = statements(&sources);
    assert!(statements.len() > 80, "only {} were found", statements.len());
    let mut open: BTreeMap<&str, Connection> = BTreeMap::new();
    let (mut wrong, mut allowed) = (Vec::new(), Vec::new());
    for (source, sql) in &statements {
        let Some((_, file)) = FILES.iter().find(|(part, _)| source.starts_with(part)) else {
            wrong.push(format!("{source} has a statement, and no file in FILES: {sql}"));
            continue;
        };
        let connection = open.entry(file).or_insert_with(|| {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
            let connection = Connection::open_with_flags(folder.path().join(file), flags).unwrap();
            // A thread of the server may hold its file a moment longer.
            connection.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
            connection
        });
        match walks(connection, sql) {
            Err(error) => wrong.push(format!("{source}: {error}: {sql}")),
            Ok(walks) if walks.is_empty() => {}
            Ok(walks) => match WALKS.iter().find(|(begin, _)| sql.starts_with(begin)) {
                Some((begin, _)) => allowed.push(*begin),
                None => wrong.push(format!("{source}: {}: {sql}", walks.join(", "))),
            },
        }
    }
    wrong.sort();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    for (begin, _) in WALKS {
        assert!(allowed.contains(&begin), "nothing that begins so walks any more: {begin}");
    }
}

#[test]
fn a_walk_is_seen_and_a_search_by_key_is_none() {
    let connection = Connection::open_in_memory().unwrap();
    let tables = "CREATE TABLE t (id INTEGER PRIMARY KEY, b); CREATE INDEX by_b ON t (b);
                  CREATE VIRTUAL TABLE f USING fts5 (text)";
    connection.execute_batch(tables).unwrap();
    for sql in ["SELECT id FROM t", "DELETE FROM t WHERE id + 1 = ?1", "SELECT * FROM t ORDER BY b"]
    {
        assert_eq!(walks(&connection, sql).unwrap().len(), 1, "{sql}");
    }
    assert_eq!(walks(&connection, "SELECT text FROM f").unwrap().len(), 1);
    let seeks = [
        "SELECT b FROM t WHERE id > ?1",
        "SELECT id FROM t WHERE b = ?1",
        "SELECT rowid FROM f WHERE f MATCH ?1 AND rowid < ?2",
        "DELETE FROM f WHERE rowid = ?1",
        "INSERT INTO t VALUES (1, 2)",
    ];
    for sql in seeks {
        assert_eq!(walks(&connection, sql).unwrap(), [""; 0], "{sql}");
    }
    assert!(walks(&connection, "SELECT no FROM t").is_err());
}

/// The steps of a statement that walk through a whole table or index.
fn walks(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<String>> {
    let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
    let steps = plan.raw_query().mapped(|row| row.get::<_, String>("detail"));
    let steps: Vec<String> = steps.collect::<Result<_, _>>()?;
    let walks = steps.into_iter().filter(|step| {
        // A full-text table is always `SCAN`ned; behind the colon stands what it is given to begin with.
        let begins = step.split_once("VIRTUAL TABLE INDEX").map(|(_, by)| by);
        step.starts_with("SCAN")
            && !step.starts_with("SCAN CONSTANT ROW")
            && begins.is_none_or(|by| !by.contains(['=', 'M']))
    });
    Ok(walks.collect())
}

/// All files that a server makes.
fn make_files(folder: &Path) {
    let free = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = Settings { data: folder.to_owned(), listen: free, ..Settings::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let fatal = Fatal::new(|code, word| panic!("the server ended with {code}: {word}"));
        let app: Arc<App> = App::start(settings, Clock::system(), fatal).unwrap();
        app.stop().await;
    });
}

/// Each statement of the sources, and where it stands.
fn statements(sources: &Path) -> Vec<(String, String)> {
    let (mut folders, mut found) = (vec![sources.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if is_source(&path) {
                let text = std::fs::read_to_string(&path).unwrap();
                let name = path.strip_prefix(sources).unwrap().display().to_string();
                let literals = literals(text.split("#[cfg(test)]\nmod ").next().unwrap());
                let begins = |text: &String| VERBS.iter().any(|verb| text.starts_with(verb));
                found.extend(literals.into_iter().filter(begins).map(|sql| (name.clone(), sql)));
            }
        }
    }
    found
}

fn is_source(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap();
    path.extension().is_some_and(|it| it == "rs")
        && !["tests.rs", "suite.rs", "samples.rs"].contains(&name)
}

/// The string literals of a source, each on one line.
fn literals(source: &str) -> Vec<String> {
    let (mut literals, mut rest) = (Vec::new(), source);
    while let Some(at) = rest.find(['"', '\'', '/', 'r']) {
        let begin = &rest[at..];
        let raw = begin.strip_prefix('r').map(|after| after.trim_start_matches('#'));
        rest = if begin.starts_with("//") {
            begin.find('\n').map_or("", |end| &begin[end..])
        } else if let Some(after) = begin.strip_prefix('"') {
            let (literal, after) = literal(after);
            literals.push(literal.split_whitespace().collect::<Vec<_>>().join(" "));
            after
        } else if let Some(after) = raw.filter(|after| after.starts_with('"')) {
            let hashes = begin.len() - after.len() - 1;
            let end = format!("\"{}", "#".repeat(hashes));
            after[1..].split_once(&end).map_or("", |(_, after)| after)
        } else if begin.starts_with("'\\") {
            begin[3..].split_once('\'').map_or("", |(_, after)| after)
        } else if begin.starts_with('\'') && begin.chars().nth(2) == Some('\'') {
            let len: usize = begin.chars().take(3).map(char::len_utf8).sum();
            &begin[len..]
        } else {
            &begin[1..]
        };
    }
    literals
}

/// A literal behind its first quote, and what follows it.
fn literal(text: &str) -> (String, &str) {
    let (mut literal, mut chars) = (String::new(), text.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (literal, &text[at + 1..]),
            // Of what is escaped only quotes matter: the rest is space or nothing.
            '\\' => literal.push(chars.next().map_or(' ', |(_, c)| if c == '"' { c } else { ' ' })),
            c => literal.push(c),
        }
    }
    (literal, "")
}

#[test]
fn literals_are_found_among_comments_characters_and_raw_ones() {
    let source = r##"// "no" 'x
        let a = 'b'; let quote = '"'; let tick = '\''; fn f<'a>() {}
        let sql = "SELECT \
                   1"; r#"raw "x" "#; let two = "a \"b\"";"##;
    assert_eq!(literals(source), ["SELECT 1", "a \"b\""]);
}
