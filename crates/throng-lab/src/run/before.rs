//! What is looked at before anything is started: whether this machine has open files and ports enough for
//! the generator, and whether the arguments name all that the scenario needs.
//!
//! Neighbours: `run` asks; `monitor::allowed` knows the machine's limits. A machine that cannot hold the
//! scenario's users is a generator that was the bottleneck before it began: that is a result.

use super::{LabError, RunArgs};
use crate::drivers::Dress;
use crate::monitor::allowed;
use crate::scenario::Scenario;

/// Descriptors beside the users' sockets.
const FILES_BESIDE: u64 = 100;

/// Why this machine cannot hold the generator's sockets; empty where it can.
pub(super) fn lacking(args: &RunArgs, scenario: &Scenario) -> Vec<String> {
    let [plain, raw] = connections(args, scenario);
    let said =
        [allowed::sockets(plain + raw + FILES_BESIDE), allowed::ports(plain), allowed::ports(raw)];
    said.into_iter().filter_map(Result::err).collect()
}

/// Connections from here to the server's one port and to its raw one.
fn connections(args: &RunArgs, scenario: &Scenario) -> [u64; 2] {
    if !args.agents.is_empty() {
        // Agents hold all but those who mean ill, and an agent says itself what it cannot hold.
        return [u64::from(scenario.abusers_count()), 0];
    }
    let dresses = &scenario.users.dresses;
    let raw = (0..scenario.users.count as usize)
        .filter(|user| dresses[user % dresses.len()] == Dress::Raw)
        .count() as u64;
    [scenario.sockets() - raw, raw]
}

/// A scenario that speaks raw needs that port of a server that it does not start itself.
pub(super) fn named_all(args: &RunArgs, scenario: &Scenario) -> Result<(), LabError> {
    let raw = scenario.users.dresses.contains(&Dress::Raw);
    if raw && args.target.is_some() && args.target_raw.is_none() {
        let text = "the scenario speaks raw TCP: name that port of the server too, with --target-raw \
                    tcp://host:port (what it serves with --raw-listen)";
        return Err(LabError::Arguments(text.into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(settings: &[&str]) -> Scenario {
        let settings: Vec<String> = settings.iter().map(|it| (*it).to_owned()).collect();
        Scenario::load("canonical", &settings).unwrap()
    }

    #[test]
    fn connections_are_counted_by_the_port_they_go_to() {
        let dresses = r#"users.dresses=["ws-json", "raw", "ws-json"]"#;
        let mixed = scenario(&[dresses]);
        let [plain, raw] = connections(&RunArgs::default(), &mixed);
        assert_eq!((plain + raw, raw), (mixed.sockets(), 333));
        assert_eq!(connections(&RunArgs::default(), &scenario(&[]))[1], 0);
    }

    #[test]
    fn a_machine_without_ports_enough_is_told_by_their_name() {
        let huge = Scenario::load_variant("new-year", Some("100000"), None, &[]).unwrap();
        let said = lacking(&RunArgs::default(), &huge);
        // No machine has more ports than there are.
        assert!(said.iter().any(|it| it.contains("ip_local_port_range")), "{said:?}");
        assert!(lacking(&RunArgs::default(), &scenario(&["users.count=1000"])).is_empty());
    }

    #[test]
    fn a_raw_scenario_asks_for_the_raw_port_before_it_begins() {
        let raw = scenario(&[r#"users.dresses=["raw"]"#]);
        let args = RunArgs { target: Some("http://127.0.0.1:1".into()), ..RunArgs::default() };
        let said = named_all(&args, &raw).unwrap_err().to_string();
        assert!(said.contains("--target-raw"), "{said}");
        let args = RunArgs { target_raw: Some("127.0.0.1:2".into()), ..args };
        assert!(named_all(&args, &raw).is_ok() && named_all(&RunArgs::default(), &raw).is_ok());
    }
}
