//! Throng's own protocol: JSON or Protobuf over WebSocket, or Protobuf over bare TCP.
//!
//! Neighbours: `throng-wire` holds the grammars, `mapping` says what a frame means. Holds nothing of
//! a frame that is whole.

pub mod mapping;

use throng_core::{Disconnect, Limits};
use throng_wire::native::{DecodeError, json, protobuf, v1::ClientFrame};
use throng_wire::{raw, ws};

use super::{ASKS_MAX, Answer, Ask, End, Form, Intake, Protocol, What};

/// The native protocol over one of its transports.
#[derive(Debug)]
pub struct Native {
    form: Form,
    framing: Framing,
}

#[derive(Debug)]
enum Framing {
    WebSocket(ws::Decoder),
    Raw(raw::Decoder),
}

impl Native {
    /// For a fresh connection, which may not send long frames before it is authenticated.
    pub fn new(form: Form, limits: &Limits) -> Self {
        let max = limits.frame_len_max_anonymous;
        let framing = match form {
            Form::WsJson | Form::WsProtobuf => Framing::WebSocket(messages(max)),
            Form::WsJsonDeflate | Form::WsProtobufDeflate => {
                Framing::WebSocket(messages(max).with_deflate())
            }
            Form::RawProtobuf => Framing::Raw(raw::Decoder::new(max)),
        };
        Self { form, framing }
    }
}

/// What reads the messages of a client.
fn messages(max: usize) -> ws::Decoder {
    let limits = ws::Limits { frame_len_max: max, message_len_max: max };
    ws::Decoder::new(ws::Role::Server, limits)
}

impl Protocol for Native {
    fn read(&mut self, bytes: &mut [u8], intake: &mut Intake) -> usize {
        match &mut self.framing {
            Framing::WebSocket(decoder) => read_messages(decoder, self.form, bytes, intake),
            Framing::Raw(decoder) => read_records(decoder, bytes, intake),
        }
    }

    fn form(&self) -> Form {
        self.form
    }

    fn allow(&mut self, max: usize) {
        match &mut self.framing {
            Framing::WebSocket(decoder) => {
                decoder.set_limits(ws::Limits { frame_len_max: max, message_len_max: max });
            }
            Framing::Raw(decoder) => decoder.set_limit(max),
        }
    }

    fn probe(&mut self, out: &mut Vec<u8>) {
        // Bare TCP has keep-alives of its own; the listener switches them on.
        if let Framing::WebSocket(_) = self.framing {
            ws::encode_frame(ws::Opcode::Ping, b"", None, out);
        }
    }

    fn held(&self) -> usize {
        match &self.framing {
            Framing::WebSocket(decoder) => decoder.held(),
            Framing::Raw(decoder) => decoder.held(),
        }
    }
}

fn read_messages(
    decoder: &mut ws::Decoder,
    form: Form,
    bytes: &mut [u8],
    intake: &mut Intake,
) -> usize {
    let mut at = 0;
    while at < bytes.len() && intake.end.is_none() && intake.asks.len() < ASKS_MAX {
        let step = match decoder.decode(&mut bytes[at..]) {
            Ok(step) => step,
            Err(error) => {
                intake.end = Some(End::Broken(farewell(error)));
                return bytes.len();
            }
        };
        at += step.used;
        match (step.message, form) {
            (None, _) => break,
            (Some(ws::Message::Text(text)), Form::WsJson | Form::WsJsonDeflate) => {
                intake.take(ask(json::decode_client(text.as_bytes())));
            }
            (Some(ws::Message::Binary(bytes)), Form::WsProtobuf | Form::WsProtobufDeflate) => {
                intake.take(ask(protobuf::decode_client(&bytes)));
            }
            (Some(ws::Message::Text(_) | ws::Message::Binary(_)), _) => {
                intake.end = Some(End::Broken(Disconnect::WrongKind));
            }
            (Some(ws::Message::Ping(payload)), _) => {
                intake.scraps += 1;
                ws::encode_frame(ws::Opcode::Pong, &payload, None, &mut intake.writes);
            }
            (Some(ws::Message::Pong(_)), _) => intake.scraps += 1,
            (Some(ws::Message::Close(said)), _) => {
                let payload = said.map(|(code, _)| code.to_be_bytes());
                let payload = payload.as_ref().map_or(&[][..], |code| &code[..]);
                ws::encode_frame(ws::Opcode::Close, payload, None, &mut intake.writes);
                intake.end = Some(End::Said);
            }
        }
    }
    intake.scraps += decoder.take_scraps();
    at
}

fn read_records(decoder: &mut raw::Decoder, bytes: &[u8], intake: &mut Intake) -> usize {
    let mut at = 0;
    while at < bytes.len() && intake.asks.len() < ASKS_MAX {
        let Ok(step) = decoder.decode(&bytes[at..]) else {
            intake.end = Some(End::Broken(Disconnect::TooBig));
            return bytes.len();
        };
        at += step.used;
        let Some(frame) = step.frame else { break };
        intake.take(ask(protobuf::decode_client(&frame)));
    }
    at
}

