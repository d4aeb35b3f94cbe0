//! The three choices that every client is tried in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who opens the data connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The server does (`PORT`, `EPRT`).
    Active,
    /// The client does (`PASV`, `EPSV`).
    Passive,
}

/// Which IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// 127.0.0.1.
    V4,
    /// `::1`.
    V6,
}

/// How both channels are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Not at all.
    Plain,
    /// `AUTH TLS` on the usual port, data with `PROT P`. RFC 4217.
    Explicit,
    /// TLS from the first octet.
    Implicit,
}

/// One place of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Who opens the data connection.
    pub mode: Mode,
    /// Which IP.
    pub family: Family,
    /// How it is protected.
    pub security: Security,
}

impl Family {
    /// The loopback address.
    #[must_use]
    pub fn loopback(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::LOCALHOST.into(),
            Self::V6 => Ipv6Addr::LOCALHOST.into(),
        }
    }
}
