//! Copies between files inside the kernel, sharing blocks where the file system can.

use crate::VfsError;
use rustix::fd::AsFd;
use rustix::io::Errno;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Octets per system call, so that no single call runs for minutes.
const STEP: usize = 256 * 1024 * 1024;
/// Octets per read and write where the kernel cannot copy by itself.
const BUFFER: usize = 256 * 1024;

/// Makes `to`, which is empty, the first `len` octets of `from`.
pub(crate) fn clone_start(from: &File, to: &File, len: u64) -> Result<(), VfsError> {
    // On Btrfs, XFS and bcachefs this costs no data at all, whatever the size.
    if rustix::fs::ioctl_ficlone(to, from).is_ok() {
        let cloned = rustix::fs::fstat(to)?.st_size;
        if u64::try_from(cloned).is_ok_and(|size| size >= len) {
            return Ok(rustix::fs::ftruncate(to, len)?);
        }
        rustix::fs::ftruncate(to, 0)?;
    }
    append(from, to, 0, len)
}

/// Copies the first `len` octets of `from` to offset `at` of `to`.
///
/// # Errors
/// [`VfsError::Busy`] if `from` turns out shorter than `len`: somebody is changing it.
pub(crate) fn append(from: &File, to: &File, at: u64, len: u64) -> Result<(), VfsError> {
    let (mut read, mut written) = (0, at);
    while read < len {
        let step = usize::try_from(len - read).unwrap_or(STEP).min(STEP);
        match rustix::fs::copy_file_range(from.as_fd(), Some(&mut read), to.as_fd(), Some(&mut written), step)
        {
            // Some special file systems report 0 where plain reading gets data.
            Ok(0) | Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {
                return by_buffer(from, to, read, written, len);
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn by_buffer(from: &File, to: &File, mut read: u64, mut written: u64, len: u64) -> Result<(), VfsError> {
    let mut buffer = vec![0; BUFFER];
    while read < len {
        let want = usize::try_from(len - read).unwrap_or(BUFFER).min(BUFFER);
        let got = match from.read_at(buffer.get_mut(..want).unwrap_or_default(), read) {
            Ok(0) => return Err(VfsError::Busy),
            Ok(got) => got,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        to.write_all_at(buffer.get(..got).unwrap_or_default(), written)?;
        read += got as u64;
        written += got as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_copying_give_the_same_octets() {
        let folder = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..700_001_u32).map(|i| (i % 251) as u8).collect();
        let source = folder.path().join("source");
        std::fs::write(&source, &content).unwrap();
        let source = File::open(source).unwrap();
        for (name, len) in [("none", 0), ("one", 1), ("odd", 300_000), ("all", 700_001)] {
            let new = |suffix: &str| {
                let path = folder.path().join(format!("{name}{suffix}"));
                (File::create_new(&path).unwrap(), path)
            };
            let want = &content[..len as usize];
            let (file, path) = new("-clone");
            clone_start(&source, &file, len).unwrap();
            assert_eq!(std::fs::read(path).unwrap(), want, "{name}");
            let (file, path) = new("-buffer");
            by_buffer(&source, &file, 0, 0, len).unwrap();
            assert_eq!(std::fs::read(path).unwrap(), want, "{name}");
        }
    }

    #[test]
    fn a_source_that_shrank_is_an_error_and_no_endless_loop() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        std::fs::write(&source, "short").unwrap();
        let target = File::create_new(folder.path().join("target")).unwrap();
        let result = clone_start(&File::open(source).unwrap(), &target, 100);
        assert!(matches!(result, Err(VfsError::Busy)), "{result:?}");
    }
}
