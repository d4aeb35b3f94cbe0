//! Forward, reverse and transparent FTP proxy.
//!
//! A client's session has two legs. Towards the client the proxy is a server: [`portway_proto::ServerSession`]
//! judges what concerns the connection to the client (TLS, PASV, EPSV, PORT, EPRT). Towards the server it is a
//! client: `upstream` logs in, passes commands on and finds a way to the server's data connections. What one leg
//! speaks says nothing about the other: mode, address family and encryption are converted on the way.
//!
//! Nothing is copied through: commands are parsed and written anew, and so are replies. The data connections of
//! both legs come from [`portway_data`], and [`portway_data::relay`] joins them.

mod allow;
mod config;
mod destination;
mod features;
mod filter;
mod guesses;
mod health;
mod inspect;
mod leftovers;
mod login;
mod proxy;
mod quota;
mod routes;
mod rules;
mod session;
mod takeover;
mod upstream;

pub use allow::{Allow, Denied, Rule, RuleError};
pub use config::{Kind, LegConfig, LegTimeouts, ProxyConfig, ProxyHeader, ServerTlsChoice, WayChoice};
pub use destination::{Destination, DestinationError};
pub use filter::Filter;
pub use guesses::Guesses;
pub use inspect::{IcapUrlError, Inspect};
pub use proxy::Proxy;
pub use quota::{UserLimit, UserLimits};
pub use routes::{Balance, Group, Match, Route, Routes, Scheme, Target, TargetError};
pub use rules::{CommandRule, RuleAction, VerbPattern, VerbPatternError};
pub use takeover::{Origin, Takeover};
