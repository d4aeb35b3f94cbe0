//! Second names for files that are open already: `/proc/self/fd`.

use crate::VfsError;
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, PROC_SUPER_MAGIC};
use rustix::io::Errno;
use rustix::path::DecInt;

/// Sets the mode of what `handle` stands for, whatever has happened to its name.
///
/// A handle made for looking only refuses that itself (EBADF).
pub(crate) fn set_mode(handle: BorrowedFd<'_>, mode: Mode) -> Result<(), VfsError> {
    Ok(rustix::fs::chmodat(own_handles()?, DecInt::from_fd(handle), mode, AtFlags::empty())?)
}

/// Opens the same file again, with an offset of its own.
pub(crate) fn open_again(handle: BorrowedFd<'_>, flags: OFlags) -> Result<OwnedFd, VfsError> {
    Ok(rustix::fs::openat(own_handles()?, DecInt::from_fd(handle), flags | OFlags::CLOEXEC, Mode::empty())?)
}

/// Checked to be the kernel's: in a bare chroot somebody could have put links of his own there.
fn own_handles() -> Result<OwnedFd, VfsError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::open(c"/proc/self/fd", flags, Mode::empty()) {
        Ok(fd) if rustix::fs::fstatfs(&fd)?.f_type == PROC_SUPER_MAGIC => Ok(fd),
        Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => Err(VfsError::Unsupported),
        Err(error) => Err(error.into()),
    }
}
