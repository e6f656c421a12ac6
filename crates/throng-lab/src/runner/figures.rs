//! What is counted while load is offered: a sample a second, cut where a phase begins.
//!
//! Neighbours: the runner calls it at its moments; `recorder` has the latencies, the watch the
//! server's process. Nothing here changes what is done.

use std::net::SocketAddr;
use std::time::Duration;

use super::user::{Link, User};
use super::{Phase, Runner, Wake};
use crate::clock::{self, Nanos};
use crate::engine::{self, Sockets};
use crate::recorder::{Percentiles, Sample};
use crate::traces::Traces;

/// A piece of a second that is too short to say anything goes with the next.
const SLIVER: Duration = Duration::from_millis(10);

/// One look in so many goes through all users.
const BACKLOG_LOOKS: u64 = 10;

/// An agent, when the run was over.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentSaid {
    /// Where it listens.
    pub address: SocketAddr,
    /// How far its clock is ahead of ours, and by how much that can be wrong, and has moved.
    pub clock_ms: [f64; 3],
    /// Most of one core that it used in a second of the load.
    pub cpu_share_max: f64,
    /// How much longer than the quickest its answers were under way, of what it was asked while load was offered.
    pub lag: Percentiles,
}

impl AgentSaid {
    /// Of its link.
    pub fn of(link: &engine::Link) -> Self {
        let error = link.skew.error().as_secs_f64() * 1e3;
        Self {
            address: link.address,
            clock_ms: [link.skew.ahead_ms(), error, link.skew.drift_ms()],
            cpu_share_max: link.cpu_share_max,
            lag: link.lag.percentiles(),
        }
    }
}

/// What was counted so far.
#[derive(Debug, Default)]
pub struct Figures {
    pub samples: Vec<Sample>,
    pub load: Duration,
    pub load_deliveries: u64,
    pub load_sends: u64,
    pub dropped: u64,
    pub server_at_start: Option<Duration>,
    pub server_cpu: Option<Duration>,
    pub server_before: Option<Duration>,
    pub rss_max: u64,
    pub own_at_start: Duration,
    pub own_cpu: Duration,
    pub own_before: Duration,
    pub abusers_before: Duration,
    pub second_begun: Nanos,
    /// Whole seconds of the load that are over.
    pub seconds_over: u64,
    pub phase: String,
    pub overflows_before: u64,
    /// Refusals and farewells until then.
    pub trouble_before: [u64; 2],
    /// Sends on their way, added up over `looks` looks.
    pub in_flight: u64,
    pub looks: u64,
    /// The most that waited in the generator at one look.
    pub backlog: u64,
}

