//! The JSON form. Names and nesting are the `.proto`'s: `{"id":7,"post":{"room":1,"body":"hi"}}`.
//! Missing fields take their defaults; unknown ones are skipped, however deep, without recursion.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed as _, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::object::object;
use super::oneof::TWO_KINDS;
use super::v1::{ClientFrame, ServerFrame};
use super::{DecodeError, ELEMENTS_MAX};

/// Appends the frame.
pub fn encode_client(frame: &ClientFrame, out: &mut Vec<u8>) {
    encode(frame, out);
}

/// Appends the frame.
pub fn encode_server(frame: &ServerFrame, out: &mut Vec<u8>) {
    encode(frame, out);
}

/// Appends any message of `v1`: REST answers with them bare.
pub fn encode(message: &impl Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(out, message).expect("text keys, no floats, and a Vec does not fail");
}

/// What a client said.
pub fn decode_client(bytes: &[u8]) -> Result<ClientFrame, DecodeError> {
    serde_json::from_slice(bytes).map_err(|error| refusal(&error, request_id(bytes)))
}

/// What a server said.
pub fn decode_server(bytes: &[u8]) -> Result<ServerFrame, DecodeError> {
    serde_json::from_slice(bytes).map_err(|error| refusal(&error, 0))
}

/// A list that a client sends, while it is no longer than any may be: three bytes of a frame become a
/// text of twenty-four.
pub fn few<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Few<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Few<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(element) = from.next_element()? {
                if list.len() == ELEMENTS_MAX {
                    return Err(A::Error::custom("a list is longer than any may be"));
                }
                list.push(element);
            }
            Ok(list)
        }
    }

    from.deserialize_seq(Few(PhantomData))
}

/// The id of a request that is an object of JSON but not a frame.
fn request_id(bytes: &[u8]) -> u32 {
    #[derive(Deserialize)]
    struct Identified {
        id: u32,
    }
    let mut from = serde_json::Deserializer::from_slice(bytes);
    let read = object::<Identified>().deserialize(&mut from);
    read.ok().filter(|_| from.end().is_ok()).map_or(0, |frame| frame.id)
}

fn refusal(error: &serde_json::Error, re: u32) -> DecodeError {
    DecodeError { re, what: why(error) }
}