fn ask(decoded: Result<ClientFrame, DecodeError>) -> Ask {
    match decoded {
        Ok(frame) => Ask { id: frame.id, what: mapping::what(frame.request) },
        Err(DecodeError { re, what }) => {
            Ask { id: re, what: What::Refused(Answer::Malformed(what)) }
        }
    }
}

/// The farewell whose code the RFC names for this fault.
fn farewell(error: ws::Error) -> Disconnect {
    match error.code() {
        1007 => Disconnect::NotUtf8,
        1009 => Disconnect::TooBig,
        _ => Disconnect::ProtocolError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits::default()
    }

    fn message(opcode: ws::Opcode, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        ws::encode_frame(opcode, payload, Some([1, 2, 3, 4]), &mut out);
        out
    }

    #[test]
    fn many_frames_of_one_read_come_out_in_order() {
        let mut native = Native::new(Form::WsJson, &limits());
        let mut bytes: Vec<u8> = (1..4)
            .flat_map(|id| {
                message(ws::Opcode::Text, format!(r#"{{"id":{id},"ping":{{}}}}"#).as_bytes())
            })
            .collect();
        let mut intake = Intake::default();
        native.read(&mut bytes, &mut intake);
        let ids: Vec<u32> = intake.asks.iter().map(|ask| ask.id).collect();
        assert_eq!(ids, [1, 2, 3]);
        assert!(intake.asks.iter().all(|ask| matches!(ask.what, What::Ping)));
        assert_eq!(native.held(), 0);
    }

    #[test]
    fn so_much_is_asked_at_a_time_and_the_rest_is_read_after_it() {
        for form in [Form::WsJson, Form::RawProtobuf] {
            for (count, first) in
                [(ASKS_MAX - 1, ASKS_MAX - 1), (ASKS_MAX, ASKS_MAX), (ASKS_MAX + 1, ASKS_MAX)]
            {
                let one = match form {
                    Form::RawProtobuf => vec![0; 4],
                    _ => message(ws::Opcode::Text, b"{}"),
                };
                let (mut bytes, mut intake) = (one.repeat(count), Intake::default());
                let mut native = Native::new(form, &limits());
                let used = native.read(&mut bytes, &mut intake);
                assert_eq!((intake.asks.len(), used), (first, first * one.len()));
                intake.asks.clear();
                assert_eq!(native.read(&mut bytes[used..], &mut intake), bytes.len() - used);
                assert_eq!(intake.asks.len(), count - first);
            }
        }
    }

    #[test]
    fn the_wrong_kind_of_message_ends_the_stream() {
        let mut native = Native::new(Form::WsProtobuf, &limits());
        let mut intake = Intake::default();
        native.read(&mut message(ws::Opcode::Text, b"{}"), &mut intake);
        assert_eq!(intake.end, Some(End::Broken(Disconnect::WrongKind)));
    }

    #[test]
    fn nothing_is_read_after_a_close() {
        let mut native = Native::new(Form::WsJson, &limits());
        let mut bytes = message(ws::Opcode::Close, &[0x03, 0xe8]);
        bytes.extend(message(ws::Opcode::Text, br#"{"id":1,"ping":{}}"#));
        let mut intake = Intake::default();
        native.read(&mut bytes, &mut intake);
        assert_eq!(intake.end, Some(End::Said));
        assert!(intake.asks.is_empty());
        assert_eq!(intake.writes, [0x88, 2, 0x03, 0xe8]);
    }

    #[test]
    fn a_frame_is_taken_at_the_limit_and_ends_the_stream_above_it() {
        let max = limits().frame_len_max_anonymous;
        for (len, end) in
            [(max - 1, None), (max, None), (max + 1, Some(End::Broken(Disconnect::TooBig)))]
        {
            for form in [Form::WsProtobuf, Form::RawProtobuf] {
                let mut bytes = Vec::new();
                let payload = vec![0xff; len];
                match form {
                    Form::RawProtobuf => raw::encode(&payload, &mut bytes),
                    _ => bytes = message(ws::Opcode::Binary, &payload),
                }
                let mut intake = Intake::default();
                Native::new(form, &limits()).read(&mut bytes, &mut intake);
                assert_eq!(intake.end, end, "{len} bytes as {form:?}");
                assert_eq!(intake.asks.len(), usize::from(end.is_none()));
            }
        }
    }

    #[test]
    fn longer_frames_are_taken_once_allowed() {
        let mut native = Native::new(Form::RawProtobuf, &limits());
        native.allow(64 * 1024);
        let mut bytes = Vec::new();
        raw::encode(&vec![0xff; 64 * 1024], &mut bytes);
        let mut intake = Intake::default();
        native.read(&mut bytes, &mut intake);
        assert_eq!(intake.end, None);
        assert!(matches!(intake.asks[0].what, What::Refused(Answer::Malformed(_))));
    }
}
