//! Messages of the JSON form are objects. serde's derive takes a list in their place too, field by field in the
//! order of the schema, which no other form of the protocol has and no field could ever be moved in.
//!
//! Neighbours: `oneof` reads what a frame holds by it, and the generated types what a message holds: an
//! object is asked for where a structure was.

use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};

/// Reads a message that is written as an object.
pub struct Object<T>(PhantomData<T>);

/// One.
pub fn object<T>() -> Object<T> {
    Object(PhantomData)
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Object<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<T, D::Error> {
        T::deserialize(Only(from))
    }
}

/// A message within another, or nothing.
pub fn within<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Within<T>(T);

    impl<'de, T: Deserialize<'de>> Deserialize<'de> for Within<T> {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            object().deserialize(from).map(Within)
        }
    }

    Ok(Option::<Within<T>>::deserialize(from)?.map(|within| within.0))
}

/// Gives an object where a structure is asked for, and everything else as it is.
struct Only<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Only<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(visitor)
    }

    // No message is any of these.
    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use crate::native::json::decode_client;
    use crate::native::v1::{Position, Subscribe, client_frame::Request};

    /// The keys of all requests, as `oneof.rs` lists them.
    fn requests() -> Vec<&'static str> {
        let text = include_str!("oneof.rs");
        let (_, list) = text.split_once("client_frame::Request [").unwrap();
        let (list, _) = list.split_once("]);").unwrap();
        list.split(',').map(|one| one.split_once("=>").unwrap().0.trim()).collect()
    }

    #[test]
    fn every_request_is_an_object_and_no_list_of_its_fields() {
        assert!(requests().len() > 50, "{:?}", requests());
        for key in requests() {
            let taken = decode_client(format!(r#"{{"id":7,"{key}":{{}}}}"#).as_bytes());
            let is_object = match &taken {
                Ok(frame) => frame.request.is_some(),
                // Of some a field must be there: it was looked for.
                Err(error) => error.what.contains("must be there"),
            };
            assert!(is_object, "{key}: {taken:?}");
            for payload in ["[]", "[1]", r#"["a","b","c"]"#, "1", "null", r#""text""#] {
                let refused = decode_client(format!(r#"{{"id":7,"{key}":{payload}}}"#).as_bytes());
                assert_eq!(refused.map_err(|error| error.re), Err(7), "{key}: {payload}");
            }
        }
    }

    #[test]
    fn so_is_what_a_request_holds() {
        let subscribe = |from: &str| {
            let text = format!(r#"{{"id":7,"subscribe":{{"room":1,"from":{from}}}}}"#);
            decode_client(text.as_bytes()).map_err(|error| error.re)
        };
        let asked = |from| Some(Request::Subscribe(Subscribe { room: 1, from }));
        let position = Some(Position { epoch: 3, seq: 5 });
        assert_eq!(subscribe(r#"{"epoch":3,"seq":5}"#).unwrap().request, asked(position));
        assert_eq!(subscribe("null").unwrap().request, asked(None));
        assert_eq!(subscribe("[3,5]"), Err(7));
        let words = |words: &str| {
            let text = format!(r#"{{"id":7,"set_room":{{"room":1,"words":{words}}}}}"#);
            decode_client(text.as_bytes())
        };
        assert!(words(r#"{"list":["a"]}"#).is_ok());
        assert!(words(r#"[["a"]]"#).is_err());
    }
}