/// Says where and what sort, and not what stands there: serde_json's own text quotes the input, which
/// may be long and secret. A field that is missing or stands there twice is named: the name is ours.
pub fn why(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let text = error.to_string();
    let named = |sort| text.strip_prefix(sort).and_then(|rest: &str| rest.split('`').next());
    let sort = match (error.classify(), named("missing field `"), named("duplicate field `")) {
        (Category::Data, Some(field), _) => format!("the field `{field}` must be there"),
        (Category::Data, _, Some(field)) => format!("the field `{field}` is there twice"),
        (Category::Data, None, None) if text.starts_with(TWO_KINDS) => TWO_KINDS.to_owned(),
        (Category::Data, None, None) => "a value that does not fit its field".to_owned(),
        (Category::Eof, ..) => "the end inside a value".to_owned(),
        (Category::Syntax | Category::Io, ..) => "not JSON".to_owned(),
    };
    format!("line {} column {}: {sort}", error.line(), error.column())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::v1::{
        self, Ack, Event, History, Message, Ping, Post, Posted, Reply, User, client_frame::Request,
        event::What, reply::Outcome, server_frame::Frame,
    };

    fn client(id: u32, request: Request) -> ClientFrame {
        ClientFrame { id, request: Some(request) }
    }

    fn text(frame: &impl Serialize) -> String {
        let mut out = Vec::new();
        encode(frame, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_request_is_named_by_its_key() {
        let post =
            Post { room: 1, body: "hi".into(), ack: Ack::Accepted as i32, ..Post::default() };
        let frame = client(7, Request::Post(post));
        let written = r#"{"id":7,"post":{"room":1,"body":"hi","ack":"accepted"}}"#;
        assert_eq!(text(&frame), written);
        assert_eq!(decode_client(written.as_bytes()), Ok(frame));
    }

    #[test]
    fn an_empty_request_is_an_empty_object() {
        let frame = client(9, Request::Ping(Ping {}));
        assert_eq!(text(&frame), r#"{"id":9,"ping":{}}"#);
        assert_eq!(decode_client(br#"{"ping":{},"id":9}"#), Ok(frame));
    }

    #[test]
    fn replies_and_events_nest_as_in_the_proto() {
        let posted = Posted { room: 1, seq: 5, n: 4, at: 99, ..Posted::default() };
        let reply = Reply { re: 7, outcome: Some(Outcome::Posted(posted)) };
        let frame = ServerFrame { frame: Some(Frame::Reply(reply)) };
        assert_eq!(
            text(&frame),
            r#"{"reply":{"re":7,"posted":{"room":1,"seq":5,"n":4,"at":99,"repeat":false,"ack":"durable"}}}"#
        );
        let from = Some(User { id: 2, name: "ada".into() });
        let message = Message {
            n: 4,
            from,
            origin_id: String::new(),
            body: "\"\u{1f980}".into(),
            ..Message::default()
        };
        let what = Some(What::Message(message));
        let event = Event { room: 1, seq: 5, prev: 4, at: 99, what };
        let frame = ServerFrame { frame: Some(Frame::Event(event)) };
        let written = "{\"event\":{\"room\":1,\"seq\":5,\"prev\":4,\"at\":99,\"message\":\
            {\"n\":4,\"from\":{\"id\":2,\"name\":\"ada\"},\"body\":\"\\\"\u{1f980}\"}}}";
        assert_eq!(text(&frame), written);
        assert_eq!(decode_server(written.as_bytes()), Ok(frame));
    }

    #[test]
    fn absent_fields_take_their_defaults_and_are_not_written() {
        let asked = client(0, Request::History(History { room: 3, ..History::default() }));
        assert_eq!(decode_client(br#"{"history":{"room":3}}"#), Ok(asked.clone()));
        assert_eq!(text(&asked), r#"{"id":0,"history":{"room":3,"limit":0}}"#);
        let session = v1::Session::default();
        assert_eq!(text(&session), "{}");
    }

    /// Requests of which a field decides, without it, and with it at what would be its default.
    pub const DECIDED: [(&str, &str, &str); 7] = [
        ("set_contacts", "writers", r#"{"writers":"everyone"}"#),
        ("set_level", "level", r#"{"room":1,"level":"all"}"#),
        ("settle_held", "pass", r#"{"room":1,"held":2,"pass":false}"#),
        ("settle_report", "upheld", r#"{"room":1,"report":2,"upheld":false}"#),
        ("set_avatar", "file", r#"{"file":""}"#),
        ("set_room_avatar", "file", r#"{"room":1,"file":""}"#),
        ("set_room", "list", r#"{"room":1,"words":{"list":[]}}"#),
    ];

    #[test]
    fn a_field_that_decides_must_be_there_and_is_named_where_it_is_not() {
        for (key, field, whole) in DECIDED {
            let written = format!(r#"{{"id":7,"{key}":{whole}}}"#);
            let frame = decode_client(written.as_bytes()).expect(&written);
            assert_eq!(decode_client(text(&frame).as_bytes()), Ok(frame), "it is written too");
            for other in [format!("\"{field}s\""), "\"other\"".to_owned()] {
                let misspelt = written.replace(&format!("\"{field}\""), &other);
                let error = decode_client(misspelt.as_bytes()).expect_err(&misspelt);
                assert_eq!(error.re, 7);
                assert!(error.what.contains(&format!("`{field}`")), "{error}");
            }
        }
        // What else a request holds may be left out as ever.
        let settled = decode_client(br#"{"settle_report":{"upheld":true}}"#).unwrap();
        let meant = v1::SettleReport { upheld: true, ..v1::SettleReport::default() };
        assert_eq!(settled, client(0, Request::SettleReport(meant)));
    }

    #[test]
    fn what_stands_there_twice_is_refused_and_said() {
        for (written, re, what) in [
            (r#"{"id":7,"ping":{},"id":8}"#, 0, "the field `id` is there twice"),
            (
                r#"{"id":7,"post":{"room":1,"body":"a","body":"b"}}"#,
                7,
                "the field `body` is there twice",
            ),
            (r#"{"id":7,"ping":{},"post":{"room":1}}"#, 7, "two kinds in one frame"),
            (r#"{"id":7,"ping":{},"ping":{}}"#, 7, "two kinds in one frame"),
        ] {
            let error = decode_client(written.as_bytes()).expect_err(written);
            assert_eq!(error.re, re, "{written}");
            assert!(error.what.ends_with(what), "{written}: {error}");
        }
        let unknown = br#"{"later":1,"later":2,"id":7,"ping":{}}"#;
        assert_eq!(
            decode_client(unknown),
            Ok(client(7, Request::Ping(Ping {}))),
            "nobody reads it"
        );
    }

    #[test]
    fn what_was_asked_for_is_told_at_its_default_too() {
        assert_eq!(text(&v1::ContactsAre::default()), r#"{"writers":"everyone"}"#);
        assert!(text(&v1::UnreadRoom::default()).ends_with(r#""level":"all"}"#));
    }

    #[test]
    fn unknown_fields_are_ignored_at_every_level() {
        let written = br#"{"later":[{"deep":[1,2,{"x":null}]}],"id":7,"post":{"mood":"sunny","room":1,"body":"hi","to":{"a":1}}}"#;
        let post = Post { room: 1, body: "hi".into(), ..Post::default() };
        assert_eq!(decode_client(written), Ok(client(7, Request::Post(post))));
        assert_eq!(
            decode_client(br#"{"id":8,"dance":{}}"#),
            Ok(ClientFrame { id: 8, request: None })
        );
    }

    #[test]
    fn two_requests_in_one_frame_are_refused_by_their_id() {
        let error = decode_client(br#"{"id":7,"ping":{},"logout":{}}"#).unwrap_err();
        assert_eq!(error.re, 7);
    }

    #[test]
    fn a_refusal_names_its_request_and_quotes_nothing() {
        let error = decode_client(br#"{"id":7,"login":{"name":"ada","password":["secret"]}}"#);
        let error = error.unwrap_err();
        assert_eq!(error.re, 7);
        assert!(!error.to_string().contains("secret"), "{error}");
        for not_an_object in ["nonsense", "[7]", "[7,{\"ping\":{}}]", "7", "{\"id\":7,\"ping\":{}"]
        {
            let error = decode_client(not_an_object.as_bytes()).expect_err(not_an_object);
            assert_eq!(error.re, 0, "{not_an_object}");
        }
    }

    #[test]
    fn the_lists_of_a_request_are_so_long_and_not_one_element_longer() {
        for (begin, element, end) in [
            (r#"{"id":7,"post":{"mentioned":["#, "1", "]}}"),
            (r#"{"id":7,"post":{"attachments":["#, r#""""#, "]}}"),
            (r#"{"id":7,"set_room":{"words":{"list":["#, r#""""#, "]}}}"),
        ] {
            for (count, taken) in
                [(ELEMENTS_MAX - 1, true), (ELEMENTS_MAX, true), (ELEMENTS_MAX + 1, false)]
            {
                let text = format!("{begin}{}{end}", vec![element; count].join(","));
                let decoded = decode_client(text.as_bytes());
                assert_eq!(decoded.is_ok(), taken, "{begin} {count}");
                assert!(decoded.is_ok() || decoded.is_err_and(|error| error.re == 7));
            }
        }
    }

    #[test]
    fn an_ack_this_version_does_not_know_is_not_taken_for_another() {
        let frame =
            decode_client(br#"{"post":{"room":1,"body":"hi","ack":"replicated"}}"#).unwrap();
        let Some(Request::Post(post)) = frame.request else { panic!("not a post: {frame:?}") };
        assert!(Ack::try_from(post.ack).is_err());
    }
}
