//! The report on paper: the same verdict, causes, charts and tables as the page, as vectors.
//!
//! Neighbours: `chart` lays the charts out, `paper_font` measures text; `pdf-writer` knows the file's
//! objects. Its font is Helvetica, which every reader has: nothing is embedded, and letters it has not
//! are replaced by what is read as the same.

use pdf_writer::{Content, Finish as _, Name, Pdf, Rect, Ref, Str, TextStr};

use super::chart::{Anchor, Chart, HEIGHT, Ink, Shape, WIDTH};
use super::folder::{Folder, utc};
use super::paper_font::{encode, width};
use super::tables::Table;
use super::{charts, tables, verdict};

/// A4, in points.
const PAGE: [f64; 2] = [595.0, 842.0];
const MARGIN: f64 = 48.0;
const INSIDE: f64 = PAGE[0] - 2.0 * MARGIN;
/// Charts are laid out wider than the paper.
const SHRINK: f64 = INSIDE / WIDTH;
const PLAIN: Name<'static> = Name(b"F1");
const BOLD: Name<'static> = Name(b"F2");
/// Of what stands in a table, and between its columns.
const CELL: f64 = 9.0;
const GAP: f64 = 12.0;
/// Lines of the scenario that are printed; the folder has it whole.
const SCENARIO_LINES: usize = 120;

/// The colours of the page on paper.
const SERIES: [[f32; 3]; 6] = [
    [0.043, 0.412, 0.780],
    [0.780, 0.353, 0.0],
    [0.690, 0.145, 0.494],
    [0.102, 0.498, 0.294],
    [0.420, 0.435, 0.463],
    [0.353, 0.243, 0.627],
];
const BLACK: [f32; 3] = [0.0, 0.0, 0.0];
const FAINT: [f32; 3] = [0.27, 0.27, 0.27];
const GRID: [f32; 3] = [0.85, 0.85, 0.85];

/// Pages being filled from top to bottom.
struct Paper {
    pages: Vec<Content>,
    /// Where the next line goes, from above.
    y: f64,
    foot: String,
}

/// The file.
pub fn paper(run: &Folder) -> Vec<u8> {
    let when = utc(run.manifest.started_unix_seconds);
    let foot = format!("{}, {when} UTC", run.summary.scenario);
    let mut paper = Paper { pages: Vec::new(), y: 0.0, foot: foot.clone() };
    paper.turn();
    paper.words(&format!("{foot}: {}", run.says()), PLAIN, 9.0, FAINT);
    paper.words(&verdict::sentence(run), BOLD, 15.0, BLACK);
    paper.title("Why");
    for cause in verdict::causes(run) {
        for line in cause.lines() {
            paper.words(&format!("\u{2022} {line}"), PLAIN, 10.0, BLACK);
        }
    }
    paper.title("How it went");
    for chart in charts::of(run) {
        paper.chart(&chart);
    }
    for table in tables::of(run) {
        paper.table(&table);
    }
    paper.title("Each promise and limit");
    for check in verdict::checks(run) {
        let word = match (check.failed, check.unknown) {
            (None, None) => "kept".to_owned(),
            (Some(why), _) => format!("BROKEN: {why}"),
            (None, Some(why)) => format!("not known: {why}"),
        };
        paper.words(&format!("{}: {word}", check.name), PLAIN, 9.0, BLACK);
    }
    paper.title("The exact command");
    paper.words(&run.manifest.command, PLAIN, 9.0, BLACK);
    paper.title("The scenario as it was run");
    let scenario = serde_json::to_string_pretty(&run.manifest.scenario).unwrap_or_default();
    for line in scenario.lines().take(SCENARIO_LINES) {
        paper.words(line, PLAIN, 8.0, FAINT);
    }
    paper.finish(&foot)
}

impl Paper {
    /// A new page.
    fn turn(&mut self) {
        let number = self.pages.len() + 1;
        self.pages.push(Content::new());
        self.y = MARGIN;
        let foot = format!("{}, page {number}", self.foot);
        let y = PAGE[1] - MARGIN / 2.0;
        self.text((MARGIN, y), 8.0, Anchor::Start, PLAIN, FAINT, &foot);
    }

    fn page(&mut self) -> &mut Content {
        self.pages.last_mut().expect("the first page is turned to before anything is written")
    }

    /// So much must fit, or it goes to the next page.
    fn need(&mut self, height: f64) {
        if self.y + height > PAGE[1] - MARGIN {
            self.turn();
        }
    }

