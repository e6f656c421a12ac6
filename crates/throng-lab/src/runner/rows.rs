//! Rows: each client connects, sends its messages one after the other's ack, and goes. A closed
//! model: how fast it goes is the server's doing.
//!
//! Neighbours: the runner starts clients as others finish; `crowd` tells of acks. `run` writes
//! `analysis.csv` of what comes out.

use std::collections::VecDeque;

use serde::Serialize;

use super::Runner;
use super::crowd::Crowd;
use super::user::{InRow, Link};
use crate::clock::{self, Nanos};
use crate::engine::Sockets;
use crate::scenario::{Login, Order, Row, Scenario};

/// One client of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RowClient {
    /// Counted from 1.
    pub client_id: u32,
    /// How many it sent.
    pub messages: u32,
    /// How long the kernel took to make its connection, microseconds.
    pub connect_us: u32,
    /// The median of its round trips, microseconds.
    pub median_rtt_us: u32,
    /// The row.
    pub phase: String,
}

/// The rows of a run.
#[derive(Debug)]
pub struct Rows {
    /// To come, the row under way first.
    to_come: VecDeque<Row>,
    /// Clients of the row under way that have not begun: user, room, messages.
    waiting: VecDeque<(u32, u32, u32)>,
    in_flight: u32,
    begun: bool,
    planned: bool,
    clients: Vec<RowClient>,
    kinds: Vec<(String, u32)>,
}

impl Rows {
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            to_come: scenario.rows.iter().cloned().collect(),
            waiting: VecDeque::new(),
            in_flight: 0,
            begun: false,
            planned: !scenario.rows.is_empty(),
            clients: Vec::new(),
            kinds: scenario.rooms.iter().map(|it| (it.name.clone(), it.count)).collect(),
        }
    }

    /// There were some, and all are finished.
    pub fn are_over(&self) -> bool {
        self.planned && self.to_come.is_empty()
    }

    pub fn into_clients(self) -> Vec<RowClient> {
        self.clients
    }

    fn begin(&mut self) {
        let Some(row) = self.to_come.front() else { return };
        let mut first_room = 0;
        let mut count = 1;
        for (name, rooms) in &self.kinds {
            if *name == row.rooms {
                count = *rooms;
                break;
            }
            first_room += rooms;
        }
        let client =
            |place: u32| (row.first + place, first_room + place % count, row.messages(place));
        self.waiting = match row.order {
            Order::Rising => (0..row.count).map(client).collect(),
            Order::Falling => (0..row.count).rev().map(client).collect(),
        };
        self.begun = true;
    }
}

impl Runner<'_> {
    /// Takes leave of clients that are finished, and lets others begin in their place.
    pub fn go_on_with_rows(&mut self, sockets: &mut Sockets, now: Nanos) {
        if self.rows.to_come.is_empty() {
            return;
        }
        if !self.rows.begun {
            self.rows.begin();
            let name = self.rows.to_come[0].name.clone();
            self.name_phase(&name, sockets, now);
        }
        while let Some(user) = self.crowd.rows_done.pop_front() {
            self.rows.in_flight -= 1;
            self.enter_client(user);
            self.depart(user, sockets, now);
        }
        let most = self.rows.to_come[0].in_flight_max;
        while self.rows.in_flight < most
            && let Some((user, room, messages)) = self.rows.waiting.front().copied()
        {
            // Its last visit may not be over yet.
            if self.crowd.users[user as usize].link != Link::Away {
                break;
            }
            self.rows.waiting.pop_front();
            self.rows.in_flight += 1;
            self.crowd.begin_row(user, room, messages);
            self.arrive(user, Login::Token, now, sockets);
        }
        if self.rows.in_flight == 0 && self.rows.waiting.is_empty() {
            self.rows.to_come.pop_front();
            self.rows.begun = false;
        }
    }

    /// The time is over before the rows are.
    pub fn stop_rows(&mut self) {
        let Some(row) = self.rows.to_come.front() else { return };
        let (name, seconds) = (&row.name, self.scenario.seconds);
        let left = self.rows.in_flight as usize + self.rows.waiting.len();
        let why = format!("row {name}: {left} clients were not finished after {seconds} s");
        self.incomplete.get_or_insert(why);
        for user in &mut self.crowd.users {
            user.row = None;
        }
        self.rows.to_come.clear();
    }

    fn enter_client(&mut self, user: u32) {
        let Some(mut it) = self.crowd.users[user as usize].row.take() else { return };
        it.round_trips.sort_unstable();
        let middle = it.round_trips.len() / 2;
        let median = match it.round_trips[..] {
            [] => 0,
            ref trips if trips.len() % 2 == 1 => trips[middle],
            ref trips => trips[middle - 1].midpoint(trips[middle]),
        };
        let row = &self.rows.to_come[0];
        self.rows.clients.push(RowClient {
            client_id: user - row.first + 1,
            messages: it.total,
            connect_us: it.connect_us,
            median_rtt_us: median,
            phase: row.name.clone(),
        });
    }
}

impl Crowd {
    /// The user will send so many as soon as it is there.
    pub fn begin_row(&mut self, user: u32, room: u32, messages: u32) {
        self.users[user as usize].row = Some(Box::new(InRow {
            room,
            total: messages,
            left: messages,
            sent_at: Nanos(0),
            round_trips: Vec::with_capacity(messages as usize),
            connect_us: 0,
        }));
    }

    /// The ack of its last send has come, or it has just arrived: the next one.
    pub fn row_acked(&mut self, user: u32, sockets: &mut Sockets, now: Nanos) {
        let it = &mut self.users[user as usize];
        let connect_us = it.connect_us;
        let Some(row) = &mut it.row else { return };
        if row.sent_at == Nanos(0) {
            row.connect_us = connect_us;
        } else {
            let took = now.since(row.sent_at).as_micros();
            row.round_trips.push(took.min(u128::from(u32::MAX)) as u32);
        }
        if row.left == 0 {
            self.rows_done.push_back(user);
            return;
        }
        row.left -= 1;
        let sent_at = clock::now();
        row.sent_at = sent_at;
        let (room, bytes) = (row.room, self.row_bytes);
        self.recorder.followed();
        let meant = self.recent.meant(room);
        let todo = self.new_send(meant, user, room, bytes, sent_at);
        self.doing(user, todo, sockets);
    }
}
