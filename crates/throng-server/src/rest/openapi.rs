//! `GET /api/v1/openapi.json`: what is served here, as OpenAPI 3.1, for programs that make clients or
//! tests of it. The file `docs/reference/openapi.json` is the source, kept by hand; the tests below
//! compare it with the router, the rights table, the schema of the protocol, the limits and the
//! refusals, so that an endpoint or a limit cannot be in one of them alone.

use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

const DOCUMENT: &str = include_str!("../../../../docs/reference/openapi.json");

/// The description.
pub async fn show() -> impl IntoResponse {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], DOCUMENT)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::body::Body;
    use axum::http::{Method, Request, StatusCode, header};
    use serde_json::Value;
    use throng_core::{Rejection, id, limits};
    use tower::ServiceExt as _;

    use super::*;
    use crate::rest::tests::Server;

    const ROUTES: &str = include_str!("mod.rs");
    const RIGHTS: &str = include_str!("../../../../docs/reference/permissions.md");
    const SCHEMA: &str = include_str!("../../../throng-wire/proto/throng.proto");

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    /// `POST /rooms/{room}/join`, and the operation.
    fn operations(document: &Value) -> Vec<(String, Value)> {
        let mut found = Vec::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                found.push((format!("{} {path}", method.to_uppercase()), operation.clone()));
            }
        }
        found.sort_by(|one, other| one.0.cmp(&other.0));
        found
    }

    /// The paths that the router is made of, as `mod.rs` writes them.
    fn routed() -> Vec<&'static str> {
        let api = ROUTES.split("fn api()").nth(1).expect("the router is there");
        let api = api.split(".fallback").next().unwrap();
        api.lines()
            .filter_map(|line| line.trim().strip_prefix(".route(\"")?.split('"').next())
            .collect()
    }

    /// What a router answers to a method that nobody has is which methods it has.
    async fn methods(server: &Server, path: &str) -> BTreeSet<String> {
        let named = [
            "{room}",
            "{seq}",
            "{report}",
            "{held}",
            "{session}",
            "{user}",
            "{text}",
            "{file}",
            "{link}",
            "{hash}",
        ];
        let path = named.iter().fold(path.to_owned(), |path, name| path.replace(name, "1"));
        let asked = Request::builder().method(Method::from_bytes(b"BREW").unwrap());
        let asked = asked.uri(format!("/api/v1{path}")).body(Body::empty()).unwrap();
        let answer = server.router.clone().oneshot(asked).await.unwrap();
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        let allowed = answer.headers()[header::ALLOW].to_str().unwrap().to_owned();
        allowed.split(',').map(|one| one.trim().to_owned()).filter(|one| one != "HEAD").collect()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn every_endpoint_of_the_router_is_described_and_no_other() {
        let (document, server) = (document(), Server::start(|_| {}));
        let mut real = Vec::new();
        for path in routed() {
            real.extend(
                methods(&server, path).await.iter().map(|method| format!("{method} {path}")),
            );
        }
        real.sort();
        let told: Vec<String> = operations(&document).into_iter().map(|one| one.0).collect();
        assert_eq!(told, real);
        let served = server.get("/api/v1/openapi.json", "").await;
        assert_eq!((served.status, served.json()), (StatusCode::OK, document));
        server.app.stop().await;
    }

    #[test]
    fn every_endpoint_has_its_row_of_the_rights_table_and_the_name_of_its_request() {
        let rows = RIGHTS.split("## Requests").nth(1).unwrap().split("\n## ").next().unwrap();
        let cell = |cell: &str| cell.trim().trim_matches('`').to_owned();
        let mut rows: Vec<(String, String)> = rows
            .lines()
            .filter(|line| line.starts_with("| `") || line.starts_with("| |"))
            .map(|line| line.split('|').collect::<Vec<_>>())
            .map(|cells| (cell(cells[2]), cell(cells[1])))
            .filter(|(endpoint, _)| !endpoint.is_empty())
            .collect();
        rows.sort();
        let name = |operation: &Value| operation["operationId"].as_str().unwrap().to_owned();
        let told = operations(&document());
        let told: Vec<_> =
            told.iter().map(|(endpoint, one)| (endpoint.clone(), name(one))).collect();
        let same = |(row, told): (&(String, String), &(String, String))| {
            // What only REST has, has no request to be named after.
            row.0 == told.0 && (row.1.is_empty() || row.1 == told.1)
        };
        assert!(
            rows.len() == told.len() && rows.iter().zip(&told).all(same),
            "{rows:#?}\n{told:#?}"
        );
    }

    /// Names of the fields of a message, those within its oneof too.
    fn fields(message: &str) -> Option<BTreeSet<&'static str>> {
        let (_, inside) = SCHEMA.split_once(&format!("\nmessage {message} {{"))?;
        let inside = if inside.starts_with('}') { "" } else { inside.split("\n}").next().unwrap() };
        let named = |line: &'static str| line.trim().split_once(" = ").map(|(left, _)| left);
        Some(
            inside
                .lines()
                .filter_map(named)
                .filter_map(|left| left.split(' ').next_back())
                .collect(),
        )
    }

    #[test]
    fn every_schema_has_the_fields_of_its_message() {
        let document = document();
        let operations = operations(&document);
        let bodies: BTreeSet<&str> = operations
            .iter()
            .filter_map(|(_, operation)| {
                operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str()
            })
            .filter_map(|name| name.rsplit('/').next())
            .collect();
        let mut compared = 0;
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            let Some(mut fields) = fields(name) else { continue };
            let told: BTreeSet<&str> = match schema["properties"].as_object() {
                Some(properties) => properties.keys().map(String::as_str).collect(),
                None => BTreeSet::new(),
            };
            if bodies.contains(&**name) {
                // The path says them.
                fields.remove("room");
                fields.remove("seq");
                fields.remove("report");
                fields.remove("held");
            }
            assert_eq!(told, fields, "{name}");
            for required in schema["required"].as_array().into_iter().flatten() {
                assert!(told.contains(required.as_str().unwrap()), "{name} requires {required}");
            }
            compared += 1;
        }
        assert!(compared > 20, "{compared}");
    }

    #[test]
    fn every_refusal_stands_at_its_status_and_every_operation_names_what_it_uses() {
        let document = document();
        let mut told = BTreeSet::new();
        for (status, response) in document["components"]["responses"].as_object().unwrap() {
            // By name: who makes a client of this has a type a status, not one an operation.
            let named = &response["content"]["application/json"]["schema"]["$ref"];
            let own = format!("#/components/schemas/Refused{status}");
            assert_eq!(named.as_str(), Some(&*own), "{status}");
            let schema = &document["components"]["schemas"][format!("Refused{status}")];
            for one in schema["properties"]["rejected"]["allOf"][1]["oneOf"].as_array().unwrap() {
                let constant = |field: &str| one["properties"][field]["const"].clone();
                let (code, name) = (constant("code"), constant("name"));
                told.insert((
                    status.clone(),
                    code.as_u64().unwrap(),
                    name.as_str().unwrap().to_owned(),
                ));
            }
        }
        let mut known: BTreeSet<_> = Rejection::ALL
            .iter()
            .map(|rejection| {
                let status = super::super::refusal::Refusal(*rejection).status().as_u16();
                (status.to_string(), u64::from(rejection.code()), rejection.name().to_owned())
            })
            .collect();
        // Of a path that is not there.
        known.insert(("404".into(), 101, "unknown_request".into()));
        // Of a body that is encoded.
        known.insert(("415".into(), 100, "malformed".into()));
        assert_eq!(told, known);
        for (endpoint, operation) in operations(&document) {
            for (status, response) in operation["responses"].as_object().unwrap() {
                // Those of tus and of ranges have a head of their own.
                let own = !status.starts_with('4') || ["412", "416"].contains(&&**status);
                let own = own && !status.starts_with('5');
                let named =
                    response["$ref"].as_str() == Some(&format!("#/components/responses/{status}"));
                assert!(own || named, "{endpoint}: {status}");
            }
            let asks = operation["security"].as_array().is_none_or(|list| !list.is_empty());
            assert!(
                !asks || operation["responses"]["401"].is_object(),
                "{endpoint} may be refused"
            );
        }
    }

    #[test]
    fn every_operation_stands_under_one_heading_that_is_told_of() {
        let document = document();
        let mut used = BTreeSet::new();
        for (endpoint, operation) in operations(&document) {
            let tags = operation["tags"].as_array().unwrap();
            assert_eq!(tags.len(), 1, "{endpoint}");
            used.insert(tags[0].as_str().unwrap().to_owned());
        }
        let told = document["tags"].as_array().unwrap().iter();
        assert_eq!(
            told.map(|tag| tag["name"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>(),
            used
        );
    }

    #[test]
    fn every_limit_is_the_one_that_is_enforced() {
        let document = document();
        let schemas = &document["components"]["schemas"];
        let table = [
            ("/RoomId/maximum", u64::from(id::ROOM_ID_MAX)),
            ("/Register/properties/name/minLength", limits::USERNAME_LEN_MIN as u64),
            ("/Register/properties/name/maxLength", limits::USERNAME_LEN_MAX as u64),
            // Characters, of which one is four bytes at most.
            ("/Register/properties/password/minLength", limits::PASSWORD_LEN_MIN as u64 / 4),
            ("/Register/properties/password/maxLength", limits::PASSWORD_LEN_MAX as u64),
            ("/CreateRoom/properties/name/maxLength", limits::ROOM_NAME_CHARS_MAX as u64),
            ("/Post/properties/body/maxLength", limits::BODY_LEN_MAX as u64),
            ("/Post/properties/origin_id/maxLength", limits::ORIGIN_ID_LEN_MAX as u64),
            ("/Post/properties/in_reply_to/maximum", id::SEQ_MAX),
            ("/Post/properties/mentioned/maxItems", limits::MENTIONS_MAX as u64),
            ("/Post/properties/attachments/maxItems", limits::ATTACHMENTS_MAX as u64),
            ("/Attachment/properties/name/maxLength", limits::FILE_NAME_LEN_MAX as u64),
            ("/Edit/properties/body/maxLength", limits::BODY_LEN_MAX as u64),
            ("/SetRoom/properties/name/maxLength", limits::ROOM_NAME_CHARS_MAX as u64),
            ("/SetRoom/properties/topic/maxLength", limits::TOPIC_LEN_MAX as u64),
            ("/SetRoom/properties/slow_seconds/maximum", u64::from(limits::SLOW_SECONDS_MAX)),
            ("/SetRoom/properties/delay_seconds/maximum", u64::from(limits::DELAY_SECONDS_MAX)),
            ("/CreateRoom/properties/slow_seconds/maximum", u64::from(limits::SLOW_SECONDS_MAX)),
            ("/CreateRoom/properties/delay_seconds/maximum", u64::from(limits::DELAY_SECONDS_MAX)),
            ("/CreateRoom/properties/keep_seconds/maximum", u64::from(limits::KEEP_SECONDS_MAX)),
            (
                "/SetRoomDefaults/properties/slow_seconds/maximum",
                u64::from(limits::SLOW_SECONDS_MAX),
            ),
            (
                "/SetRoomDefaults/properties/delay_seconds/maximum",
                u64::from(limits::DELAY_SECONDS_MAX),
            ),
            (
                "/SetRoomDefaults/properties/keep_seconds/maximum",
                u64::from(limits::KEEP_SECONDS_MAX),
            ),
            ("/HeldPosts/properties/posts/maxItems", limits::OVERSIGHT_LIST_MAX as u64),
            ("/Unheld/properties/seq/maximum", id::SEQ_MAX),
            ("/SetRoom/properties/keep_seconds/maximum", u64::from(limits::KEEP_SECONDS_MAX)),
            ("/Reaction/properties/reaction/maxLength", limits::REACTION_LEN_MAX as u64),
            ("/Message/properties/reactions/maxItems", limits::REACTIONS_MAX as u64),
            ("/Words/properties/list/maxItems", limits::FILTER_WORDS_MAX as u64),
            ("/Words/properties/list/items/maxLength", limits::FILTER_WORD_LEN_MAX as u64),
            ("/Report/properties/reason/maxLength", limits::REASON_LEN_MAX as u64),
            ("/SettleReport/properties/note/maxLength", limits::REASON_LEN_MAX as u64),
            ("/Reports/properties/reports/maxItems", limits::OVERSIGHT_LIST_MAX as u64),
            ("/Audit/properties/entries/maxItems", limits::OVERSIGHT_LIST_MAX as u64),
            ("/Blocked/properties/users/maxItems", limits::OVERSIGHT_LIST_MAX as u64),
            ("/Standings/properties/users/maxItems", limits::OVERSIGHT_LIST_MAX as u64),
            ("/InvitePeople/properties/uses/maximum", u64::from(limits::INVITATION_USES_MAX)),
            ("/InvitePeople/properties/hours/maximum", u64::from(limits::INVITATION_HOURS_MAX)),
            ("/MakeRoomLink/properties/uses/maximum", u64::from(limits::INVITATION_USES_MAX)),
            ("/MakeRoomLink/properties/hours/maximum", u64::from(limits::INVITATION_HOURS_MAX)),
            ("/RoomLinks/properties/links/maxItems", limits::ROOM_LINKS_MAX as u64),
            ("/Sessions/properties/sessions/maxItems", limits::SESSIONS_LISTED_MAX as u64),
            ("/Rooms/properties/rooms/maxItems", limits::ROOM_LIST_MAX as u64),
            ("/Found/properties/hits/maxItems", limits::SEARCH_HITS_MAX as u64),
            ("/Page/properties/events/maxItems", limits::PAGE_EVENTS_MAX as u64),
        ];
        for (pointer, limit) in table {
            assert_eq!(schemas.pointer(pointer).and_then(Value::as_u64), Some(limit), "{pointer}");
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn walk(value: &Value, document: &Value) {
            match value {
                Value::Object(map) => {
                    if let Some(Value::String(to)) = map.get("$ref") {
                        assert!(document.pointer(to.trim_start_matches('#')).is_some(), "{to}");
                    }
                    map.values().for_each(|value| walk(value, document));
                }
                Value::Array(list) => list.iter().for_each(|value| walk(value, document)),
                _ => {}
            }
        }
        walk(&document(), &document());
    }
}
