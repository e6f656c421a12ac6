//! Reports are functions of the run's folder: the same folder gives the same bytes. What programs read
//! (CSV, JSON, JUnit) stays byte for byte as it is, also of folders that an older program wrote, and
//! has golden files for that. What people read (page, paper, pictures) may look better tomorrow; of one
//! program it is the same every time.
//!
//! `folders/schema-1` is a run of ten seconds as the first schema had it, `folders/schema-3` a short one
//! of clients in rows, made beside compilers. They are never written again; the golden files in them are
//! made again with `THRONG_GOLDEN=write cargo test -p throng-lab`.

use std::path::{Path, PathBuf};

use throng_lab::compare::{self, Metric};
use throng_lab::profile::{Index, Profiled, Stacks};
use throng_lab::report::{self, Folder, Form};

fn old_run() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/folders/schema-1")
}

fn text(form: Form, run: &Folder) -> String {
    String::from_utf8(form.of(run)).unwrap()
}

/// One of the newest schema, with phases, series and clients.
fn new_run() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/folders/schema-3")
}

/// A copy of the old run, changed.
fn changed(folder: &Path, file: &str, from: &str, to: &str) -> Folder {
    for name in ["manifest.json", "samples.jsonl", "summary.json"] {
        let text = std::fs::read_to_string(old_run().join(name)).unwrap();
        assert!(name != file || text.contains(from), "{from} is not in {file}");
        let text = if name == file { text.replacen(from, to, 1) } else { text };
        std::fs::write(folder.join(name), text).unwrap();
    }
    Folder::read(folder).unwrap()
}

#[test]
fn what_programs_read_of_old_folders_and_new_ones_stays_as_it_is() {
    for (folder, schema) in [(old_run(), 1), (new_run(), 3)] {
        let run = Folder::read(&folder).unwrap();
        assert_eq!((run.manifest.schema, run.summary.schema), (schema, schema));
        for form in [Form::Csv, Form::Json, Form::Junit] {
            let made = text(form, &run);
            let golden = folder.join(form.file_name());
            if std::env::var_os("THRONG_GOLDEN").is_some_and(|it| it == "write") {
                std::fs::write(&golden, &made).unwrap();
            }
            let golden = std::fs::read_to_string(&golden).unwrap();
            assert!(made == golden, "{form:?} of schema {schema} is not what it was:\n{made}");
        }
    }
}

/// Nothing of the day, of the place or of how a map lies in memory is in them.
#[test]
fn what_people_read_is_the_same_bytes_each_time_it_is_made() {
    for folder in [old_run(), new_run()] {
        let run = || Folder::read(&folder).unwrap();
        for form in [Form::Html, Form::Pdf, Form::Csv, Form::Json, Form::Junit] {
            assert!(form.of(&run()) == form.of(&run()), "{form:?} of {}", folder.display());
        }
        let to = tempfile::tempdir().unwrap();
        let pictures = |name: &str| {
            let paths = report::pictures(&folder, &to.path().join(name)).unwrap();
            let bytes =
                |it: &PathBuf| (it.file_name().unwrap().to_owned(), std::fs::read(it).unwrap());
            paths.iter().map(bytes).collect::<Vec<_>>()
        };
        let once = pictures("once");
        assert!(once.len() > 3 && once == pictures("twice"), "{}", folder.display());
    }
}

#[test]
fn a_page_opens_on_the_verdict_then_the_cause_then_the_evidence_and_needs_nothing_else() {
    let page = text(Form::Html, &Folder::read(&old_run()).unwrap());
    // Of a run before messages were traced.
    assert!(page.contains("nothing was traced") && !page.contains("id=\"slowest\""));
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("no {text}"));
    let order = [
        "<h1><b>Pass</b>",
        "<h2>Why</h2>",
        "id=\"ack\"",
        "Latency from the intended time",
        "throng lab run canonical --seconds 10",
    ];
    assert!(order.windows(2).all(|pair| at(pair[0]) < at(pair[1])), "{order:?}");
    for outside in ["src=", "href=", "@import", "url(", "fetch(", "//cdn"] {
        assert!(!page.contains(outside), "{outside}");
    }
    let names_of_formats = page.matches("http://www.w3.org/").count();
    assert_eq!(page.matches("http").count(), names_of_formats);
    assert!(page.contains("17.42") && page.contains("AMD EPYC"));
}

