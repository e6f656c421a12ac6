//! How frames are rendered: once for each form, whoever receives them.
//!
//! Neighbours: the fan-out renders events, connections render their answers. A form has no state, so
//! that one rendering serves every recipient.

use throng_core::shard::HeldPost;
use throng_core::{
    Act, Author, Came, Disconnect, Epoch, Event, Limits, RoomId, RoomName, Seq, Timestamp,
};
use throng_wire::native::{self, json, protobuf, v1};
use throng_wire::{raw, ws};

use super::Answer;
use super::native::mapping;
use crate::pages::Here;
use crate::personal::Marker;

/// A rendering. Everything a frame needs is in it: its own header too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// A text message of WebSocket.
    WsJson,
    /// A binary message of WebSocket.
    WsProtobuf,
    /// A length-prefixed record.
    RawProtobuf,
    /// A text message, compressed if it is long.
    WsJsonDeflate,
    /// A binary message, compressed if it is long.
    WsProtobufDeflate,
}

/// How many there are; `Form::index` is below it.
pub const FORMS: usize = 5;

impl Form {
    /// The one for a WebSocket that speaks this and agreed to `permessage-deflate` or not.
    pub fn of_websocket(form: native::Form, deflate: bool) -> Self {
        match (form, deflate) {
            (native::Form::Json, false) => Self::WsJson,
            (native::Form::Json, true) => Self::WsJsonDeflate,
            (native::Form::Protobuf, false) => Self::WsProtobuf,
            (native::Form::Protobuf, true) => Self::WsProtobufDeflate,
        }
    }

    /// Its place in an array by form.
    pub fn index(self) -> usize {
        self as usize
    }

    /// One event, as every listener of its room gets it.
    pub fn event(self, event: &Event, out: &mut Vec<u8>) {
        self.frame(v1::server_frame::Frame::Event(mapping::event(event)), out);
    }

    /// One answer.
    pub fn answer(self, re: u32, answer: &Answer, out: &mut Vec<u8>) {
        let reply = v1::Reply { re, outcome: Some(mapping::outcome(answer)) };
        self.frame(v1::server_frame::Frame::Reply(reply), out);
    }

    /// To a connection that heard the room: its account left it or (by an act) was removed, and not by
    /// a request of this connection.
    pub fn left(self, room: RoomId, seq: Seq, act: Option<Act>, out: &mut Vec<u8>) {
        self.frame(v1::server_frame::Frame::Left(mapping::left(room, seq, act)), out);
    }

    /// To an account whose direct room was opened by the other.
    pub fn opened(self, room: RoomId, with: &Author, out: &mut Vec<u8>) {
        let opened = v1::Opened { room: room.get(), with: Some(mapping::user(with)) };
        self.frame(v1::server_frame::Frame::Opened(opened), out);
    }

    /// To the connections of an account that has joined a room, or left it (`ended`), by another one.
    pub fn membership(self, room: RoomId, seq: Seq, ended: bool, out: &mut Vec<u8>) {
        let told = v1::Membership { room: room.get(), seq: seq.0, ended };
        self.frame(v1::server_frame::Frame::Membership(told), out);
    }

    /// To an account that was invited into a room.
    pub fn invited(self, room: RoomId, name: &RoomName, by: &Author, out: &mut Vec<u8>) {
        let (name, by) = (name.as_str().to_owned(), Some(mapping::user(by)));
        let invited = v1::Invited { room: room.get(), name, by };
        self.frame(v1::server_frame::Frame::Invited(invited), out);
    }

    /// To the other connections of an account that has read up to here.
    pub fn read_to(self, room: RoomId, marker: Marker, out: &mut Vec<u8>) {
        let read = v1::ReadTo { room: room.get(), seq: marker.seq.0, n: marker.n };
        self.frame(v1::server_frame::Frame::Read(read), out);
    }

    /// Who is in a room, for all who hear it.
    pub fn here(self, room: RoomId, here: &Here, out: &mut Vec<u8>) {
        self.frame(v1::server_frame::Frame::Here(mapping::personal::here(room, here)), out);
    }

    /// To those who keep order: this waits.
    pub fn held_post(self, post: &HeldPost, until: Timestamp, out: &mut Vec<u8>) {
        self.frame(v1::server_frame::Frame::HeldPost(mapping::held::post(post, until)), out);
    }

    /// To them and its sender: it waits no longer.
    pub fn unheld(self, room: RoomId, number: u64, came: Came, out: &mut Vec<u8>) {
        self.frame(v1::server_frame::Frame::Unheld(mapping::held::unheld(room, number, came)), out);
    }

    /// The first frame of a connection.
    pub fn welcome(self, epoch: Epoch, limits: &Limits, out: &mut Vec<u8>) {
        self.frame(v1::server_frame::Frame::Welcome(mapping::welcome(epoch, limits)), out);
    }

    /// The last frame, and what the transport says after it.
    pub fn goodbye(self, why: Disconnect, retry_after_ms: u32, out: &mut Vec<u8>) {
        let goodbye = mapping::goodbye(why, retry_after_ms);
        self.frame(v1::server_frame::Frame::Goodbye(goodbye), out);
        if self != Self::RawProtobuf {
            let payload = ws::close_payload(why.code(), why.reason());
            ws::encode_frame(ws::Opcode::Close, &payload, None, out);
        }
    }

    fn frame(self, frame: v1::server_frame::Frame, out: &mut Vec<u8>) {
        let frame = v1::ServerFrame { frame: Some(frame) };
        match self {
            Self::WsJson => {
                ws::encode_with(ws::Opcode::Text, out, |out| json::encode_server(&frame, out));
            }
            Self::WsProtobuf => ws::encode_with(ws::Opcode::Binary, out, |out| {
                protobuf::encode_server(&frame, out);
            }),
            Self::RawProtobuf => {
                raw::encode_with(out, |out| protobuf::encode_server(&frame, out));
            }
            Self::WsJsonDeflate => ws::encode_deflated(ws::Opcode::Text, out, |out| {
                json::encode_server(&frame, out);
            }),
            Self::WsProtobufDeflate => ws::encode_deflated(ws::Opcode::Binary, out, |out| {
                protobuf::encode_server(&frame, out);
            }),
        }
    }
}
