//! The same scenario, larger or smaller: what a search for a server's capacity varies.
//!
//! Neighbours: `capacity` asks for it. Ramps keep their time: with twice the users they arrive
//! twice as fast.

use std::collections::BTreeSet;

use super::{Scenario, ScenarioError};

/// The most that a scenario is made larger by at once.
const TIMES_MAX: f64 = 10_000.0;

/// What grows when a scenario is scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Users who come and go, or send in a row.
    Users,
    /// Sends a second, by users who are there all the time.
    SendsPerSecond,
}

impl Scenario {
    /// What it is measured by, and how much of it there is as it stands.
    pub fn size(&self) -> (Measure, f64) {
        let lives: u32 = self.lives.iter().map(|life| life.count).max().unwrap_or_default();
        let rows: u32 = self.rows.iter().map(|row| row.count).max().unwrap_or_default();
        match lives.max(rows) {
            0 => {
                let of = |kind: &super::Rooms| f64::from(kind.count) * kind.sends_per_second;
                (Measure::SendsPerSecond, self.rooms.iter().map(of).sum())
            }
            users => (Measure::Users, f64::from(users)),
        }
    }

    /// The same with so much of what it is measured by. Arrivals take the same time in all, each
    /// life and row grows by the same factor, and rooms grow where they have one for each user.
    /// Whoever is not in a life or a row keeps his place behind them.
    pub fn scaled_to(&self, wanted: f64) -> Result<Self, ScenarioError> {
        let (measure, now) = self.size();
        let factor = wanted / now.max(f64::MIN_POSITIVE);
        let mut scaled = self.clone();
        if measure == Measure::SendsPerSecond {
            for kind in &mut scaled.rooms {
                kind.sends_per_second *= if kind.steady { 1.0 } else { factor };
            }
        } else {
            scaled.scale_users(factor);
        }
        scaled.check().map_err(|broken| broken.told("scaled", "", &[]))?;
        Ok(scaled)
    }

    /// The same at so many times its load: what `scaled_to` varies, and as many more who come back, join,
    /// leave and are put out.
    pub fn times(&self, times: f64) -> Result<Self, ScenarioError> {
        if !(times > 0.0 && times <= TIMES_MAX) {
            let why = format!("{times} is not above 0 and at most {TIMES_MAX}");
            return Err(ScenarioError::BadValue("--times".into(), why));
        }
        let mut scaled = self.scaled_to(self.size().1 * times)?;
        let (churn, changes) = (&mut scaled.churn, &mut scaled.changes);
        churn.reconnect = (churn.reconnect * times).min(1.0);
        churn.membership = (churn.membership * times).min(1.0);
        (changes.kicks, changes.bans) = (changes.kicks * times, changes.bans * times);
        scaled.check().map_err(|broken| broken.told("scaled", "", &[]))?;
        Ok(scaled)
    }

    fn scale_users(&mut self, factor: f64) {
        // Groups are moved apart by what those before them have grown.
        let old = self.clone();
        let grown = |count: u32| times(count, factor).max(1);
        let moved = |user: u32| {
            let mut seen = BTreeSet::new();
            let groups = old.lives.iter().map(|it| (it.first, it.count));
            let groups = groups.chain(old.rows.iter().map(|it| (it.first, it.count)));
            let before = groups.filter(|(first, count)| first + count <= user);
            let shift: i64 = before
                .filter(|group| seen.insert(*group))
                .map(|(_, count)| i64::from(grown(count)) - i64::from(count))
                .sum();
            (i64::from(user) + shift).max(0) as u32
        };
        for life in &mut self.lives {
            let ratio = f64::from(life.count) / f64::from(grown(life.count));
            (life.first, life.count) = (moved(life.first), grown(life.count));
            life.arrive_every_seconds *= ratio;
        }
        for kind in &mut self.rooms {
            let own = old.rows.iter().any(|row| row.rooms == kind.name && row.count == kind.count);
            kind.count = if own { grown(kind.count) } else { kind.count };
            kind.first = moved(kind.first);
        }
        for row in &mut self.rows {
            (row.first, row.count) = (moved(row.first), grown(row.count));
        }
        self.users.count = moved(self.users.count);
    }
}

fn times(count: u32, factor: f64) -> u32 {
    (f64::from(count) * factor).round() as u32
}