#[test]
fn a_run_of_a_week_is_a_page_below_a_megabyte() {
    let mut run = Folder::read(&old_run()).unwrap();
    let seconds = run.seconds.clone();
    run.seconds = (0..7 * 24 * 3_600_u64)
        .map(|at| {
            let mut second = seconds[at as usize % seconds.len()].clone();
            second.second = at;
            second.phase = format!("phase {}", at / 3_600);
            second.ack.p99_ms *= 1.0 + at as f64 / 1e5;
            second.counted.committed = Some(12_345.678);
            second.counted.lag = Some(at as f64);
            let stages = ["decode", "authorize", "queue", "decide", "commit", "fan-out", "write"];
            second.counted.work = stages.map(|it| (it.to_owned(), 0.123_456 * at as f64)).to_vec();
            second
        })
        .collect();
    // And a flame graph for each of nine phases, of more functions than there is place for.
    let mut stacks = Stacks::default();
    for number in 0..5_000 {
        let frame =
            |depth: u32| format!(";a_crate::a_module::Type<T>::call_{}", number >> (depth % 13));
        stacks.add(format!("thread{}", (0..30).map(frame).collect::<String>()), 1);
    }
    let phase =
        |at: usize| Profiled { phase: format!("T{at}"), file: String::new(), samples: 5_000 };
    let index = Index { hertz: 97, phases: (0..9).map(phase).collect(), unmeasured: None };
    run.profile = Some((index, vec![stacks; 9]));
    let page = text(Form::Html, &run);
    assert_eq!(page.matches("<figure class=\"flame\">").count(), 9);
    assert!(page.len() < 1 << 20, "{} bytes", page.len());
}

#[test]
fn what_a_server_said_cannot_become_a_part_of_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let evil = r#""server": "</script><script>alert(1)</script>""#;
    let run = changed(folder.path(), "summary.json", r#""server": "throng 0.1.0""#, evil);
    let page = text(Form::Html, &run);
    assert!(!page.contains("<script>alert") && page.contains("&lt;script&gt;alert(1)"));
}

