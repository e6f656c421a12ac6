//! Which rooms there are and who is in them when the load begins: one big, many small, pairs, sizes
//! by Zipf's law, or rooms that users of a life are drawn into.
//!
//! Neighbours: `mod` follows membership from here on; the runner makes the rooms.

use rand::RngExt;

use super::{some_of, stream};
use crate::scenario::{Life, Rooms, Scenario};

/// A room that has grown small by Zipf's law is a pair.
const ZIPF_LEAST: f64 = 2.0;

/// A room as planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRoom {
    /// Of which kind, in the scenario's order.
    pub kind: usize,
    /// What it is called, before the run's own suffix.
    pub name: String,
    /// Of two, made by writing to the other.
    pub direct: bool,
    /// Who is in it at the beginning; the first makes it.
    pub members: Vec<u32>,
}

/// All rooms with those who are in them at the beginning.
pub fn rooms(scenario: &Scenario) -> Vec<PlannedRoom> {
    let mut rooms = Vec::new();
    for (of, kind) in scenario.rooms.iter().enumerate() {
        for number in 0..kind.count {
            let members = members(scenario, of, kind, number);
            let name = format!("{}-{number}", kind.name);
            rooms.push(PlannedRoom { kind: of, name, direct: kind.direct, members });
        }
    }
    for (number, life) in scenario.lives.iter().enumerate() {
        draw_members(scenario, number, life, &mut rooms);
    }
    // A room is made by somebody: where nobody is in it, by the first who lives there.
    for room in rooms.iter_mut().filter(|room| room.members.is_empty()) {
        let kind = &scenario.rooms[room.kind].name;
        let life = scenario.lives.iter().find(|life| life.rooms == *kind);
        room.members.push(life.map_or(0, |life| life.first));
    }
    rooms
}

fn members(scenario: &Scenario, of: usize, kind: &Rooms, number: u32) -> Vec<u32> {
    let users = scenario.users.count;
    if let Some(power) = kind.zipf {
        let size = f64::from(kind.members) / f64::from(number + 1).powf(power);
        let size = size.round().max(ZIPF_LEAST) as u32;
        let everybody: Vec<u32> = (0..users).collect();
        let mut chance = stream(scenario.seed, 7 << 32 | (of as u64) << 24 | u64::from(number));
        return some_of(&everybody, size, &mut chance);
    }
    let first = u64::from(kind.first) + u64::from(number) * u64::from(kind.members);
    (0..u64::from(kind.members)).map(|i| ((first + i) % u64::from(users)) as u32).collect()
}

/// Those who are members before they come are in rooms of their life's kind, drawn for each.
fn draw_members(scenario: &Scenario, number: usize, life: &Life, rooms: &mut [PlannedRoom]) {
    let [least, most] = life.member_of;
    let is_kind = |room: &PlannedRoom| scenario.rooms[room.kind].name == life.rooms;
    let of_kind: Vec<u32> =
        (0..rooms.len() as u32).filter(|at| is_kind(&rooms[*at as usize])).collect();
    let mut chance = stream(scenario.seed, 6 << 32 | number as u64);
    for user in life.first..life.first + life.count {
        let count = chance.random_range(least..=most);
        for room in some_of(&of_kind, count, &mut chance) {
            let members = &mut rooms[room as usize].members;
            if !members.contains(&user) {
                members.push(user);
            }
        }
    }
}
