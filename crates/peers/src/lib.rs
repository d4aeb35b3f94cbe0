//! Other people's FTP servers, for tests and measurements: where they are, and how each is set up.
//!
//! [`find`] knows the places: folders named by `FTP_TEST_ROOTS`, those that `cargo xtask test` fills below `target`,
//! the system. [`Brand::command`] opens a server to one account on one folder, and [`Running`] keeps its process.
//! Nothing of this serves anybody but tests, the benchmarks and the lab.

mod brand;
mod error;
mod find;
mod lines;
pub mod proftpd;
mod pure_ftpd;
mod pyftpdlib;
mod running;
pub mod vsftpd;

pub use brand::{Brand, Papers, Site};
pub use error::PeerError;
pub use find::{Found, find, python};
pub use running::Running;
