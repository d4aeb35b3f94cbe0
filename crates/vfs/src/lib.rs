//! Storage behind paths that cannot escape.
//!
//! [`Vfs`] is the seam; [`LocalFs`] serves a folder of this machine, [`MemFs`] keeps all in memory,
//! [`ReadOnly`] refuses changes, and [`Vfs::below`] jails a user to a folder. All of them are told where by a
//! [`VPath`], and resolve it themselves.
//!
//! # Uploads
//! A file appears under its name when it is complete, in one step; until then readers find the old one, and
//! whoever has that open keeps reading it.
//!
//! - Data goes to a hidden file in the same folder, `.portway-part.NAME`, which is locked while the upload
//!   lives. The lock dies with the process, so after a crash the file is an ordinary left-over.
//! - **Broken off** (dropped, [`keep`](Upload::keep), crash): the hidden file stays if anything arrived.
//!   [`Vfs::stat`] goes on saying [`NotFound`](VfsError::NotFound); [`Vfs::partial`] tells its size, so that a
//!   client may ask SIZE and resume by REST and STOR or by APPE.
//! - **Two at a time**: the second upload of a name gets a hidden file of its own (`.portway-part~2.NAME`)
//!   and never mixes with the first; the last commit wins. Broken off, the second is deleted.
//! - **Onto an existing file** the permission bits are kept; owner, ACL and hard links are not, since it is a
//!   new file. Where the name is a link, the file it leads to is replaced.
//! - **In place**, and therefore visible while it grows, is only what continues a complete file:
//!   [`Write::Append`], and [`Write::At`] its very end. Locked against a second one
//!   ([`Busy`](VfsError::Busy)); broken off, what arrived stays and SIZE tells where to go on.
//! - Names that start with `.portway-part.` or `.portway-part~` can be neither used nor seen by clients.

mod copy;
mod entry;
mod error;
mod handle;
mod local;
mod memory;
mod partial;
mod path;
mod read_only;
mod vfs;

pub use entry::{Entry, Kind};
pub use error::VfsError;
pub use local::{Durability, LinkPolicy, LocalFs, RootError};
pub use memory::MemFs;
pub use path::VPath;
pub use read_only::ReadOnly;
pub use vfs::{Listing, Names, Upload, Vfs, Write};
