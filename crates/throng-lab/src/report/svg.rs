//! A drawing as SVG, for a page whose style sheet has the colours.
//!
//! Neighbours: `chart` lays out; `html` puts the result into its page.

use std::fmt::Write as _;

use super::chart::{Anchor, COLOURS, Chart, Drawing, HEIGHT, Ink, Kind, Shape, WIDTH};
use super::html::escape;

/// One chart, with what the page's script needs to say values where the pointer is.
pub fn figure(chart: &Chart) -> String {
    let drawing = chart.draw();
    let mut svg = String::new();
    let to = &mut svg;
    let title = escape(&chart.title);
    write(to, format_args!("<figure class=\"chart\" id=\"{}\">\n", escape(&chart.id)));
    write(
        to,
        format_args!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\" tabindex=\"0\">\n"
        ),
    );
    for shape in &drawing.shapes {
        draw(to, shape);
    }
    write(to, format_args!("</svg>\n"));
    if let Some(data) = data(chart, &drawing) {
        write(to, format_args!("<script type=\"application/json\">{data}</script>\n"));
    }
    write(to, format_args!("</figure>\n"));
    svg
}

/// The style of a picture by itself: that of the page on paper.
const STYLE: &str = "\
svg{background:#fff;font-family:system-ui,sans-serif}polyline{fill:none;stroke-width:1.6;\
stroke-linejoin:round}polyline.g{stroke:#d8d8d8;stroke-width:1}polyline.m{stroke:#5a3ea0;stroke-width:1;\
stroke-dasharray:3 3}text.h{fill:#000;font-weight:600}text.t{fill:#444}text.m{fill:#5a3ea0}\
.s0{stroke:#0b69c7}.s1{stroke:#c75a00}.s2{stroke:#b0257e}.s3{stroke:#1a7f4b}.s4{stroke:#6b6f76}\
.s5{stroke:#7a5cc0}.s0.f{fill:#0b69c7}.s1.f{fill:#c75a00}.s2.f{fill:#b0257e}.s3.f{fill:#1a7f4b}\
.s4.f{fill:#6b6f76}.s5.f{fill:#7a5cc0}.f{stroke:none}circle.f{fill-opacity:.65}";

/// One chart as a picture that needs nothing else.
pub fn picture(chart: &Chart) -> String {
    let mut svg = String::new();
    let to = &mut svg;
    let title = escape(&chart.title);
    write(
        to,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
             height=\"{HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n<style>{STYLE}</style>\n"
        ),
    );
    for shape in &chart.draw().shapes {
        draw(to, shape);
    }
    svg.push_str("</svg>\n");
    svg
}

fn write(to: &mut String, what: std::fmt::Arguments<'_>) {
    to.write_fmt(what).expect("a String grows");
}

fn draw(to: &mut String, shape: &Shape) {
    match shape {
        Shape::Path(ink, points) => {
            write(to, format_args!("<polyline class=\"{}\" points=\"", class(*ink)));
            for (at, (x, y)) in points.iter().enumerate() {
                let space = if at > 0 { " " } else { "" };
                write(to, format_args!("{space}{x:.1},{y:.1}"));
            }
            write(to, format_args!("\"/>\n"));
        }
        Shape::Rect(ink, [x, y, width, height]) => {
            let class = class(*ink);
            let size = format!("width=\"{width:.1}\" height=\"{height:.1}\"");
            write(
                to,
                format_args!("<rect class=\"{class} f\" x=\"{x:.1}\" y=\"{y:.1}\" {size}/>\n"),
            );
        }
        Shape::Dot(ink, [x, y, radius]) => {
            let class = class(*ink);
            write(
                to,
                format_args!(
                    "<circle class=\"{class} f\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"/>\n"
                ),
            );
        }
        Shape::Text(ink, (x, y), size, anchor, text) => {
            let anchor = match anchor {
                Anchor::Start => "",
                Anchor::Middle => " text-anchor=\"middle\"",
                Anchor::End => " text-anchor=\"end\"",
            };
            let (class, text) = (class(*ink), escape(text));
            let at = format!("x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\"");
            write(to, format_args!("<text class=\"{class}\" {at}{anchor}>{text}</text>\n"));
        }
    }
}

fn class(ink: Ink) -> String {
    match ink {
        Ink::Grid => "g".to_owned(),
        Ink::Strong => "h".to_owned(),
        Ink::Text => "t".to_owned(),
        Ink::Mark => "m".to_owned(),
        Ink::Series(at) => format!("s{}", at % COLOURS),
    }
}

/// Values for the pointer: lines only, where a place across has one value of each.
fn data(chart: &Chart, drawing: &Drawing) -> Option<String> {
    let Kind::Lines { x, series } = &chart.kind else { return None };
    let left = series.iter().map(|it| (&chart.unit, it));
    let right = chart.right.iter().flat_map(|it| it.series.iter().map(|one| (&it.unit, one)));
    let values: Vec<_> = left
        .chain(right)
        .map(|(unit, it)| {
            let rounded: Vec<Option<f64>> = it.values.iter().map(|v| v.map(three_digits)).collect();
            serde_json::json!({ "name": it.name, "unit": unit, "values": rounded })
        })
        .collect();
    let data = serde_json::json!({
        "x": x,
        "places": drawing.across.places,
        "ends": drawing.across.values,
        "series": values,
    });
    // No text of a run may end the script that carries it.
    Some(data.to_string().replace('<', "\\u003c"))
}

fn three_digits(value: f64) -> f64 {
    let size = value.abs().max(1e-6).log10().floor() as i32;
    let factor = 10_f64.powi((3 - size).clamp(0, 6));
    (value * factor).round() / factor
}
