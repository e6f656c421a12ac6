//! Connections that only read, lent one at a time.
//!
//! Neighbours: the store's pages, events and rooms are read through them beside the fold, the search
//! index is asked through others. A caller waits while all are lent: reads are short, and their number
//! is bounded.

use std::sync::{Condvar, Mutex};

use rusqlite::Connection;

/// The connections that are not lent.
#[derive(Debug)]
pub struct Readers {
    idle: Mutex<Vec<Connection>>,
    returned: Condvar,
}

/// A connection, until it is dropped.
#[derive(Debug)]
pub struct Lease<'a> {
    readers: &'a Readers,
    connection: Option<Connection>,
}

impl Readers {
    /// Of these.
    pub fn new(connections: Vec<Connection>) -> Self {
        Self { idle: Mutex::new(connections), returned: Condvar::new() }
    }

    /// Waits while all are lent.
    pub fn lease(&self) -> Lease<'_> {
        let idle = self.idle.lock().expect("nothing panics while it holds the readers");
        let mut idle = self
            .returned
            .wait_while(idle, |idle| idle.is_empty())
            .expect("nothing panics while it holds the readers");
        Lease { readers: self, connection: idle.pop() }
    }
}

impl std::ops::Deref for Lease<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("a lease holds its connection until it is dropped")
    }
}

impl std::ops::DerefMut for Lease<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("a lease holds its connection until it is dropped")
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let (Some(connection), Ok(mut idle)) = (self.connection.take(), self.readers.idle.lock())
        {
            idle.push(connection);
            self.readers.returned.notify_one();
        }
    }
}
