//! The JSON form of an enum field, which prost keeps as a number: `"durable"` or `"accepted"`.
//! A name this version does not know becomes `UNKNOWN` and is for the server to refuse: a promise
//! that was asked for is never silently replaced by another.

use std::fmt;

use serde::{Deserializer, Serializer, de};

use super::v1::Ack;

const UNKNOWN: i32 = -1;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's `with` passes a reference")]
pub fn serialize<S: Serializer>(number: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match Ack::try_from(*number) {
        Ok(Ack::Durable) => "durable",
        Ok(Ack::Accepted) => "accepted",
        Err(_) => "unknown",
    })
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    deserializer.deserialize_str(Name)
}

struct Name;

impl de::Visitor<'_> for Name {
    type Value = i32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of an ack")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<i32, E> {
        Ok(match name {
            "durable" => Ack::Durable as i32,
            "accepted" => Ack::Accepted as i32,
            _ => UNKNOWN,
        })
    }
}
