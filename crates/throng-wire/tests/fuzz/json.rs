//! What can be read as JSON is written and read again as the same; what cannot is refused in few
//! words.

use throng_wire::native::json;

const SEEDS: [&[u8]; 12] = [
    br#"{"id":1,"register":{"name":"ada","password":"correct horse"}}"#,
    br#"{"id":2,"list_rooms":{"after":0,"limit":10,"mine":true}}"#,
    br#"{"id":7,"post":{"room":1,"body":"hi \u00e9 \ud83e\udd80","origin_id":"a-1","ack":"accepted"}}"#,
    br#"{"id":8,"history":{"room":1,"before":50,"after":2,"limit":10}}"#,
    br#"{"id":8,"search":{"query":"\"a b\" c* -d","room":1,"sender":2,"since":3,"until":4,"newest":true,"skip":5,"limit":6}}"#,
    br#"{"reply":{"re":8,"found":{"hits":[{"event":{"room":1,"seq":1},"pieces":[{"text":"x","matched":true}]}],"total":1,"more":true,"next":1,"behind":true}}}"#,
    br#"{"id":9,"subscribe":{"room":1,"from":{"epoch":4,"seq":9}}}"#,
    br#"{"welcome":{"server":"throng 0.1.0","epoch":4,"limits":{"frame_bytes":65536}}}"#,
    br#"{"reply":{"re":7,"posted":{"room":1,"seq":5,"n":4,"at":99,"repeat":false,"ack":"durable"}}}"#,
    br#"{"reply":{"re":8,"page":{"room":1,"events":[{"room":1,"seq":1,"created":{"name":"x"}}],"more":true}}}"#,
    br#"{"event":{"room":1,"seq":5,"prev":4,"at":99,"message":{"n":4,"from":{"id":2,"name":"ada"},"body":"hi"}}}"#,
    br#"{"goodbye":{"code":1012,"reason":"shutdown","reconnect":true,"retry_after_ms":500}}"#,
];

#[test]
fn fuzz() {
    bolero::check!().for_each(|input: &[u8]| {
        for bytes in super::tries(input, &SEEDS) {
            match json::decode_client(&bytes) {
                Ok(frame) => {
                    let mut again = Vec::new();
                    json::encode_client(&frame, &mut again);
                    assert_eq!(json::decode_client(&again), Ok(frame));
                }
                Err(error) => assert!(error.what.len() < 100, "{error}"),
            }
            if let Ok(frame) = json::decode_server(&bytes) {
                let mut again = Vec::new();
                json::encode_server(&frame, &mut again);
                assert_eq!(json::decode_server(&again), Ok(frame));
            }
        }
    });
}
