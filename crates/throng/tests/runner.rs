//! The executable from outside: started as a process, spoken to over sockets, killed.

mod agents;
mod alone;
mod bad_days;
mod commits;
mod endings;
mod half_open;
mod kill;
mod lab;
mod lab_days;
mod lab_kept;
mod people;
mod planted;
mod process;
mod queues;
mod raw_client;
mod raw_server;
mod record;
mod scenarios;
mod secrets;
mod slow;
mod storms;