impl Runner<'_> {
    pub fn begin_load(&mut self, sockets: &Sockets, now: Nanos) {
        self.enter(Phase::Load, now);
        self.begun = now;
        self.crowd.recorder = self.crowd.recorder.afresh();
        self.crowd.recorder.traces = Traces::begun(now);
        let figures = &mut self.figures;
        figures.server_at_start = self.watch.server().map(|(cpu, _)| cpu);
        figures.server_before = figures.server_at_start;
        figures.second_begun = now;
        (figures.own_at_start, figures.own_before) = (clock::thread_cpu(), clock::thread_cpu());
        self.watch.steal();
        let own = self.own_programs(sockets);
        self.watch.others(own);
        self.watch.load_begins();
        self.wake(now.plus(Duration::from_secs(1)), Wake::Second);
        self.wake(now.plus(self.ends), Wake::Ends);
        self.figures.overflows_before = self.watch.listen_overflows();
        let mut begins = 0.0;
        for number in 0..self.scenario.phases.len() as u32 {
            let at = now.plus(Duration::from_secs_f64(begins));
            self.wake(at, Wake::Phase(number));
            begins += self.scenario.phases[number as usize].seconds;
        }
    }

    /// What was counted until now belongs to the phase before.
    pub fn begin_phase(&mut self, number: u32, sockets: &Sockets, now: Nanos) {
        self.name_phase(&self.scenario.phases[number as usize].name.clone(), sockets, now);
    }

    /// A phase of this name begins.
    pub fn name_phase(&mut self, name: &str, sockets: &Sockets, now: Nanos) {
        if now > self.figures.second_begun.plus(SLIVER) {
            self.end_second(sockets, now);
        }
        name.clone_into(&mut self.figures.phase);
        self.crowd.recorder.begin_phase(name, now.since(self.begun).as_secs_f64());
    }

    /// The generator's own backlog and what is on its way, looked at again and again: an average
    /// over the second that no latency went into.
    pub fn look_at_flight(&mut self) {
        let figures = &mut self.figures;
        figures.looks += 1;
        figures.in_flight += self.crowd.ledger.open();
        self.crowd.look_into_generator();
        // All users are a long way for a look; this one may be rarer.
        if figures.looks % BACKLOG_LOOKS == 1 {
            let waits = |it: &User| it.backlog.len() + it.driver.waiting();
            let backlog: usize = self.crowd.users.iter().map(waits).sum();
            figures.backlog = figures.backlog.max(backlog as u64);
        }
    }

    pub fn end_second(&mut self, sockets: &Sockets, now: Nanos) {
        if self.phase != Phase::Load {
            return;
        }
        let mut sample = self.crowd.recorder.end_second();
        let figures = &mut self.figures;
        sample.at = figures.second_begun.since(self.begun).as_secs_f64();
        sample.second = sample.at as u64;
        sample.seconds = now.since(figures.second_begun).as_secs_f64();
        sample.phase.clone_from(&figures.phase);
        sample.in_flight = figures.in_flight as f64 / figures.looks.max(1) as f64;
        sample.backlog = figures.backlog;
        (figures.in_flight, figures.looks, figures.backlog) = (0, 0, 0);
        figures.second_begun = now;
        let overflows = self.watch.listen_overflows();
        sample.listen_overflows = overflows - figures.overflows_before.min(overflows);
        figures.overflows_before = overflows;
        let trouble = [&self.crowd.refusals, &self.crowd.farewells].map(|it| it.values().sum());
        let before = std::mem::replace(&mut figures.trouble_before, trouble);
        [sample.refusals, sample.farewells] =
            [0, 1].map(|at| trouble[at] - before[at].min(trouble[at]));
        let present = |it: &&User| it.link == Link::Up && it.row.is_none();
        sample.users = self.crowd.users.iter().filter(present).count() as u64;
        figures.load_deliveries += sample.deliveries;
        figures.load_sends += sample.sent;
        sample.connections = sockets.len() as u64;
        let own = clock::thread_cpu();
        // The busiest of us: each of the others has a thread of its own too.
        let others = sockets.links().iter().map(|link| link.cpu_share * sample.seconds);
        let ours = own.saturating_sub(figures.own_before).as_secs_f64();
        sample.generator_cpu = others.fold(ours, f64::max);
        figures.own_before = own;
        sample.abusers_cpu = self.watch.abusers().map(|cpu| {
            let before = std::mem::replace(&mut figures.abusers_before, cpu);
            cpu.saturating_sub(before).as_secs_f64()
        });
        sample.steal = self.watch.steal();
        if let Some((cpu, rss)) = self.watch.server() {
            let before = figures.server_before.replace(cpu).unwrap_or(cpu);
            sample.server_cpu = cpu.saturating_sub(before).as_secs_f64();
            sample.server_rss_bytes = rss;
            sample.kernel_bytes = self.watch.kernel_bytes();
            figures.rss_max = figures.rss_max.max(rss);
        }
        let own = self.own_programs(sockets);
        sample.beside_cpu = self.watch.others(own);
        (self.tell)(&sample);
        self.figures.samples.push(sample);
    }

    /// CPU so far of all that is the run's own on this machine: this process with all its threads, the server as
    /// it was last seen, agents as they last said.
    fn own_programs(&self, sockets: &Sockets) -> Duration {
        let agents: Duration = sockets.links().iter().filter(|it| it.here).map(|it| it.cpu).sum();
        clock::own_cpu() + self.figures.server_before.unwrap_or_default() + agents
    }

    pub fn end_load(&mut self, sockets: &Sockets, now: Nanos) {
        self.end_second(sockets, now);
        let figures = &mut self.figures;
        figures.load = now.since(self.begun);
        figures.own_cpu = clock::thread_cpu().saturating_sub(figures.own_at_start);
        // Of one that has ended, what it had taken by the last second.
        let cpu = self.watch.server().map(|(cpu, _)| cpu).or(figures.server_before);
        figures.server_cpu =
            figures.server_at_start.and_then(|start| Some(cpu?.saturating_sub(start)));
        self.enter(Phase::Draining, now);
    }
}
