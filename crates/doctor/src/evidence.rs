//! What was seen.

mod attempt;

use std::net::{IpAddr, SocketAddr};

pub use self::attempt::{Attempt, Command, Family, Mode, NoTransfer, Offered, Outcome, Passive};
use crate::trace::Trace;
use crate::{Software, firewall};

/// All that was seen of one server.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The URL without its password.
    pub url: String,
    /// The host as asked for.
    pub host: String,
    /// The control port.
    pub port: u16,
    /// `ftps://`: TLS from the first octet.
    pub implicit_tls: bool,
    /// What the resolver said.
    pub lookup: Lookup,
    /// Every address tried, best first.
    pub roads: Vec<Road>,
    /// What the server calls itself.
    pub software: Software,
    /// TLS on the control channel.
    pub tls: Tls,
    /// What is wrong with the certificate.
    pub certificate: Option<CertificateFault>,
    /// How the login ended.
    pub login: Login,
    /// Every way to a data connection that was tried.
    pub attempts: Vec<Attempt>,
    /// Whether FEAT names EPSV.
    pub names_epsv: bool,
    /// Every passive port that was offered, those of the attempts included, and whether it answered.
    pub offers: Vec<Offered>,
    /// Whether a data connection without TLS resumption was refused, where one with it was served.
    pub resumption_required: Option<bool>,
    /// What became of a large transfer.
    pub bulk: Option<Bulk>,
    /// What a silent control connection was worth.
    pub idle: Option<Idle>,
    /// Our address on the control connection.
    pub local: Option<IpAddr>,
    /// Our address as the server says it sees it.
    pub seen_as: Option<IpAddr>,
    /// Whether active mode worked once we had opened our own firewall by a connection the other way.
    pub punch: Option<bool>,
    /// The server's port 20, and another closed port beside it.
    pub port_20: Option<(Reach, Reach)>,
    /// How far SYNs went to the control port.
    pub control_trace: Option<Trace>,
    /// How far SYNs went to a passive port that could not be reached.
    pub data_trace: Option<Trace>,
    /// What this machine's own rules do.
    pub local_rules: Option<firewall::Findings>,
    /// How far SYNs of a portway server to our announced port went.
    pub far_trace: Option<Trace>,
    /// What a portway server saw, line by line.
    pub far_side: Vec<String>,
    /// Commands that were answered as if something else had been sent, in words.
    pub rewritten: Vec<String>,
    /// Seconds all this took.
    pub seconds: f64,
}

/// What the resolver said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Lookup {
    /// The host was given as an address, or has these.
    #[default]
    Found,
    /// There is no such name, or it has no address.
    NotFound(String),
    /// The resolver did not answer.
    Silent,
}

/// One address of the server.
#[derive(Clone, Debug, PartialEq)]
pub struct Road {
    /// Where.
    pub to: SocketAddr,
    /// What came of the control connection.
    pub reach: Reach,
    /// The round trip in seconds, if it stands.
    pub round_trip: Option<f64>,
    /// What the server said first.
    pub greeting: Greeting,
}

/// What came back to a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// A connection.
    Open,
    /// A reset.
    Reset,
    /// Nothing.
    Silent,
    /// ICMP: a firewall rejects.
    Prohibited(Option<IpAddr>),
    /// ICMP: there is no such host or network.
    NoWay(Option<IpAddr>),
}

/// What the server said first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Greeting {
    /// The connection does not stand.
    #[default]
    None,
    /// 220.
    Ready,
    /// 421 or 5yz.
    Busy(String),
    /// Nothing, for seconds.
    Silent,
    /// The connection ended.
    Closed,
    /// Something that is no FTP.
    Foreign(String),
}

/// TLS on the control channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// It was not asked for.
    #[default]
    NotTried,
    /// The handshake succeeded.
    Works,
    /// AUTH TLS was refused, and nothing says that it should not have been.
    NotOffered,
    /// AUTH TLS was refused on the way: the reason we know.
    Stripped(String),
    /// The handshake was begun and cut off, or never answered: how.
    Cut(String),
    /// It did not come to a handshake.
    Failed(String),
}

/// Why the certificate is not good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateFault {
    /// Its time is over, or has not come: until (or from) when.
    Expired(String),
    /// Names it is for.
    WrongName(Vec<String>),
    /// What the verifier said.
    Untrusted(String),
}

/// How the login ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Login {
    /// It did not come to that.
    #[default]
    NotTried,
    /// We are in.
    In,
    /// In under TLS; in the clear the server refuses.
    InUnderTlsOnly,
    /// The server refused.
    Refused(String),
    /// The server wants TLS and we have none.
    NeedsTls(String),
    /// The control connection died, or said nothing, in the middle of it.
    Lost(String),
}

/// What became of a large transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bulk {
    /// Enough came through.
    Works(u64),
    /// It stood still after so many octets.
    Stalled {
        /// Octets.
        after: u64,
        /// The largest segment with which it came through, if one was found.
        works_with_mss: Option<u16>,
    },
}

/// What a control connection was worth after a silence.
#[derive(Clone, Debug, PartialEq)]
pub enum Idle {
    /// It answered.
    Works(f64),
    /// It did not, after so many seconds of silence.
    Dead(f64),
    /// The server itself ended it (421).
    ServerClosed(f64),
}