#[test]
fn a_broken_promise_is_a_failed_test_and_a_tired_generator_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let run = changed(folder.path(), "summary.json", r#""lost": 0"#, r#""lost": 3"#);
    let junit = text(Form::Junit, &run);
    assert!(junit.contains(r#"failures="1" errors="0""#), "{junit}");
    assert!(junit.contains("<failure message=\"3, the first of them"), "{junit}");
    let lag = r#""dropped": 0"#;
    let run = changed(folder.path(), "summary.json", lag, r#""dropped": 5"#);
    let junit = text(Form::Junit, &run);
    assert!(junit.contains(r#"failures="0" errors="1""#), "{junit}");
    assert!(junit.contains("<error message=\"5.000, above 0\"/>"), "{junit}");
}

#[test]
fn the_verdict_sentence_follows_the_ending() {
    let folder = tempfile::tempdir().unwrap();
    for (ending, begin) in [
        ("faults", "<h1><b>Promises were broken</b>"),
        ("missed", "<h1><b>Goal missed</b>"),
        ("undecided", "<h1><b>Undecided, which is no pass</b>"),
        ("invalid", "<h1><b>Invalid</b> the generator"),
        ("incomplete", "<h1><b>Incomplete</b>"),
    ] {
        let to = format!(r#""ending": "{ending}""#);
        let run = changed(folder.path(), "summary.json", r#""ending": "pass""#, &to);
        let page = text(Form::Html, &run);
        assert!(
            page.contains(begin) || page.contains(&begin.replace("</b> ", "</b>  ")),
            "{ending}"
        );
        assert!(page.contains(&format!("<body class=\"{ending}\">")));
    }
}

/// A run with a probe, a server that counts, rows and goals: what each of the tests that came from other
/// servers must put out is on the page.
#[test]
fn what_a_scenarios_own_test_draws_is_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "manifest.json",
        r#"{"schema": 2, "scenario": {"rooms": [{"name": "probe", "steady": true}]}}"#.into(),
    );
    let quick =
        |p99: f64| format!(r#"{{"count": 5, "p99_ms": {p99}, "max_ms": {p99}, "mean_ms": 2}}"#);
    let sample = |at: u32| {
        let phase = if at < 10 { "up" } else { "down" };
        let (whole, probe) = (quick(9.0), quick(f64::from(at)));
        format!(
            "{{\"second\": {at}, \"seconds\": 1, \"phase\": \"{phase}\", \"users\": {at}, \"acked\": 7, \
             \"intended\": 9, \"deliveries\": 1{at:02}, \"server_cpu\": 0.{at:02}, \"in_flight\": 0.5, \
             \"listen_overflows\": 1, \"ack\": {whole}, \"delivery\": {whole}, \
             \"rooms\": {{\"probe\": {{\"delivery\": {probe}}}}}}}\n"
        )
    };
    write("samples.jsonl", (0..20).map(sample).collect());
    let counted = |at: u32| format!("{at},8,{at},0.5,{at}0.5,0.25\n");
    let counted: String = (0..20).map(counted).collect();
    write("series.csv", format!("at,committed,lag,core_0,volume_ema,work_commit\n{counted}"));
    let client = |id: u32| format!("{id},{id}0,50,{},up\n", 40 + id);
    let clients: String = (1..20).map(client).collect();
    write("analysis.csv", format!("client_id,messages,connect_us,median_rtt_us,phase\n{clients}"));
    let summary = r#"{"schema": 2, "scenario": "all", "ending": "missed", "phases": [
        {"name": "up", "server_cpu_mean": 0.05}, {"name": "down", "at": 10, "server_cpu_mean": 0.15}],
        "rows": [{"name": "up", "clients": 19, "rtt_slope_us_per_client": 1.0}],
        "server_work": {"stages": {"commit": {"per_second": 8, "mean_us": 250}}},
        "thresholds": [{"name": "goal-p90", "says": "delivery p90 of probe: at most 9 ms",
            "was": "17 ms", "came": "missed"},
            {"name": "memory", "says": "memory: at most 9 MiB", "was": "not measured",
            "came": "unmeasured"}]}"#;
    write("summary.json", summary.into());
    let run = Folder::read(folder.path()).unwrap();
    let page = text(Form::Html, &run);
    for id in [
        "connect",
        "rtt",
        "cpu",
        "volume-and-cpu",
        "flow",
        "consumer-lag",
        "in-flight",
        "work",
        "overflows",
        "latency-by-cpu",
        "volume-by-cpu",
        "volume-by-users",
        "cpu-by-users",
        "latency-by-volume-boxes",
    ] {
        assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
    }
    for said in [
        "<h1><b>Goal missed</b>  delivery p90 of probe: at most 9 ms, but it was 17 ms",
        "Nothing measured memory: at most 9 MiB",
        "a client: up +1.000",
        "the kernel refused 20 for a full backlog",
        "The probe&#39;s latency against CPU",
        "server, mean of the phase",
        "not known: it was not measured",
    ] {
        assert!(page.contains(said), "{said}");
    }
    let junit = text(Form::Junit, &run);
    assert!(junit.contains(r#"failures="1" errors="0" skipped="1""#), "{junit}");
}

#[test]
fn reports_are_written_where_they_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("reports");
    let forms = [Form::Html, Form::Csv, Form::Json, Form::Junit];
    let written = report::write(&old_run(), &forms, &to).unwrap();
    assert_eq!(written.len(), 4);
    assert!(written.iter().all(|it| it.metadata().unwrap().len() > 500));
    let pictures = report::pictures(&old_run(), &to).unwrap();
    let ack = pictures.iter().find(|it| it.ends_with("ack.svg")).unwrap();
    let ack = std::fs::read_to_string(ack).unwrap();
    assert!(ack.starts_with("<svg xmlns=") && ack.contains("<style>"), "it stands by itself");
    let missing = report::write(&folder.path().join("nowhere"), &forms, &to).unwrap_err();
    assert!(missing.to_string().contains("manifest.json"), "{missing}");
}

#[test]
fn the_list_names_scenarios_and_runs() {
    let mut said = Vec::new();
    report::list(old_run().parent().unwrap(), &mut said).unwrap();
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("canonical") && said.contains("2026-11-21 08:25:22 UTC  pass"), "{said}");
}

#[test]
fn two_runs_are_compared_and_their_one_pair_gives_no_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let b = folder.path().join("b");
    std::fs::create_dir(&b).unwrap();
    changed(&b, "summary.json", "10.938525486764384", "12.0");
    let (a, b) = (old_run().display().to_string(), b.display().to_string());
    let it = compare::of_folders(&a, &b, Metric::Cpu, 1).unwrap();
    assert!(it.sentence().starts_with("No verdict: B took 9.7 % more CPU"), "{}", it.sentence());
    let path = it.write(&folder.path().join("out")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!((&json["schema"], &json["verdict"]), (&1.into(), &"too_few".into()));
    assert!(json["metrics"]["cpu"]["interval"].is_null());
    // A side may be several runs, or a folder of runs; then there must be as many of each.
    let several = |side: &str, from: &str, to: &str| {
        let path = |number: u32| folder.path().join(format!("several-{side}/{number}"));
        let paths: Vec<PathBuf> = (0..6).map(path).collect();
        for path in &paths {
            std::fs::create_dir_all(path).unwrap();
            changed(path, "summary.json", from, to);
        }
        paths.iter().map(|it| it.display().to_string()).collect::<Vec<_>>().join(",")
    };
    let cpu = "10.938525486764384";
    let (six_of_a, six) = (several("a", cpu, cpu), several("b", cpu, "12.0"));
    let it = compare::of_folders(&six_of_a, &six, Metric::Cpu, 1).unwrap();
    assert!(it.sentence().starts_with("B is slower: it takes 9.7 % more"), "{}", it.sentence());
    let uneven = compare::of_folders(&a, &six, Metric::Cpu, 1).unwrap_err();
    assert!(uneven.to_string().contains("A has 1 runs and B 6"), "{uneven}");
    let of_folder = compare::of_folders(&folder.path().display().to_string(), &a, Metric::Cpu, 1);
    assert_eq!(of_folder.unwrap().runs.len(), 1);
    // By whatever path, a run is one measurement.
    let again = format!("{}/../b", folder.path().join("b").display());
    for (left, right) in
        [(format!("{a},{a}"), format!("{b},{again}")), (a.clone(), a.clone()), (b.clone(), again)]
    {
        let twice = compare::of_folders(&left, &right, Metric::Cpu, 1).unwrap_err();
        assert!(twice.to_string().contains("is named more than once"), "{twice}");
    }
}

/// A run of the old folder's, without its summary or with less than all of its samples.
#[test]
fn what_is_not_there_is_not_known_and_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    changed(folder.path(), "manifest.json", "\"schema\": 1", "\"schema\": 3");
    let samples = std::fs::read_to_string(folder.path().join("samples.jsonl")).unwrap();
    let half: String = samples.split_inclusive('\n').take(4).collect();
    std::fs::write(folder.path().join("samples.jsonl"), half).unwrap();
    let cut = Folder::read(folder.path()).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text(Form::Json, &cut)).unwrap();
    let said = "samples.jsonl has 4 of 10 seconds; series.csv is not there";
    let verdict = json["verdict"].as_str().unwrap();
    assert!(verdict.starts_with("Pass") && verdict.contains(said), "{verdict}");
    assert_eq!(json["lacks"].as_array().unwrap().len(), 2);
    let causes = json["causes"].as_array().unwrap();
    let slowest = |it: &&serde_json::Value| it.as_str().unwrap().contains("was the slowest");
    assert!(!causes.iter().any(|it| slowest(&it)), "not of a part of the load: {causes:?}");
    assert!(text(Form::Html, &cut).contains(said));
    std::fs::remove_file(folder.path().join("summary.json")).unwrap();
    let gone = Folder::read(folder.path()).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text(Form::Json, &gone)).unwrap();
    assert!(json["verdict"].as_str().unwrap().starts_with(
        "Incomplete: the run was cut short and left no summary; its samples have 4 s of load;"
    ));
    assert!(json["latency"]["ack"].is_null(), "{json}");
    assert!(json["sends_per_second"].as_f64().unwrap() > 0.0, "its samples say so");
    let checks = json["checks"].as_array().unwrap();
    let known: Vec<_> = checks.iter().filter(|it| !it["kept"].is_null()).collect();
    assert_eq!(known.len(), 1, "{known:?}");
    assert_eq!(known[0]["name"], "the run comes to its end");
    let junit = text(Form::Junit, &gone);
    let skipped = format!("failures=\"1\" errors=\"0\" skipped=\"{}\"", checks.len() - 1);
    assert!(junit.contains(&skipped), "{junit}");
    let page = text(Form::Html, &gone);
    assert!(page.contains("not known: the run left no summary"), "{page}");
    assert!(!page.contains("Promises broken") && !page.contains("Nearest to its limit"), "{page}");
    let mut said = Vec::new();
    let runs = folder.path().join("runs");
    std::fs::create_dir(&runs).unwrap();
    std::fs::create_dir(runs.join("gone")).unwrap();
    for name in ["manifest.json", "samples.jsonl"] {
        std::fs::copy(folder.path().join(name), runs.join("gone").join(name)).unwrap();
    }
    report::list(&runs, &mut said).unwrap();
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("ack p99         \u{2013}  "), "{said}");
}

