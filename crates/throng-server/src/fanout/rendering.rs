//! Events of one room, rendered once for each form in use and then shared by all who hear them.
//!
//! Neighbours: `deliver.rs` makes one for each room of a tick and asks it for every listener. It
//! knows neither listeners nor sockets.

use std::sync::Arc;

use bytes::Bytes;
use throng_core::{Event, EventKind, Seq};

use crate::protocols::{FORMS, Form};

/// Bytes that one rendering aims at: more would fill half an outbox at a stroke.
const RENDERING_LEN: usize = 64 * 1024;
/// What an event takes beside its body: names, numbers and keys.
const EVENT_OVERHEAD: usize = 256;

/// Some events of one room, ascending, in as many forms as were asked for.
#[derive(Debug)]
pub struct Rendering {
    events: Vec<Arc<Event>>,
    forms: [Option<Rendered>; FORMS],
}

#[derive(Debug)]
struct Rendered {
    bytes: Bytes,
    /// Where each event ends; of one event it is the end.
    ends: Vec<u32>,
}

/// What one listener gets of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// All of it, shared.
    Whole(&'a Bytes),
    /// What comes after its place.
    Rest(Bytes, u32),
}

impl Part<'_> {
    /// The bytes and their frames, of a rendering that has `frames` in all.
    pub fn of(&self, frames: u32) -> (&Bytes, u32) {
        match self {
            Part::Whole(bytes) => (bytes, frames),
            Part::Rest(bytes, frames) => (bytes, *frames),
        }
    }
}

impl Rendering {
    /// Takes events from the front until they are worth a rendering; `None` when there are none.
    pub fn take(pending: &mut Vec<Arc<Event>>) -> Option<Self> {
        let mut len = 0;
        let fits = |event: &&Arc<Event>| {
            len += size_of_event(event);
            len <= RENDERING_LEN
        };
        let count = pending.iter().take_while(fits).count().max(1).min(pending.len());
        let events = if count == pending.len() {
            std::mem::take(pending)
        } else {
            pending.drain(..count).collect()
        };
        Self::of(events)
    }

    /// All of these events.
    pub fn of(events: Vec<Arc<Event>>) -> Option<Self> {
        let forms = [const { None }; FORMS];
        if events.is_empty() { None } else { Some(Self { events, forms }) }
    }

    /// How many events.
    pub fn frames(&self) -> u32 {
        self.events.len() as u32
    }

    /// What someone who has heard all up to `after` gets of it.
    pub fn part(&mut self, form: Form, after: Seq) -> Option<Part<'_>> {
        let newest = self.events.last().expect("a rendering is not empty").seq;
        if newest <= after {
            return None;
        }
        let first = self.events[0].seq;
        let heard =
            if first > after { 0 } else { self.events.partition_point(|event| event.seq <= after) };
        let count = self.events.len();
        let rendered = self.rendered(form);
        if heard == 0 {
            return Some(Part::Whole(&rendered.bytes));
        }
        let begins = rendered.ends[heard - 1] as usize;
        Some(Part::Rest(rendered.bytes.slice(begins..), (count - heard) as u32))
    }

    fn rendered(&mut self, form: Form) -> &Rendered {
        let events = &self.events;
        self.forms[form.index()].get_or_insert_with(|| {
            let mut out = Vec::with_capacity(events.iter().map(size_of_event).sum());
            let mut ends = Vec::with_capacity(if events.len() == 1 { 0 } else { events.len() });
            for event in events {
                form.event(event, &mut out);
                if events.len() > 1 {
                    ends.push(out.len() as u32);
                }
            }
            Rendered { bytes: out.into(), ends }
        })
    }
}

fn size_of_event(event: &Arc<Event>) -> usize {
    let texts = match &event.kind {
        EventKind::Posted { body, extras, .. } => {
            body.as_str().len() + extras.as_ref().map_or(0, |extras| extras.bytes())
        }
        EventKind::Edited { body, .. } => body.as_str().len(),
        EventKind::Reacted { reaction, .. } => reaction.as_str().len(),
        EventKind::Set { settings, .. } => {
            let name = settings.name.as_ref().map_or(0, |name| name.as_str().len());
            name + settings.topic.as_ref().map_or(0, |topic| topic.as_str().len())
        }
        _ => 0,
    };
    texts + EVENT_OVERHEAD
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use throng_core::{Author, Body, RoomId, Timestamp, UserId, Username};

    pub(crate) fn posted(seq: u64, text: &str) -> Arc<Event> {
        let author = Author { id: UserId::new(1).unwrap(), name: Username::parse("ada").unwrap() };
        let body = Body::parse(text).unwrap();
        let kind = EventKind::Posted { n: seq, author, origin_id: None, body, extras: None };
        let (room, at) = (RoomId::new(1).unwrap(), Timestamp(9));
        Arc::new(Event { room, seq: Seq(seq), prev: Seq(seq - 1), pushed: true, at, kind })
    }

    #[test]
    fn a_listener_gets_what_comes_after_its_place_and_no_more() {
        for form in [Form::WsJson, Form::WsProtobuf, Form::RawProtobuf] {
            let events: Vec<_> = [3, 5, 9].map(|seq| posted(seq, "hi")).into();
            let mut alone = Vec::new();
            form.event(&events[2], &mut alone);
            let mut rendering = Rendering::of(events).unwrap();
            assert!(rendering.part(form, Seq(9)).is_none());
            assert_eq!(rendering.part(form, Seq(8)), Some(Part::Rest(alone.clone().into(), 1)));
            assert_eq!(rendering.part(form, Seq(5)), Some(Part::Rest(alone.into(), 1)));
            assert!(matches!(rendering.part(form, Seq(4)), Some(Part::Rest(_, 2))));
            assert!(matches!(rendering.part(form, Seq(2)), Some(Part::Whole(_))));
        }
    }

    #[test]
    fn a_rendering_is_cut_before_it_fills_an_outbox() {
        let text = "x".repeat(8 * 1024);
        let mut pending: Vec<_> = (1..=100).map(|seq| posted(seq, &text)).collect();
        let (mut frames, mut pieces) = (0, 0);
        while let Some(mut rendering) = Rendering::take(&mut pending) {
            let Some(Part::Whole(bytes)) = rendering.part(Form::WsJson, Seq::ZERO) else {
                panic!("nothing was heard yet")
            };
            assert!(bytes.len() < 2 * RENDERING_LEN);
            frames += rendering.frames();
            pieces += 1;
        }
        assert_eq!(frames, 100);
        assert!(pieces > 5);
    }
}
