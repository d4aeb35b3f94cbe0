//! Client, firewalls and server as network namespaces, and real programs that try to transfer a file in them.
//!
//! Each [`Cell`] is one transfer of 1 MiB: this firewall, this mode, this client, with this cure or none. A cell
//! runs in user, mount, process and network namespaces of its own, which [`run`] makes without root where the
//! system lets users do that. Nothing outside of them is touched, and nothing remains: the namespaces, the
//! processes and the files in them end with the first process in there, and that one ends with us.
//!
//! The program that calls [`run`] is started again for each cell and must then call [`inside`].

mod cell;
mod error;
pub mod fault;
mod gates;
mod inside;
mod network;
mod program;
mod rules;
mod run;
mod scenario;
mod space;
mod trial;

pub use cell::{Cell, Client, Cure, Family, Mode, Outcome, Piece, Server, Verdict, record};
pub use error::LabError;
pub use inside::inside;
pub use program::missing;
pub use run::{Event, Plan, run};
pub use scenario::{Place, Scenario};