    fn text(
        &mut self,
        (x, y): (f64, f64),
        size: f64,
        anchor: Anchor,
        font: Name<'_>,
        colour: [f32; 3],
        text: &str,
    ) {
        let bytes = encode(text);
        let back = match anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => width(&bytes) * size / 2.0,
            Anchor::End => width(&bytes) * size,
        };
        let [red, green, blue] = colour;
        let (x, y) = ((x - back) as f32, (PAGE[1] - y) as f32);
        let page = self.page();
        page.set_fill_rgb(red, green, blue);
        page.begin_text().set_font(font, size as f32).next_line(x, y).show(Str(&bytes)).end_text();
    }

    /// A paragraph, broken where it must be.
    fn words(&mut self, text: &str, font: Name<'_>, size: f64, colour: [f32; 3]) {
        // Bold is wider than what is measured.
        let room = if font == BOLD { 0.9 } else { 1.0 } * INSIDE / size;
        for line in lines_of(text, room) {
            self.need(size * 1.35);
            self.y += size * 1.35;
            let y = self.y;
            self.text((MARGIN, y), size, Anchor::Start, font, colour, &line);
        }
        self.y += size * 0.3;
    }

    fn title(&mut self, text: &str) {
        // A title alone at the foot of a page belongs to the next.
        self.need(60.0);
        self.y += 10.0;
        self.words(text, BOLD, 12.0, BLACK);
    }

    fn chart(&mut self, chart: &Chart) {
        self.need(HEIGHT * SHRINK + 8.0);
        let top = self.y;
        let at = |x: f64, y: f64| (MARGIN + x * SHRINK, top + y * SHRINK);
        for shape in chart.draw().shapes {
            match shape {
                Shape::Path(ink, points) => {
                    let wide = if matches!(ink, Ink::Series(_)) { 1.0 } else { 0.5 };
                    self.path(ink, wide, points.iter().map(|(x, y)| at(*x, *y)));
                }
                Shape::Rect(ink, [x, y, wide, high]) => {
                    let (x, y) = at(x, y + high);
                    let [red, green, blue] = colour_of(ink);
                    let size = [wide * SHRINK, high * SHRINK].map(|it| it as f32);
                    let page = self.page();
                    page.set_fill_rgb(red, green, blue);
                    page.rect(x as f32, (PAGE[1] - y) as f32, size[0], size[1]).fill_nonzero();
                }
                Shape::Dot(ink, [x, y, radius]) => self.dot(ink, at(x, y), radius * SHRINK),
                Shape::Text(ink, (x, y), size, anchor, text) => {
                    let font = if ink == Ink::Strong { BOLD } else { PLAIN };
                    self.text(at(x, y), size * SHRINK, anchor, font, colour_of(ink), &text);
                }
            }
        }
        self.y = top + HEIGHT * SHRINK + 8.0;
    }

    fn path(&mut self, ink: Ink, wide: f32, points: impl Iterator<Item = (f64, f64)>) {
        let [red, green, blue] = colour_of(ink);
        let page = self.page();
        page.set_stroke_rgb(red, green, blue).set_line_width(wide);
        let dash = if ink == Ink::Mark { vec![2.0, 2.0] } else { Vec::new() };
        page.set_dash_pattern(dash, 0.0);
        for (at, (x, y)) in points.enumerate() {
            let (x, y) = (x as f32, (PAGE[1] - y) as f32);
            if at == 0 {
                page.move_to(x, y)
            } else {
                page.line_to(x, y)
            };
        }
        page.stroke();
    }

    /// A circle of four curves.
    fn dot(&mut self, ink: Ink, (x, y): (f64, f64), radius: f64) {
        let [red, green, blue] = colour_of(ink);
        let (x, y, radius) = (x as f32, (PAGE[1] - y) as f32, radius as f32);
        let bend = radius * 0.552_3;
        let page = self.page();
        page.set_fill_rgb(red, green, blue);
        page.move_to(x + radius, y);
        page.cubic_to(x + radius, y + bend, x + bend, y + radius, x, y + radius);
        page.cubic_to(x - bend, y + radius, x - radius, y + bend, x - radius, y);
        page.cubic_to(x - radius, y - bend, x - bend, y - radius, x, y - radius);
        page.cubic_to(x + bend, y - radius, x + radius, y - bend, x + radius, y);
        page.fill_nonzero();
    }

    fn table(&mut self, table: &Table) {
        self.title(&table.title);
        let head = table.head.iter().any(|it| !it.is_empty()).then_some(&table.head);
        if table.head.len() == 2 {
            for row in head.into_iter().chain(&table.rows) {
                self.pair(row, INSIDE * 0.42);
            }
            self.y += 4.0;
            return;
        }
        // As wide as what stands in each column, and all smaller where that is too much for the paper.
        let wide = |at: usize| {
            let cells = head.into_iter().chain(&table.rows).filter_map(|row| row.get(at));
            cells.map(|cell| width(&encode(cell)) * CELL + GAP).fold(0.0, f64::max)
        };
        let widths: Vec<f64> = (0..table.head.len()).map(wide).collect();
        let sum: f64 = widths.iter().sum();
        let shrink = (INSIDE / sum.max(1.0)).min(1.0);
        for (at, row) in head.into_iter().chain(&table.rows).enumerate() {
            let colour = if at == 0 && head.is_some() { FAINT } else { BLACK };
            self.need(14.0);
            self.y += 13.0;
            let (y, mut x) = (self.y, MARGIN);
            for (at, (cell, wide)) in row.iter().zip(&widths).enumerate() {
                let anchor = if at == 0 { Anchor::Start } else { Anchor::End };
                let right = x + wide * shrink;
                let place = if at == 0 { (x, y) } else { (right, y) };
                self.text(place, CELL * shrink, anchor, PLAIN, colour, cell);
                x = right;
            }
            let line = [(MARGIN, y + 3.5), (x, y + 3.5)];
            self.path(Ink::Grid, 0.5, line.into_iter());
        }
        self.y += 4.0;
    }

    /// A name and words that may need several lines.
    fn pair(&mut self, row: &[String], first: f64) {
        let lines = lines_of(&row[1], (INSIDE - first) / 9.0);
        self.need(13.0 * lines.len() as f64);
        let y = self.y + 13.0;
        self.text((MARGIN, y), 9.0, Anchor::Start, PLAIN, FAINT, &row[0]);
        for line in lines {
            self.y += 13.0;
            let y = self.y;
            self.text((MARGIN + first, y), 9.0, Anchor::Start, PLAIN, BLACK, &line);
        }
    }

    fn finish(self, title: &str) -> Vec<u8> {
        let mut pdf = Pdf::new();
        let [catalog, tree, plain, bold, info] = [1, 2, 3, 4, 5].map(Ref::new);
        let page_of = |at: usize| Ref::new(10 + 2 * at as i32);
        let content_of = |at: usize| Ref::new(11 + 2 * at as i32);
        pdf.catalog(catalog).pages(tree);
        pdf.document_info(info).title(TextStr(title)).producer(TextStr("throng lab report"));
        let count = self.pages.len();
        pdf.pages(tree).kids((0..count).map(page_of)).count(count as i32);
        for (at, content) in self.pages.into_iter().enumerate() {
            let mut page = pdf.page(page_of(at));
            page.media_box(Rect::new(0.0, 0.0, PAGE[0] as f32, PAGE[1] as f32));
            page.parent(tree).contents(content_of(at));
            page.resources().fonts().pair(PLAIN, plain).pair(BOLD, bold);
            page.finish();
            pdf.stream(content_of(at), &content.finish());
        }
        for (id, name) in [(plain, &b"Helvetica"[..]), (bold, &b"Helvetica-Bold"[..])] {
            pdf.type1_font(id).base_font(Name(name)).encoding_predefined(Name(b"WinAnsiEncoding"));
        }
        pdf.finish()
    }
}

