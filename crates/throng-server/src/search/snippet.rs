//! The part of a text that shows why it was found, with the places of what was looked for.
//!
//! Neighbours: `mod.rs` shows a hit with it. It is cut from the text as it is shown at that moment,
//! never from the index.

use super::query::Query;
use super::words::Token;

/// Bytes of a snippet, about: a line or two.
const BYTES: usize = 160;
/// Of which so many may stand before the first place.
const BEFORE: usize = 40;

/// A piece of a snippet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// As it stands in the text.
    pub text: String,
    /// It is what was looked for.
    pub matched: bool,
}

/// The snippet of a text that was cut into these tokens; all of a short text.
pub fn snippet(query: &Query, body: &str, tokens: &[Token]) -> Vec<Piece> {
    let places = places(query, body, tokens);
    let first = places.first().map_or(0, |(from, _)| *from);
    let begin = if first <= BEFORE { 0 } else { word_start(body, first - BEFORE, first) };
    let end = floor(body, begin + BYTES);
    let mut pieces = Vec::new();
    let mut push = |text: &str, matched| {
        if !text.is_empty() {
            pieces.push(Piece { text: text.to_owned(), matched });
        }
    };
    if begin > 0 {
        push("…", false);
    }
    let mut at = begin;
    for (from, to) in places {
        let (from, to) = (from.clamp(at, end), to.clamp(at, end));
        push(&body[at..from], false);
        push(&body[from..to], true);
        at = to;
    }
    push(&body[at..end], false);
    if end < body.len() {
        push("…", false);
    }
    pieces
}

/// Where what was looked for stands, in bytes, ascending, without overlaps.
fn places(query: &Query, body: &str, tokens: &[Token]) -> Vec<(usize, usize)> {
    let texts: Vec<&str> = tokens.iter().map(|token| token.text.as_str()).collect();
    let mut places = Vec::new();
    for term in query.wanted() {
        for at in term.places(&texts) {
            let last = &tokens[at + term.span() - 1];
            let to = match term.open_chars().filter(|_| last.signs) {
                // Of a few signs only those that were asked for.
                Some(chars) => {
                    let mut signs = body[last.from..last.to].char_indices().skip(chars);
                    signs.next().map_or(last.to, |(at, _)| last.from + at)
                }
                None => last.to,
            };
            places.push((tokens[at].from, to));
        }
    }
    places.sort_unstable();
    let mut apart: Vec<(usize, usize)> = Vec::new();
    for (from, to) in places {
        match apart.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => apart.push((from, to)),
        }
    }
    apart
}

/// The first place from `at` on where a word begins, not beyond `before`.
fn word_start(body: &str, at: usize, before: usize) -> usize {
    let at = floor(body, at);
    let space = body[at..before].find(char::is_whitespace);
    space.map_or(at, |space| {
        at + body[at + space..before]
            .find(|c: char| !c.is_whitespace())
            .map_or(0, |rest| space + rest)
    })
}

/// The end of the last whole character up to here.
fn floor(body: &str, at: usize) -> usize {
    if at >= body.len() {
        return body.len();
    }
    (0..=at).rev().find(|at| body.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::words::tokens;
    use super::*;

    fn marked(query: &str, body: &str) -> String {
        let pieces = snippet(&Query::parse(query).unwrap(), body, &tokens(body));
        let marked = |piece: &Piece| {
            if piece.matched { format!("[{}]", piece.text) } else { piece.text.clone() }
        };
        pieces.iter().map(marked).collect()
    }

    #[test]
    fn it_marks_what_was_looked_for_as_it_stands_in_the_text() {
        assert_eq!(marked("tea", "Green TEA, teapot"), "Green [TEA], teapot");
        assert_eq!(marked("te*", "Green TEA, teapot"), "Green [TEA], [teapot]");
        assert_eq!(marked("\"green tea\"", "a Green – TEA!"), "a [Green – TEA]!");
        assert_eq!(marked("cafe", "Café"), "[Café]");
        assert_eq!(marked("ΟΔΟΣ", "η οδός, της οδοσ"), "η [οδός], της [οδοσ]");
        assert_eq!(marked("σίσ*", "Σίσυφος, οι σις"), "[Σίσυφος], οι [σις]");
        assert_eq!(marked("京タワ", "東京タワーへ"), "東[京タワ]ーへ");
        assert_eq!(marked("京 ー", "東京タワーへ"), "東[京]タワ[ー]へ");
    }

    #[test]
    fn a_long_text_is_cut_around_the_first_place_between_characters() {
        let body = format!("{}tea{}", "ö ".repeat(100), " ö".repeat(200));
        let shown = marked("tea", &body);
        assert!(shown.starts_with("…ö ") && shown.ends_with('…'), "{shown}");
        assert!(shown.contains("[tea]") && shown.len() < BYTES + 20, "{shown}");
        let body = "京".repeat(100) + "都";
        assert!(marked("都", &body).contains("[都]"));
    }
}