#[test]
fn a_promise_is_not_called_kept_where_history_was_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let text_of = std::fs::read_to_string(old_run().join("summary.json")).unwrap();
    let mut summary: serde_json::Value = serde_json::from_str(&text_of).unwrap();
    summary["ending"] = "incomplete".into();
    summary["reasons"] = serde_json::json!(["it was ended by a signal"]);
    summary["ledger"]["rooms"] = 7.into();
    summary["ledger"]["rooms_read"] = 0.into();
    summary["ledger"]["send_faults"]["reordered"] = 1.into();
    for name in ["manifest.json", "samples.jsonl"] {
        std::fs::copy(old_run().join(name), folder.path().join(name)).unwrap();
    }
    std::fs::write(folder.path().join("summary.json"), summary.to_string()).unwrap();
    let run = Folder::read(folder.path()).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text(Form::Json, &run)).unwrap();
    let kept = |name: &str| {
        let found = json["checks"].as_array().unwrap().iter().find(|it| it["name"] == name);
        found.unwrap_or_else(|| panic!("{name}: {json}"))["kept"].clone()
    };
    assert!(kept("no send is lost").is_null() && kept("no delivery is duplicated").is_null());
    assert_eq!(kept("no send is reordered"), false, "what was seen was seen");
    assert_eq!(kept("all history is read back"), false);
    assert_eq!(kept("every send is answered"), true);
}