fn colour_of(ink: Ink) -> [f32; 3] {
    match ink {
        Ink::Grid => GRID,
        Ink::Strong => BLACK,
        Ink::Text => FAINT,
        Ink::Series(at) => SERIES[at % SERIES.len()],
        Ink::Mark => SERIES[5],
    }
}

/// Breaks at spaces; a word that is longer than a line is cut. `room` is in sizes of the font.
fn lines_of(text: &str, room: f64) -> Vec<String> {
    let fits = |line: &str| width(&encode(line)) <= room;
    let indent: String = text.chars().take_while(|it| *it == ' ').collect();
    let mut lines = vec![indent];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is one from the beginning");
        let space = if line.trim().is_empty() { "" } else { " " };
        let longer = format!("{line}{space}{word}");
        if fits(&longer) {
            *line = longer;
            continue;
        }
        if !line.trim().is_empty() {
            lines.push(String::new());
        }
        for letter in word.chars() {
            let line = lines.last_mut().expect("there is one from the beginning");
            let longer = format!("{line}{letter}");
            if fits(&longer) || line.is_empty() {
                *line = longer;
            } else {
                lines.push(letter.into());
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_at_spaces_and_long_words_are_cut() {
        // Digits are 0.556 wide, a space 0.278.
        assert_eq!(lines_of("11 22 33", 3.0), ["11 22", "33"]);
        assert_eq!(lines_of("1234567", 2.0), ["123", "456", "7"]);
        assert_eq!(lines_of("  11", 3.0), ["  11"]);
        assert_eq!(lines_of("", 3.0), [""]);
    }
}
