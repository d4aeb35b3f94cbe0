//! Data connections that fail, each for one reason, and whether `portway doctor` names it and cures it.
//!
//! A [`Case`] is a client, its firewall, a router, the server's firewall and a server, in namespaces of their own,
//! with one fault in them, or none. [`run`] proves first that the fault breaks a real transfer; then asks
//! `portway doctor` on the client's machine, which is told the URL and nothing else; then pastes the first of the cures
//! it printed that is for a program which is there; then tries the transfer again. Addresses, names, ports and
//! passwords are other ones each time.

mod addresses;
mod catalog;
mod configuration;
mod cure;
mod doctor;
mod holders;
mod machines;
mod middlebox;
mod papers;
mod pretend;
mod run;
mod server;
mod setting;
mod transfer;
mod trial;
mod walls;

pub use catalog::{Case, cases};
pub use run::{Event, Plan, Row, inside, lacks, missing, record, run};
