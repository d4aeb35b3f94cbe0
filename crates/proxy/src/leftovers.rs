//! Uploads that stay at a server under a name of ours, because it was lost before they were renamed or deleted.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many are remembered; of more, the oldest are forgotten.
const MOST: usize = 1000;

/// How many one login deletes, since it waits for that.
const AT_ONCE: usize = 20;

/// All that are known, until their user logs in again or the program ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leftovers(Arc<Mutex<VecDeque<File>>>);

/// Its owner, and its whole path.
type File = (Owner, Vec<u8>);

/// Who can delete a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) server: SocketAddr,
    pub(crate) user: Vec<u8>,
}

/// A file of which nobody knows what became of it; remembered when this is dropped before somebody has said so.
#[derive(Debug)]
pub(crate) struct Unsettled {
    file: Option<File>,
    all: Leftovers,
}

impl Leftovers {
    /// A file that is about to be made, by its whole path.
    pub(crate) fn watch(&self, owner: Owner, path: Vec<u8>) -> Unsettled {
        Unsettled { file: Some((owner, path)), all: self.clone() }
    }

    /// What this user may delete now.
    pub(crate) fn of(&self, owner: &Owner) -> Vec<Unsettled> {
        let mut all = self.lock();
        let mut found = Vec::new();
        while found.len() < AT_ONCE
            && let Some(at) = all.iter().position(|(left_by, _)| left_by == owner)
        {
            found.extend(all.remove(at).map(|file| Unsettled { file: Some(file), all: self.clone() }));
        }
        found
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<File>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unsettled {
    /// The file's whole path.
    pub(crate) fn path(&self) -> &[u8] {
        self.file.as_ref().map_or(&[], |(_, path)| path)
    }

    /// The server has said what became of it.
    pub(crate) fn settle(&mut self) {
        self.file = None;
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        let Some(file) = self.file.take() else { return };
        let mut all = self.all.lock();
        if all.len() >= MOST {
            all.pop_front();
        }
        all.push_back(file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_remembered_for_its_owner_until_somebody_knows_what_became_of_it() {
        let owner = |user: &[u8], port| Owner { server: ([127, 0, 0, 1], port).into(), user: user.to_vec() };
        let all = Leftovers::default();
        drop(all.watch(owner(b"ann", 21), b"/a".to_vec()));
        drop(all.watch(owner(b"bob", 21), b"/b".to_vec()));
        all.watch(owner(b"ann", 21), b"/done".to_vec()).settle();
        assert!(all.of(&owner(b"ann", 2121)).is_empty());
        let paths = |found: &[Unsettled]| found.iter().map(|file| file.path().to_vec()).collect::<Vec<_>>();
        // A server that is lost once more is asked once more.
        assert_eq!(paths(&all.of(&owner(b"ann", 21))), [b"/a".to_vec()]);
        let mut found = all.of(&owner(b"ann", 21));
        assert_eq!(paths(&found), [b"/a".to_vec()]);
        found.iter_mut().for_each(Unsettled::settle);
        drop(found);
        assert!(all.of(&owner(b"ann", 21)).is_empty());
        for number in 0..2 * MOST {
            drop(all.watch(owner(b"ann", 21), number.to_string().into_bytes()));
        }
        assert_eq!(all.lock().len(), MOST);
        assert_eq!(all.of(&owner(b"ann", 21)).len(), AT_ONCE);
    }
}
