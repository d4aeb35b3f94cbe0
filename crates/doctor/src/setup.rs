//! A server's own set-up, looked at on its own machine: what will go wrong before any client has tried.

mod check;
mod read;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde::Serialize;

use crate::firewall::Ruleset;
use crate::{Culprit, Cure, Software};

/// What a configuration says about the data channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetUp {
    /// Whose configuration it is.
    pub software: Software,
    /// The control port.
    pub port: u16,
    /// Addresses it listens on; empty for all.
    pub listen: Vec<IpAddr>,
    /// The passive range; `None` for any port.
    pub range: Option<RangeInclusive<u16>>,
    /// The address that 227 names; `None` for the one the client came to.
    pub announce: Option<String>,
    /// Passive mode is on.
    pub passive: bool,
    /// TLS is on.
    pub tls: bool,
    /// The certificate.
    pub certificate: Option<PathBuf>,
    /// Sessions at a time, if they are limited.
    pub sessions: Option<u32>,
    /// The server opens the local packet filter itself.
    pub opens_firewall: bool,
}

/// What is known of the machine.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// Interfaces and their addresses.
    pub addresses: Vec<(String, IpAddr)>,
    /// The packet filter; `None` if it could not be read.
    pub rules: Option<Ruleset>,
    /// TCP ports that somebody listens on.
    pub listening: Vec<u16>,
    /// Ports that the system gives to whoever connects.
    pub ephemeral: Option<RangeInclusive<u16>>,
    /// The certificate that the configuration names.
    pub certificate: Option<Paper>,
    /// Descriptors that a process may have.
    pub descriptors: Option<u64>,
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paper {
    /// It cannot be read.
    Unreadable(String),
    /// It can.
    Read {
        /// Names and addresses it is for.
        names: Vec<String>,
        /// Days until it expires; negative once it has.
        days: i64,
        /// Nobody else has signed it.
        self_signed: bool,
    },
}

/// How a remark is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// As it should be.
    Good,
    /// It may go wrong.
    Doubt,
    /// It will go wrong.
    Wrong,
}

/// One thing looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Remark {
    /// What, as a word: `control_port`, `passive_range`, `announced_address`, `certificate`, …
    pub what: &'static str,
    /// How it is meant.
    pub weight: Weight,
    /// In words.
    pub sentence: String,
    /// What clients would find, if it is wrong.
    pub culprit: Option<Culprit>,
    /// What helps.
    pub cures: Vec<Cure>,
}

impl SetUp {
    /// Reads the configuration of vsftpd, ProFTPD or Pure-FTPd; `None` if it looks like none of them.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        read::read(text)
    }

    /// Looks at it on its machine.
    #[must_use]
    pub fn check(&self, machine: &Machine) -> Vec<Remark> {
        check::check(self, machine)
    }
}
