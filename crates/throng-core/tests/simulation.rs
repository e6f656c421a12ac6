//! A whole chat in one thread, from a seed: shard, hub, a log that fails, a server that crashes,
//! connections that break with frames under way, readers that are cut off, clients that come back,
//! resume and try again. When all is healed everybody has seen the same, and what was acked is there.

mod client;
mod server;

use rand::RngExt;
use rand::rngs::StdRng;
use throng_core::{EventKind, Limits, Seq};

use crate::histories::room;
use crate::seeds;
use client::Client;
use server::Server;

const CLIENTS: u64 = 6;
const ROOMS: u32 = 3;

#[test]
fn after_healing_everybody_has_seen_the_same_and_all_that_was_acked() {
    seeds::each("after_healing_everybody_has_seen_the_same", 150, |rng| {
        let mut chat = Chat::new(rng);
        for _ in 0..rng.random_range(50..400) {
            chat.step(rng);
        }
        chat.heal(rng);
        chat.check();
    });
}

struct Chat {
    server: Server,
    clients: Vec<Client>,
}

impl Chat {
    fn new(rng: &mut StdRng) -> Self {
        let limits = Limits {
            pushed_members_max: rng.random_range(0..=CLIENTS as usize),
            outbox_frames_max: rng.random_range(4..40),
            ..Limits::default()
        };
        let mut server = Server::new(rng.random(), limits);
        for number in 1..=ROOMS {
            server.make_room(number);
        }
        Self { server, clients: (1..=CLIENTS).map(Client::new).collect() }
    }

    fn step(&mut self, rng: &mut StdRng) {
        let index = rng.random_range(0..self.clients.len());
        let client = &mut self.clients[index];
        match rng.random_range(0..100) {
            0..3 => client.vanish(&mut self.server, rng),
            3 => self.server.crash(rng),
            4..30 => client.act(&mut self.server, rng),
            30..60 => client.read(&mut self.server, 1),
            60..70 => client.connect(&mut self.server),
            _ => self.server.turn(rng, 0.15),
        }
    }

    /// Nothing fails any more; everybody comes back and goes on trying until all is answered.
    fn heal(&mut self, rng: &mut StdRng) {
        for _ in 0..1_000 {
            for client in &mut self.clients {
                client.connect(&mut self.server);
                client.retry(&mut self.server);
                client.read(&mut self.server, usize::MAX);
            }
            self.server.turn(rng, 0.0);
            if self.clients.iter().all(|client| client.is_settled(&self.server)) {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    fn check(&self) {
        for client in &self.clients {
            for number in 1..=ROOMS {
                let history = self.server.history(room(number));
                client.check(number, &history);
            }
        }
        for number in 1..=ROOMS {
            let mut seq = Seq::ZERO;
            let mut ids = std::collections::BTreeSet::new();
            for event in self.server.history(room(number)) {
                assert_eq!(event.seq, seq.next(), "history is dense");
                seq = event.seq;
                if let EventKind::Posted { author, origin_id, .. } = &event.kind {
                    let id =
                        (author.id, origin_id.as_ref().expect("all have one").as_str().to_owned());
                    assert!(ids.insert(id), "one message, one copy");
                }
            }
        }
    }
}
