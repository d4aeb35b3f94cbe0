//! The seam: [`Vfs`], which every storage implements.

use crate::{Entry, ReadOnly, VPath, VfsError};
use std::fs::File;
use std::sync::Arc;

/// Storage as one tree of files behind paths that cannot leave it.
///
/// Every call is synchronous. Most take microseconds on a local disk; the ones marked *may block long* belong
/// on a thread that may wait. Names of hidden partial uploads ([module docs](crate)) are refused everywhere
/// with [`VfsError::BadName`] and never listed.
pub trait Vfs: Send + Sync {
    /// Facts about `path`, links followed inside the root.
    ///
    /// # Errors
    /// [`VfsError::NotFound`], also while only a partial upload exists (see [`partial`](Self::partial));
    /// [`VfsError::Denied`] for a loop of links.
    fn stat(&self, path: &VPath) -> Result<Entry, VfsError>;

    /// Facts about the link that `path` itself is, with its target, wherever that leads.
    ///
    /// # Errors
    /// [`VfsError::NotFound`] if it is no link.
    fn link(&self, path: &VPath) -> Result<Entry, VfsError>;

    /// Size so far and time of the partial upload of `path`, if there is one; answers SIZE for a client that
    /// resumes while no complete file exists.
    fn partial(&self, path: &VPath) -> Option<Entry>;

    /// The entries of a folder, unsorted, read as the iterator advances: memory stays bounded however many
    /// there are. *May block long*, each step of it too.
    ///
    /// # Errors
    /// [`VfsError::NotADirectory`] and what [`stat`](Self::stat) says.
    fn list(&self, path: &VPath) -> Result<Box<dyn Listing>, VfsError>;

    /// As [`list`](Self::list), names only: cheaper, nothing is looked up per entry (NLST, RFC 959 §4.1.3).
    ///
    /// # Errors
    /// As [`list`](Self::list).
    fn names(&self, path: &VPath) -> Result<Box<dyn Names>, VfsError>;

    /// Opens a regular file for reading, at offset 0. Never waits for the other end of a FIFO.
    ///
    /// # Errors
    /// [`VfsError::IsADirectory`]; [`VfsError::Denied`] for FIFO, socket and device.
    fn open(&self, path: &VPath) -> Result<(File, Entry), VfsError>;

    /// Begins an upload. *May block long* for [`Write::At`], which may have to copy.
    ///
    /// # Errors
    /// [`VfsError::Exists`] for [`Write::New`], [`VfsError::BadOffset`] for [`Write::At`],
    /// [`VfsError::Busy`] while another upload holds what this one wants to continue,
    /// [`VfsError::Denied`] where a link leads nowhere or out, or the name is a FIFO, socket or device.
    fn create(&self, path: &VPath, how: Write) -> Result<Box<dyn Upload>, VfsError>;

    /// Makes a folder.
    ///
    /// # Errors
    /// [`VfsError::Exists`], whatever kind the name is.
    fn make_dir(&self, path: &VPath) -> Result<(), VfsError>;

    /// Removes an empty folder; broken uploads in it do not count and go too.
    ///
    /// # Errors
    /// [`VfsError::NotEmpty`]; [`VfsError::Busy`] if all that is left is an upload under way;
    /// [`VfsError::Denied`] for the root.
    fn remove_dir(&self, path: &VPath) -> Result<(), VfsError>;

    /// Removes a name that is no folder; of a link the link itself. If there is only a partial upload of that
    /// name, removes that.
    ///
    /// # Errors
    /// [`VfsError::IsADirectory`]; [`VfsError::Busy`] if there is only an upload under way.
    fn remove_file(&self, path: &VPath) -> Result<(), VfsError>;

    /// Removes a folder and all below it, uploads under way included; links are removed, never followed, and
    /// other file systems mounted below are left alone. *May block long.* Stops at the first failure.
    ///
    /// # Errors
    /// [`VfsError::NotADirectory`], also for a link to one; [`VfsError::CrossDevice`] at a mount point.
    fn remove_tree(&self, path: &VPath) -> Result<(), VfsError>;

    /// Renames in one step, onto an existing file too, which it replaces. A link is renamed, not followed.
    ///
    /// # Errors
    /// Onto a folder: [`VfsError::IsADirectory`] for a file, [`VfsError::NotEmpty`] for a folder unless the
    /// old one is empty. [`VfsError::CrossDevice`] between file systems; [`VfsError::BadName`] into itself.
    fn rename(&self, from: &VPath, to: &VPath) -> Result<(), VfsError>;

