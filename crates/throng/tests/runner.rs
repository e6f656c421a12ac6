//! The executable from outside: started as a process, spoken to over sockets, killed.

mod kill;
mod planted;
mod raw_client;
mod raw_server;
mod slow;
