//! The way down to a directory, by which a loop of links is known.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::listing::Listing;

/// The directories above one, and what is known of it before it is listed.
#[derive(Clone, Debug, Default)]
pub(super) struct Trail {
    depth: usize,
    /// What its parent's listing says that it is known by (RFC 3659 §7.5.2).
    unique: Option<Vec<u8>>,
    above: Option<Arc<Above>>,
}

#[derive(Debug)]
struct Above {
    unique: Vec<u8>,
    names: u64,
    above: Option<Arc<Self>>,
}

impl Trail {
    /// How many directories are above it.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// The trail of what is in the directory with this listing. `None` if that is one of those above: the same by
    /// `unique`, which some servers make the same for all, and with the same names in it.
    pub(super) fn into(self, listing: &Listing) -> Option<Self> {
        let mut state = DefaultHasher::new();
        listing.rows.iter().for_each(|row| row.name.hash(&mut state));
        let names = state.finish();
        let Self { depth, unique, above } = self;
        let Some(unique) = listing.unique.clone().or(unique).filter(|unique| !unique.is_empty()) else {
            return Some(Self { depth: depth + 1, unique: None, above });
        };
        let mut next = above.as_ref();
        while let Some(passed) = next {
            if passed.unique == unique && passed.names == names {
                return None;
            }
            next = passed.above.as_ref();
        }
        Some(Self { depth: depth + 1, unique: None, above: Some(Arc::new(Above { unique, names, above })) })
    }

    /// The same for one entry.
    pub(super) fn of(&self, unique: Option<&Vec<u8>>) -> Self {
        Self { unique: unique.cloned(), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use portway_proto::row::ListRow;

    use super::*;

    fn listing(unique: &str, names: &[&str]) -> Listing {
        let row = |name: &&str| ListRow { name: name.as_bytes().to_vec(), ..ListRow::default() };
        let rows = names.iter().map(row).collect();
        Listing { rows, unread: 0, unique: Some(unique.as_bytes().to_vec()) }
    }

    #[test]
    fn a_directory_that_holds_itself_is_known_and_a_server_that_knows_no_difference_harms_nobody() {
        let root = Trail::default().into(&listing("1", &["a", "b"])).unwrap();
        let a = root.into(&listing("2", &["up"])).unwrap();
        assert!(a.clone().into(&listing("1", &["a", "b"])).is_none());
        assert!(a.clone().into(&listing("1", &["c"])).is_some(), "the same for all, and other names");
        assert!(a.clone().into(&listing("", &["a", "b"])).is_some());
        assert_eq!(a.depth(), 2);
        let told = Listing { unique: None, ..listing("", &["a", "b"]) };
        assert!(a.of(Some(&b"1".to_vec())).into(&told).is_none(), "told by the parent's listing alone");
        assert!(a.of(None).into(&told).is_some());
    }
}