    /// Sets the time of last change (MFMT), Unix seconds and nanoseconds.
    ///
    /// # Errors
    /// [`VfsError::BadTime`] if it cannot be stored to the second; the old time stays.
    fn set_modified(&self, path: &VPath, seconds: i64, nanos: u32) -> Result<(), VfsError>;

    /// Sets the permission bits (SITE CHMOD). A folder keeps its set-group and sticky bits, a file loses them.
    ///
    /// # Errors
    /// [`VfsError::Denied`] for bits beyond `0o777` and for what is neither file nor folder.
    fn set_mode(&self, path: &VPath, mode: u32) -> Result<(), VfsError>;

    /// Makes `link`, pointing at the text `target`; absolute means from the root of this storage.
    ///
    /// # Errors
    /// [`VfsError::Exists`]; [`VfsError::Denied`] where links are forbidden; [`VfsError::BadName`] for an
    /// empty target, a NUL, or the name of a partial upload.
    fn symlink(&self, target: &[u8], link: &VPath) -> Result<(), VfsError>;

    /// Octets that may still be stored below `path` (AVBL).
    ///
    /// # Errors
    /// [`VfsError::Unsupported`] where there is no such number.
    fn space(&self, path: &VPath) -> Result<u64, VfsError>;

    /// Appends `parts` to `target` in order and deletes them (COMB). Readers see the old target or the whole
    /// new one. A part that cannot be deleted afterwards stays. *May block long.*
    ///
    /// # Errors
    /// [`VfsError::BadName`] if a file is named twice; [`VfsError::Busy`] if one is being appended to;
    /// nothing has changed then.
    fn combine(&self, target: &VPath, parts: &[VPath]) -> Result<Entry, VfsError>;

    /// The folder `path` as a storage of its own: no path and no link leads out of it. For a user's home.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    fn below(&self, path: &VPath) -> Result<Arc<dyn Vfs>, VfsError>;

    /// The same storage, refusing every change.
    fn read_only(self) -> ReadOnly<Self>
    where
        Self: Sized,
    {
        ReadOnly::new(self)
    }
}

/// How an upload treats what is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// STOR: the old content stays readable until the new one is complete.
    Replace,
    /// STOU: refused if there is a file or a partial upload of that name.
    New,
    /// APPE: continues a complete file in place, or else a partial upload.
    Append,
    /// REST and STOR: continues at that offset; what lies beyond is dropped. 0 is [`Replace`](Self::Replace).
    At(u64),
}

/// An upload under way. Dropping it means [`keep`](Self::keep).
///
/// A clone of the file's descriptor keeps the upload locked for as long as it lives.
pub trait Upload: Send {
    /// Where the data goes; positioned at [`start`](Self::start) and not in append mode, so that `splice` works.
    fn file(&self) -> &File;

    /// Offset of the first octet that this upload writes.
    fn start(&self) -> u64;

    /// The mode that the file gets with its name, if it is a new one; what replaces a file keeps that one's mode.
    /// Without this the storage chooses.
    fn set_new_mode(&mut self, mode: u32);

    /// The upload is complete: gives the data its name. *May block long* if it is to be flushed to disk.
    ///
    /// # Errors
    /// [`VfsError::Exists`] if a [`Write::New`] lost the race for its name; that data is dropped. On any other
    /// error the data stays, as with [`keep`](Self::keep).
    fn commit(self: Box<Self>) -> Result<Entry, VfsError>;

    /// The upload broke off: what arrived stays hidden and can be resumed (unless it was the second upload of
    /// one name at a time, or nothing arrived).
    fn keep(self: Box<Self>);

    /// The upload is unwanted: what is hidden is deleted. Data appended to a complete file stays.
    fn discard(self: Box<Self>);
}

/// Entries of a folder, one by one. After an error the iterator ends.
pub trait Listing: Iterator<Item = Result<Entry, VfsError>> + Send {}
impl<I: Iterator<Item = Result<Entry, VfsError>> + Send> Listing for I {}

/// Names in a folder, one by one. After an error the iterator ends.
pub trait Names: Iterator<Item = Result<Vec<u8>, VfsError>> + Send {}
impl<I: Iterator<Item = Result<Vec<u8>, VfsError>> + Send> Names for I {}
