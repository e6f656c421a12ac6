//! How many connections there may be, in all and from one address.
//!
//! Neighbours: the doors ask before they serve a socket; a pass is given back by being dropped. It
//! knows addresses, not accounts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use throng_core::Limits;
use tokio::sync::Notify;

use crate::address::AddressKey;

/// Counts those inside.
#[derive(Debug)]
pub struct Gate {
    inside: Mutex<Inside>,
    freed: Notify,
    connections_max: usize,
    per_address: u32,
}

#[derive(Debug, Default)]
struct Inside {
    all: usize,
    by_address: HashMap<AddressKey, u32>,
}

/// The right to be inside. Held as long as the socket is open.
#[derive(Debug)]
pub struct Pass {
    gate: Arc<Gate>,
    /// Whom it is counted for.
    counted: Option<AddressKey>,
}

impl Gate {
    /// Nobody is inside.
    pub fn new(limits: &Limits) -> Self {
        Self {
            inside: Mutex::default(),
            freed: Notify::new(),
            connections_max: limits.connections_max as usize,
            per_address: limits.connections_per_address,
        }
    }

    /// Lets one in, unless there are too many. `counted`: against its address too.
    pub fn enter(self: &Arc<Self>, address: AddressKey, counted: bool) -> Option<Pass> {
        let mut inside = self.lock();
        if inside.all >= self.connections_max || (counted && !inside.add(address, self.per_address))
        {
            return None;
        }
        inside.all += 1;
        Some(Pass { gate: Arc::clone(self), counted: counted.then_some(address) })
    }

    /// Waits until somebody has left.
    pub async fn freed(&self) {
        self.freed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn add(&mut self, address: AddressKey, most: u32) -> bool {
        let count = self.by_address.entry(address).or_insert(0);
        if *count >= most {
            return false;
        }
        *count += 1;
        true
    }
}

impl Pass {
    /// It stands for another address than its socket's; false when that has too many.
    pub fn count_for(&mut self, address: AddressKey) -> bool {
        if self.counted.is_some() {
            return true;
        }
        let counted = self.gate.lock().add(address, self.gate.per_address);
        if counted {
            self.counted = Some(address);
        }
        counted
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inside = self.gate.lock();
        inside.all -= 1;
        if let Some(address) = self.counted
            && let Some(count) = inside.by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                inside.by_address.remove(&address);
            }
        }
        drop(inside);
        self.gate.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn address(last: u8) -> AddressKey {
        IpAddr::from([10, 0, 0, last]).into()
    }

    fn gate(connections_max: u32, connections_per_address: u32) -> Arc<Gate> {
        let limits = Limits { connections_max, connections_per_address, ..Limits::default() };
        Arc::new(Gate::new(&limits))
    }

    #[test]
    fn the_limits_hold_from_both_sides_and_a_pass_that_is_dropped_makes_place() {
        let gate = gate(3, 2);
        let first = gate.enter(address(1), true).unwrap();
        let _second = gate.enter(address(1), true).unwrap();
        assert!(gate.enter(address(1), true).is_none(), "one address has two");
        let _third = gate.enter(address(2), true).unwrap();
        assert!(gate.enter(address(3), true).is_none(), "three are inside");
        drop(first);
        assert!(gate.enter(address(1), true).is_some());
        assert_eq!(gate.lock().by_address.len(), 2);
    }

    #[test]
    fn one_behind_a_proxy_is_counted_by_whom_it_stands_for() {
        let gate = gate(10, 1);
        let mut one = gate.enter(address(9), false).unwrap();
        let mut two = gate.enter(address(9), false).unwrap();
        assert!(one.count_for(address(1)));
        assert!(!two.count_for(address(1)));
        assert!(two.count_for(address(2)));
        drop((one, two));
        assert!(gate.lock().by_address.is_empty());
    }
}
