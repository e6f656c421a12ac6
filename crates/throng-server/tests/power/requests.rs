//! What clients ask of the server without sockets, drawn from a seed.
//!
//! Neighbours: `workload` answers it and `cuts` and `faults` send it. It knows what was promised, so that it can
//! be asked for again, edited and taken away; it never looks at what came of it.

use rand::RngExt;
use rand::rngs::SmallRng;
use throng_core::{
    Act, Author, Avatar, Body, Command, Event, EventKind, Extras, FileHash, Kind, OriginId,
    Reaction, Request, Role, RoomId, RoomName, Settings, Topic, UserId, Username, Visibility,
    Words,
};

use super::workload::{ROOMS, SHARDS, Truth};

const USERS: u64 = 4;

pub fn author(number: u64) -> Author {
    let name = Username::parse(&format!("user{number}")).unwrap();
    Author { id: UserId::new(number).unwrap(), name }
}

pub fn create(shard: u32, chance: &mut SmallRng) -> Request {
    let number = chance.random_range(0..ROOMS / SHARDS) * SHARDS + shard;
    let room = RoomId::new(if number == 0 { SHARDS } else { number }).unwrap();
    let name = RoomName::parse(&format!("room {room}")).unwrap();
    let kind = if chance.random_ratio(1, 8) { Kind::Private } else { Kind::Public };
    let settings = chance.random_ratio(1, 2).then(|| Box::new(settings(chance)));
    let command = Command::Create { room, name, kind, settings };
    Request { from: author(chance.random_range(1..=USERS)), command }
}

/// What some clients ask of one shard at the same time.
pub fn batch(shard: u32, truth: &Truth, chance: &mut SmallRng) -> Vec<Request> {
    let count = if chance.random_ratio(1, 8) { 30 } else { chance.random_range(1..6) };
    (0..count).map(|_| request(shard, truth, chance)).collect()
}

fn request(shard: u32, truth: &Truth, chance: &mut SmallRng) -> Request {
    let created = create(shard, chance);
    let room = created.command.room();
    let from = author(chance.random_range(1..=USERS));
    let command = match chance.random_range(0..20) {
        0..2 => return created,
        2..5 => Command::Join { room },
        5 => match chance.random_range(0..3) {
            0 => Command::Leave { room },
            1 => Command::Moderate {
                room,
                act: act(chance),
                who: author(chance.random_range(1..=USERS)),
            },
            _ => Command::Set { room, settings: Box::new(settings(chance)) },
        },
        6 if chance.random_ratio(1, 2) => match truth.any_post(shard, chance) {
            Some(post) => return touch(&post, chance),
            None => Command::Join { room },
        },
        6 => match truth.any_post(shard, chance) {
            Some(post) => return repeat(&post),
            None => Command::Join { room },
        },
        7..10 => match truth.tried_again(shard) {
            Some(request) => return request,
            None => Command::Join { room },
        },
        _ => {
            let len = [0, 20, 200, 5_000][chance.random_range(0..4)];
            let body = format!("{:x}{}", chance.random::<u128>(), "x".repeat(len));
            let origin_id = chance
                .random_ratio(3, 4)
                .then(|| OriginId::parse(format!("{:x}", chance.random::<u128>())).unwrap());
            let body = Body::parse(body).unwrap();
            let reply_to = u64::from(chance.random_ratio(1, 4));
            let extras = Extras::parse(reply_to, &[1, 2]).unwrap();
            Command::Post { room, origin_id, body, extras }
        }
    };
    Request { from, command }
}

fn repeat(post: &Event) -> Request {
    let EventKind::Posted { author, origin_id, body, .. } = &post.kind else {
        panic!("{post:?} is no post")
    };
    let (room, origin_id, body) = (post.room, origin_id.clone(), body.clone());
    let command = Command::Post { room, origin_id, body, extras: None };
    Request { from: author.clone(), command }
}

/// An edit, a deletion, a reaction or a pin of a message, by its sender.
fn touch(post: &Event, chance: &mut SmallRng) -> Request {
    let EventKind::Posted { author, .. } = &post.kind else { panic!("{post:?} is no post") };
    let (room, of) = (post.room, post.seq);
    let command = match chance.random_range(0..8) {
        0..2 => Command::Delete { room, of },
        2..5 => {
            let body = Body::parse(format!("edited {:x}", chance.random::<u64>())).unwrap();
            Command::Edit { room, of, body }
        }
        5 => Command::Pin { room, of, on: chance.random_ratio(2, 3) },
        _ => {
            let reaction = Reaction::parse(["+1", "tea"][chance.random_range(0..2)]).unwrap();
            Command::React { room, of, reaction, on: chance.random_ratio(2, 3) }
        }
    };
    Request { from: author.clone(), command }
}

fn act(chance: &mut SmallRng) -> Act {
    let role = Role::ALL[chance.random_range(0..4)];
    let acts = [
        Act::Kick,
        Act::Ban,
        Act::Unban,
        Act::Mute,
        Act::Unmute,
        Act::Voice,
        Act::Invite,
        Act::DeleteAll,
    ];
    acts.get(chance.random_range(0..10)).copied().unwrap_or(Act::SetRole(role))
}

fn settings(chance: &mut SmallRng) -> Settings {
    let text = format!("{:x}", chance.random::<u32>());
    let (name, topic) = (RoomName::parse(&text).ok(), Topic::parse(&text).ok());
    let history = Some([Visibility::Members, Visibility::Joining][chance.random_range(0..2)]);
    let word = vec![format!("word{}*", chance.random_range(0..9))];
    let words = chance.random_bool(0.3).then(|| Words::parse(word).unwrap());
    let avatar = chance.random_bool(0.3).then(|| Avatar(Some(FileHash([chance.random(); 32]))));
    Settings { name, topic, history, words, avatar, ..Settings::default() }
}
