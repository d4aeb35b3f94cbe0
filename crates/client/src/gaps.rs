//! A file that arrives in several places at once, and what says so when nobody is left to say it.
//!
//! Behind its last octet the file bears a mark with the end of what has arrived without a gap. So a process that is
//! killed leaves a file that is larger than the whole one, which nobody takes for the beginning of it, and whoever
//! goes on with it cuts off what has gaps first.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use portway_proto::printable;
use portway_vfs::{LocalFs, Upload, VPath, Vfs};

use crate::Error;

/// What the mark begins with; the end of what has no gap follows, eight octets, the highest first.
const MAGIC: &[u8; 25] = b"\0\xffportway: gaps before\r\n\0";
/// Octets of a mark.
const LENGTH: u64 = MAGIC.len() as u64 + 8;
/// Octets that may arrive in front of the first gap before the mark says so.
const STEP: u64 = 1 << 20;

/// A file in several parts. When this goes, what has no gap stays, and no part writes any more.
pub(crate) struct Whole(Arc<Parts>);

/// What the parts of a file share.
pub(crate) struct Parts {
    file: File,
    size: u64,
    /// Where each part ends, and how far it has come, in the order of the file.
    parts: Vec<(u64, AtomicU64)>,
    marked: AtomicU64,
    /// True when it is over; parts hold it while they write.
    over: RwLock<bool>,
}

impl Whole {
    /// A file that is to have `size` octets; all before the first part are there. `parts` are ranges in order.
    ///
    /// # Errors
    /// Of the file: the mark is written before anything else.
    pub(crate) fn new(
        file: File,
        size: u64,
        parts: impl IntoIterator<Item = Range<u64>>,
    ) -> io::Result<Self> {
        let parts = parts.into_iter().map(|part| (part.end, AtomicU64::new(part.start))).collect();
        let parts = Parts { file, size, parts, marked: AtomicU64::new(0), over: RwLock::new(false) };
        parts.mark(parts.reached())?;
        Ok(Self(Arc::new(parts)))
    }

    /// Octets that have not arrived yet.
    pub(crate) fn missing(&self) -> u64 {
        let left = |(to, at): &(u64, AtomicU64)| to.saturating_sub(at.load(Ordering::Relaxed));
        self.0.parts.iter().map(left).sum()
    }

    /// What each part writes to.
    pub(crate) fn parts(&self) -> Arc<Parts> {
        Arc::clone(&self.0)
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if let Ok(mut over) = self.0.over.write() {
            *over = true;
        }
        // If that fails, the mark still stands.
        let _ = self.0.file.set_len(self.0.reached());
    }
}

impl Parts {
    /// Where part `number` goes on, and where it ends.
    pub(crate) fn left(&self, number: usize) -> Range<u64> {
        self.parts.get(number).map_or(0..0, |(to, at)| at.load(Ordering::Relaxed)..*to)
    }

