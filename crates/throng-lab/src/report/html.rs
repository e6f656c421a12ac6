//! The report as one page that needs nothing else: verdict, cause, evidence.
//!
//! Neighbours: `verdict`, `charts` and `tables` say what stands on it; `page.css` and `page.js` lie
//! in it. It loads nothing from anywhere.

use super::folder::{Folder, utc};
use super::tables::Table;
use super::{charts, flame, svg, tables, verdict};
use crate::profile::{Profiled, Stacks};

/// What all pages look like.
pub const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Text as it stands in a page.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(letter),
        }
    }
    escaped
}

/// The page.
pub fn page(run: &Folder) -> String {
    let name = escape(&run.summary.scenario);
    let when = utc(run.manifest.started_unix_seconds);
    let says = escape(run.says());
    let sentence = verdict::sentence(run);
    let (word, rest) = sentence.split_once(':').unwrap_or((&sentence, ""));
    let (word, rest) = (escape(word), escape(rest));
    let ending = run.summary.ending.name();
    let causes = verdict::causes(run);
    let causes: Vec<String> =
        causes.iter().map(|it| format!("<li>{}</li>\n", escape(it))).collect();
    let causes = causes.concat();
    let charts: String = charts::of(run).iter().map(svg::figure).collect();
    let tables: Vec<String> = tables::of(run).iter().map(set).collect();
    let (figures, machine) = tables.split_at(tables.len() - 1);
    let figures = figures.concat();
    let machine = machine.concat();
    let checks = checks(run);
    let flames = flames(run);
    let command = escape(&run.manifest.command);
    let scenario = serde_json::to_string_pretty(&run.manifest.scenario).unwrap_or_default();
    let scenario = escape(&scenario);
    let schema = run.manifest.schema;
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{name}: {ending}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body class=\"{ending}\">\n<header>\n<p class=\"run\">{name}, {when} UTC · {says}</p>\n\
         <h1><b>{word}</b> {rest}</h1>\n</header>\n\
         <section>\n<h2>Why</h2>\n<ul class=\"causes\">\n{causes}</ul>\n</section>\n\
         <section>\n<h2>How it went</h2>\n{charts}</section>\n\
         <section>\n{figures}</section>\n\
         {flames}\
         <section>\n<h2>Each promise and limit</h2>\n{checks}</section>\n\
         <section>\n{machine}<h2>The exact command</h2>\n<pre>{command}</pre>\n\
         <h2>The scenario as it was run</h2>\n<pre>{scenario}</pre>\n</section>\n\
         <footer>Made from the run's folder (schema {schema}) by <code>throng lab report</code>. \
         Percentiles come from one histogram over the whole run and are never averaged; every latency is \
         from the moment a send was intended.</footer>\n\
         <script>\n{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

/// A graph for each phase, where the server's stacks were looked at.
fn flames(run: &Folder) -> String {
    let Some((index, stacks)) = &run.profile else { return String::new() };
    let graphs: String = if let Some(why) = &index.unmeasured {
        format!("<p>Not measured: {}</p>\n", escape(why))
    } else {
        let frames = flame::FRAMES_MAX / stacks.len().max(1);
        let graph = |(it, stacks): (&Profiled, &Stacks)| flame::graph(&it.phase, stacks, frames);
        index.phases.iter().zip(stacks).map(graph).collect()
    };
    let hertz = index.hertz;
    format!(
        "<section>\n<h2>Where the server's CPU went</h2>\n\
         <p>Stacks of the server's threads, {hertz} times a second of each busy core: as wide as its share \
         of all samples, called by what stands below it. <span class=\"flame o\">Throng</span> \
         <span class=\"flame l\">libraries</span> <span class=\"flame k\">kernel</span></p>\n{graphs}</section>\n"
    )
}

fn set(table: &Table) -> String {
    let mut html =
        vec![format!("<h2>{}</h2>\n<div class=\"wide\"><table>\n", escape(&table.title))];
    if table.head.iter().any(|it| !it.is_empty()) {
        html.push("<thead><tr>".to_owned());
        html.extend(table.head.iter().map(|it| format!("<th>{}</th>", escape(it))));
        html.push("</tr></thead>\n".to_owned());
    }
    html.push("<tbody>\n".to_owned());
    let class = if table.head.len() == 2 { " class=\"words\"" } else { "" };
    for row in &table.rows {
        html.push("<tr>".to_owned());
        let class = |at: usize| if at > 0 { class } else { "" };
        let cells = row.iter().enumerate();
        html.extend(cells.map(|(at, it)| format!("<td{}>{}</td>", class(at), escape(it))));
        html.push("</tr>\n".to_owned());
    }
    html.push("</tbody></table></div>\n".to_owned());
    html.concat()
}

fn checks(run: &Folder) -> String {
    let rows = verdict::checks(run).into_iter().map(|check| {
        let (class, word) = match (&check.failed, &check.unknown) {
            (None, None) => ("words", "kept".to_owned()),
            (Some(why), _) => ("words bad", escape(why)),
            (None, Some(why)) => ("words unknown", format!("not known: {}", escape(why))),
        };
        format!("<tr><td>{}</td><td class=\"{class}\">{word}</td></tr>\n", escape(&check.name))
    });
    let rows: Vec<String> = rows.collect();
    format!("<div class=\"wide\"><table>\n<tbody>\n{}</tbody></table></div>\n", rows.concat())
}