#[test]
fn a_run_that_was_not_alone_says_so_in_each_report_and_in_a_comparison() {
    let folder = tempfile::tempdir().unwrap();
    let b = folder.path().join("b");
    std::fs::create_dir(&b).unwrap();
    let others = r#""other_programs": {"cores": 2, "mean_cores": 1.59, "worst_second_cores": 1.9,
        "programs": [{"name": "perf", "cores": 1.58}], "disturbed": "they took the machine"}, "fsync": ["#;
    let run = changed(&b, "summary.json", r#""fsync": ["#, others);
    let said = "other programs took 1.59 of 2 cores meanwhile (perf 1.58)";
    let json: serde_json::Value = serde_json::from_str(&text(Form::Json, &run)).unwrap();
    let verdict = json["verdict"].as_str().unwrap();
    assert!(verdict.starts_with("Pass") && verdict.ends_with(&format!(" Not alone: {said}.")));
    assert!(json["causes"][0].as_str().unwrap().starts_with("This machine was not the run's own"));
    let page = text(Form::Html, &run);
    assert!(page.contains("<h1><b>Pass</b>") && page.contains(said), "{page}");
    let junit = text(Form::Junit, &run);
    assert!(junit.contains(r#"failures="0" errors="0" skipped="1""#), "{junit}");
    let (a, b) = (old_run().display().to_string(), b.display().to_string());
    let it = compare::of_folders(&a, &b, Metric::Cpu, 1).unwrap();
    let beside = format!(
        "NOT ALONE: beside 1 of 2 runs other programs took more than a little; most of it where {said}."
    );
    assert!(it.words().starts_with(&format!("{beside}\nNo verdict: ")), "{}", it.words());
    assert_eq!(it.json()["not_alone"], beside);
    let same = folder.path().join("same");
    std::fs::create_dir(&same).unwrap();
    changed(&same, "summary.json", r#""fsync": ["#, r#""fsync": ["#);
    let quiet = compare::of_folders(&a, &same.display().to_string(), Metric::Cpu, 1).unwrap();
    assert!(quiet.json()["not_alone"].is_null() && quiet.words().starts_with("No verdict: "));
}

#[test]
fn runs_of_two_scenarios_are_not_compared_and_what_else_differs_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let a = old_run().display().to_string();
    let other = |name: &str, from: &str, to: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir(&path).unwrap();
        changed(&path, "manifest.json", from, to);
        compare::of_folders(&a, &path.display().to_string(), Metric::Cpu, 1)
    };
    let refused = other("crowd", "\"name\": \"canonical\"", "\"name\": \"crowd\"").unwrap_err();
    assert!(refused.to_string().starts_with("A ran canonical and B crowd: "), "{refused}");
    let same = other("same", "\"seconds\": 10.0", "\"seconds\": 10.0").unwrap();
    assert!(same.unlike.is_empty() && !same.words().contains("not the same:"), "{:?}", same.unlike);
    let longer = other("longer", "\"seconds\": 10.0", "\"seconds\": 20.0").unwrap();
    assert_eq!(longer.unlike, ["seconds: 10.0 and 20.0"]);
    assert!(longer.words().contains("   not the same: seconds: 10.0 and 20.0\n"));
    assert_eq!(longer.json()["unlike"][0], "seconds: 10.0 and 20.0");
    let machine = other("machine", "\"cores\": 2", "\"cores\": 64").unwrap();
    assert_eq!(machine.unlike, ["its cores: 2 and 64"]);
}

#[test]
fn the_paper_is_a_pdf_of_vectors_with_all_of_its_charts() {
    let bytes = Form::Pdf.of(&Folder::read(&old_run()).unwrap());
    assert!(bytes.starts_with(b"%PDF-1.") && bytes.trim_ascii_end().ends_with(b"%%EOF"));
    let has = |text: &[u8]| bytes.windows(text.len()).any(|it| it == text);
    assert!(has(b"(Latency of the durable ack, from the intended time) Tj"));
    assert!(has(b"(Resident memory of the server) Tj") && has(b"throng lab run canonical"));
    assert!(!has(b"/Image"), "charts are lines, not pictures");
    assert_eq!(bytes, Form::Pdf.of(&Folder::read(&old_run()).unwrap()), "the same every time");
}
