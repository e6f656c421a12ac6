//! Posts and where their time went, in both forms.

use proptest::prelude::*;
use throng_wire::native::v1;

use super::text;

pub fn any_post() -> impl Strategy<Value = v1::Post> {
    let mentioned = prop::collection::vec(any::<u64>(), 0..4);
    let attachments = prop::collection::vec(text(), 0..3);
    let flags = (0..=1, any::<bool>());
    (any::<u32>(), text(), text(), flags, any::<u64>(), mentioned, attachments).prop_map(
        |(room, body, origin_id, (ack, trace), in_reply_to, mentioned, attachments)| v1::Post {
            room,
            body,
            origin_id,
            ack,
            in_reply_to,
            mentioned,
            trace,
            attachments,
        },
    )
}

pub fn any_trace() -> impl Strategy<Value = Option<v1::Trace>> {
    any::<Option<[u32; 6]>>().prop_map(|micros| {
        micros.map(|[decode, authorize, queue, decide, commit, fanout]| v1::Trace {
            decode,
            authorize,
            queue,
            decide,
            commit,
            fanout,
        })
    })
}
