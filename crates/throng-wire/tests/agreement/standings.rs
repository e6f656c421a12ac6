//! Who stands how in a room, in both forms.

use proptest::prelude::*;
use throng_wire::native::v1;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;

use super::{any_user, text};

pub fn asked() -> impl Strategy<Value = Request> {
    (any::<u32>(), 0..=4, any::<u64>(), any::<u32>()).prop_map(|(room, what, after, limit)| {
        Request::ListStandings(v1::ListStandings { room, what, after, limit })
    })
}

pub fn outcome() -> impl Strategy<Value = Outcome> {
    let users = prop::collection::vec(any_user().prop_filter_map("one", |user| user), 0..4);
    (any::<u32>(), users, any::<bool>())
        .prop_map(|(room, users, more)| Outcome::Standings(v1::Standings { room, users, more }))
}

pub fn members() -> impl Strategy<Value = Outcome> {
    let flags = any::<[bool; 3]>();
    let member = (any_user(), 0..=4, flags, text()).prop_map(|(user, role, flags, avatar)| {
        let [here, muted, voiced] = flags;
        v1::Member { user, role, here, avatar, muted, voiced }
    });
    (any::<u32>(), any::<u64>(), prop::collection::vec(member, 0..4), any::<bool>()).prop_map(
        |(room, seq, members, more)| Outcome::Members(v1::MemberList { room, seq, members, more }),
    )
}

pub fn invited() -> impl Strategy<Value = v1::Invited> {
    (any::<u32>(), text(), any_user()).prop_map(|(room, name, by)| v1::Invited { room, name, by })
}