    /// The next octets of a part; what is behind its end is left out.
    ///
    /// # Errors
    /// Of the file, or when it is over.
    pub(crate) fn write(&self, number: usize, octets: &[u8]) -> io::Result<()> {
        let Range { start, end } = self.left(number);
        let room = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
        let piece = octets.get(..room.min(octets.len())).unwrap_or_default();
        match self.over.read() {
            Ok(over) if !*over => {
                self.file.write_all_at(piece, start)?;
                if let Some((_, at)) = self.parts.get(number) {
                    at.store(start.saturating_add(piece.len() as u64), Ordering::Relaxed);
                }
                let reached = self.reached();
                match reached >= self.marked.load(Ordering::Relaxed).saturating_add(STEP) {
                    true => self.mark(reached),
                    false => Ok(()),
                }
            }
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// The end of what has arrived without a gap.
    fn reached(&self) -> u64 {
        let at = |at: &AtomicU64| at.load(Ordering::Relaxed);
        let unfinished = self.parts.iter().find(|(to, part)| at(part) < *to);
        unfinished.or(self.parts.last()).map_or(0, |(_, part)| at(part))
    }

    fn mark(&self, reached: u64) -> io::Result<()> {
        let mark = [&MAGIC[..], &reached.to_be_bytes()].concat();
        self.file.write_all_at(&mark, self.size)?;
        self.marked.store(reached, Ordering::Relaxed);
        Ok(())
    }
}

/// Where to go on with what an earlier try left in `upload`: at its end, or where its first gap is.
///
/// # Errors
/// Of the file.
pub(crate) fn resume_at(upload: &dyn Upload, folder: &LocalFs, name: &VPath) -> Result<u64, Error> {
    let local = |error| Error::local(printable(name.as_bytes()), error);
    let (file, size) = (upload.file(), upload.start());
    let Some(before) = size.checked_sub(LENGTH) else { return Ok(size) };
    let mut mark = [0; LENGTH as usize];
    // What has its name already is opened for writing alone.
    if file.read_exact_at(&mut mark, before).is_err() {
        let Ok((file, _)) = folder.open(name) else { return Ok(size) };
        file.read_exact_at(&mut mark, before).map_err(local)?;
    }
    let Some((magic, reached)) = mark.split_first_chunk() else { return Ok(size) };
    let Some(reached) = reached.first_chunk().filter(|_| magic == MAGIC) else { return Ok(size) };
    let reached = u64::from_be_bytes(*reached).min(before);
    file.set_len(reached).map_err(local)?;
    let mut file = file;
    file.seek(SeekFrom::Start(reached)).map_err(local)?;
    Ok(reached)
}

#[cfg(test)]
mod tests {
    use portway_vfs::{LinkPolicy, Write};

    use super::*;

    #[test]
    fn what_stays_of_a_broken_file_has_no_gap() {
        for (parts, left) in [
            ([100..100, 200..200, 300..300], 300),
            ([100..100, 150..200, 300..300], 150),
            ([0..100, 200..200, 300..300], 0),
            ([99..100, 100..200, 200..300], 99),
        ] {
            let file = tempfile::tempfile().unwrap();
            drop(Whole::new(file.try_clone().unwrap(), 300, parts).unwrap());
            assert_eq!(file.metadata().unwrap().len(), left);
        }
    }

    #[test]
    fn a_part_that_is_left_alone_writes_no_more() {
        let file = tempfile::tempfile().unwrap();
        let whole = Whole::new(file.try_clone().unwrap(), 300, [0..100, 100..300]).unwrap();
        let parts = whole.parts();
        parts.write(0, &[1; 130]).unwrap();
        parts.write(1, &[2; 50]).unwrap();
        assert_eq!((parts.left(0), parts.left(1)), (100..100, 150..300));
        drop(whole);
        assert!(parts.write(1, &[2; 50]).is_err());
        assert_eq!(file.metadata().unwrap().len(), 150);
    }

    #[test]
    fn a_killed_process_leaves_a_file_that_is_cut_before_its_first_gap_whoever_goes_on_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let here = LocalFs::open(folder.path(), LinkPolicy::Forbid).unwrap();
        let name = VPath::resolve(&VPath::root(), b"f").unwrap();
        let size = 3 * STEP;
        for visible in [false, true] {
            if visible {
                std::fs::write(folder.path().join("f"), b"begun").unwrap();
            }
            let upload = here.create(&name, Write::Append).unwrap();
            let start = resume_at(&*upload, &here, &name).unwrap();
            assert_eq!(start, if visible { 5 } else { 0 });
            let place = folder.path().join(if visible { "f" } else { ".portway-part.f" });
            let file = File::options().write(true).open(place).unwrap();
            let whole = Whole::new(file, size, [start..2 * STEP, 2 * STEP..size]).unwrap();
            let parts = whole.parts();
            parts.write(1, &vec![2; STEP as usize / 2]).unwrap();
            parts.write(0, &vec![1; STEP as usize + 7]).unwrap();
            // Killed: nothing of it is run down.
            std::mem::forget(whole);
            assert!(upload.file().metadata().unwrap().len() > size, "no plausible size");
            drop(upload);
            let again = here.create(&name, Write::Append).unwrap();
            let reached = start + STEP + 7;
            assert_eq!(resume_at(&*again, &here, &name).unwrap(), reached);
            assert_eq!(again.file().metadata().unwrap().len(), reached);
            let mut file = again.file();
            assert_eq!(file.stream_position().unwrap(), reached);
            again.discard();
        }
    }
}
