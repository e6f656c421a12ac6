//! Who can tell what other programs take of this machine while a run lasts, and who cannot.
//!
//! Neighbours: `monitor::others` looks at the cores, the runner knows the run's own CPU, `summary` judges. A server
//! that runs already and is on this machine too is another program like any, unless `--monitor` names it: then
//! nothing is told, for the greater part of it would be the server.

use std::net::SocketAddr;
use std::time::Duration;

use super::RunArgs;
use crate::monitor::others::{Others, is_here};
use crate::scenario::Scenario;
use crate::summary::{OtherPrograms, Summary};
use crate::witness::OthersSeen;

/// What a run may say of other programs.
#[derive(Debug)]
pub(super) struct Alone {
    /// Or why it says nothing.
    others: Result<Others, &'static str>,
    monitors: bool,
    unseen: Vec<String>,
}

const NOT_NAMED: &str = "the server runs on this machine and was not started by this run; --monitor server=PID \
                         tells it from others";
const NOT_TOLD: &str = "this system does not tell how busy its cores are";

impl Alone {
    /// Of a run whose server is at this address, and is this process where that is known.
    pub(super) fn of(args: &RunArgs, server: SocketAddr, pid: Option<u32>) -> Self {
        let here = pid.is_some() || is_here(server.ip());
        let monitors = !args.monitor.is_empty();
        let pids: Vec<u32> = pid.into_iter().chain(args.monitor.iter().map(|it| it.pid)).collect();
        let others = if here && pids.is_empty() {
            Err(NOT_NAMED)
        } else {
            Others::beside(&pids).ok_or(NOT_TOLD)
        };
        let mut unseen = Vec::new();
        if !here {
            unseen.push("the server's machine".to_owned());
        }
        let far = args.agents.iter().filter(|it| !is_here(it.address.ip()));
        unseen.extend(far.map(|it| format!("the machine of the agent at {}", it.address)));
        Self { others, monitors, unseen }
    }

    /// As the runner asks each second.
    pub(super) fn since_last(&mut self, own: Duration) -> Option<f64> {
        self.others.as_mut().ok()?.since_last(own)
    }

    /// Puts it into the summary, which judges it.
    pub(super) fn judge(self, scenario: &Scenario, seen: &OthersSeen, summary: &mut Summary) {
        let told = match self.others {
            Ok(others) => OtherPrograms::of(others.cores(), self.monitors, seen),
            Err(why) => OtherPrograms::unmeasured(why),
        };
        let told = OtherPrograms { unseen: self.unseen, ..told };
        summary.had_beside(told, &scenario.self_check);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::AgentAt;
    use crate::monitor::trees::TreeAt;

    fn told(args: &RunArgs, server: &str, pid: Option<u32>) -> (Option<&'static str>, Vec<String>) {
        let alone = Alone::of(args, server.parse().unwrap(), pid);
        (alone.others.err(), alone.unseen)
    }

    #[test]
    fn a_server_that_nobody_names_is_not_taken_for_another_program() {
        let args = RunArgs::default();
        let own = Some(std::process::id());
        assert_eq!(told(&args, "127.0.0.1:1", own), (None, Vec::new()));
        assert_eq!(told(&args, "127.0.0.1:1", None), (Some(NOT_NAMED), Vec::new()));
        let tree = TreeAt { name: "server".into(), pid: std::process::id() };
        let named = RunArgs { monitor: vec![tree], ..RunArgs::default() };
        assert_eq!(told(&named, "127.0.0.1:1", None), (None, Vec::new()));
    }

    #[test]
    fn machines_that_are_not_this_one_are_said_not_to_be_looked_at() {
        let agent = |address: &str| AgentAt { address: address.parse().unwrap(), key: Vec::new() };
        let agents = vec![agent("127.0.0.1:9100"), agent("192.0.2.1:9100")];
        let args = RunArgs { agents, ..RunArgs::default() };
        let (why, unseen) = told(&args, "192.0.2.7:80", None);
        assert_eq!(why, None, "the server is elsewhere, so all but the lab is others");
        assert_eq!(unseen, ["the server's machine", "the machine of the agent at 192.0.2.1:9100"]);
    }
}
