//! Listings: rows one by one, so that memory stays bounded however long a directory is.

use portway_accounts::Rights;
use portway_proto::Timestamp;
use portway_proto::row::{ListRow, MlsxFacts, Perm, RowKind};
use portway_vfs::{Entry, Kind, Listing, Names, VPath, VfsError};

use super::{User, glob};

/// Names that are held against a pattern at a time.
const LOOKED_AT: usize = 256;

/// What a row looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// LIST: as `ls -l`.
    Long,
    /// NLST: names.
    Names,
    /// MLSD: facts.
    Facts(MlsxFacts),
}

/// The rows of a directory, or the one of a file, ready to be sent.
pub(crate) struct Rows {
    source: Source,
    pattern: Option<Vec<u8>>,
    /// What stands before each name of NLST: the directory as the client gave it.
    prefix: Vec<u8>,
    form: Form,
    rights: Rights,
    now: Timestamp,
}

/// Where rows come from.
enum Source {
    /// The file that was named itself; once.
    File(Option<Box<Entry>>),
    Entries(Box<dyn Listing>),
    /// NLST needs to know no more.
    Names(Box<dyn Names>),
}

/// Begins a listing of what `arg` names: a directory, a file, or a pattern in the last part.
pub(crate) fn begin(user: &User, form: Form, arg: Option<&[u8]>) -> Result<Rows, VfsError> {
    let arg = arg.unwrap_or_default();
    let path = user.path(arg)?;
    let rows = |source, pattern, prefix| Rows {
        source,
        pattern,
        prefix,
        form,
        rights: user.principal.rights,
        now: now(),
    };
    let listed = |path: &VPath| match form {
        Form::Names => user.storage.names(path).map(Source::Names),
        Form::Long | Form::Facts(_) => user.storage.list(path).map(Source::Entries),
    };
    let given_directory = |upto: usize| arg.get(..upto).unwrap_or_default().to_vec();
    match user.look(&path) {
        Ok(entry) if entry.kind == Kind::Dir => {
            // `NLST dir` gives names that can be retrieved from where the client is.
            let mut prefix = arg.to_vec();
            if !prefix.is_empty() && !prefix.ends_with(b"/") {
                prefix.push(b'/');
            }
            Ok(rows(listed(&path)?, None, prefix))
        }
        Ok(_) if matches!(form, Form::Facts(_)) => Err(VfsError::NotADirectory),
        Ok(mut entry) => {
            // The name as asked for, as `ls` shows it.
            entry.name = arg.to_vec();
            Ok(rows(Source::File(Some(Box::new(entry))), None, Vec::new()))
        }
        Err(VfsError::NotFound) if !matches!(form, Form::Facts(_)) => {
            let slash = arg.iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1);
            let pattern = arg.get(slash..).unwrap_or_default();
            if !glob::is_pattern(pattern) {
                return Err(VfsError::NotFound);
            }
            let prefix = given_directory(slash);
            let directory = VPath::resolve(&user.directory, &prefix).ok_or(VfsError::BadName)?;
            Ok(rows(listed(&directory)?, Some(pattern.to_vec()), prefix))
        }
        Err(error) => Err(error),
    }
}

impl Rows {
    /// Appends the next row, or nothing if so many names in a row did not fit the pattern that others should
    /// have a turn; `None` at the end.
    pub(crate) fn write_next(&mut self, out: &mut Vec<u8>) -> Option<Result<(), VfsError>> {
        for _ in 0..LOOKED_AT {
            let next = match &mut self.source {
                Source::File(entry) => Ok(row(*entry.take()?, self.rights)),
                Source::Entries(entries) => entries.next()?.map(|entry| row(entry, self.rights)),
                Source::Names(names) => names.next()?.map(|name| ListRow::new(name, RowKind::Other)),
            };
            let mut row = match next {
                Ok(row) => row,
                Err(error) => return Some(Err(error)),
            };
            if self.pattern.as_ref().is_some_and(|pattern| !glob::fits(pattern, &row.name)) {
                continue;
            }
            match self.form {
                Form::Long => row.write_long(self.now, out),
                Form::Facts(facts) => row.write_mlsd(facts, out),
                Form::Names => {
                    if !self.prefix.is_empty() {
                        row.name.splice(0..0, self.prefix.iter().copied());
                    }
                    row.write_name(out);
                }
            }
            break;
        }
        Some(Ok(()))
    }
}

impl Iterator for Rows {
    type Item = Result<Vec<u8>, VfsError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut row = Vec::new();
        while row.is_empty() {
            if let Err(error) = self.write_next(&mut row)? {
                return Some(Err(error));
            }
        }
        Some(Ok(row))
    }
}

/// An entry of storage as a row of the protocol.
pub(crate) fn row(entry: Entry, rights: Rights) -> ListRow {
    let kind = match entry.kind {
        Kind::File => RowKind::File,
        Kind::Dir => RowKind::Dir,
        Kind::Symlink => RowKind::Symlink,
        Kind::Other => RowKind::Other,
    };
    let mut row = ListRow::new(entry.name, kind);
    row.size = Some(entry.size);
    row.modified = Timestamp::from_unix(entry.modified, 0).map(Into::into);
    row.mode = Some(entry.mode);
    row.links = Some(entry.nlink);
    row.owner = Some(entry.uid.to_string().into_bytes());
    row.group = Some(entry.gid.to_string().into_bytes());
    row.target = entry.target;
    row.unique = Some(format!("{:x}U{:x}", entry.unique.0, entry.unique.1).into_bytes());
    row.perm = Some(perm(entry.resolved.unwrap_or(entry.kind), rights));
    row
}

/// What this user may do with it (RFC 3659 §7.5.5).
fn perm(kind: Kind, rights: Rights) -> Perm {
    let table: &[(Rights, Perm)] = match kind {
        Kind::Dir => &[
            (Rights::WRITE, Perm::CREATE),
            (Rights::RMDIR, Perm::DELETE),
            (Rights::LIST, Perm::ENTER),
            (Rights::RENAME, Perm::RENAME),
            (Rights::LIST, Perm::LIST),
            (Rights::MKDIR, Perm::MKDIR),
            (Rights::DELETE, Perm::PURGE),
        ],
        Kind::File => &[
            (Rights::APPEND, Perm::APPEND),
            (Rights::DELETE, Perm::DELETE),
            (Rights::RENAME, Perm::RENAME),
            (Rights::READ, Perm::RETRIEVE),
            (Rights::OVERWRITE, Perm::STORE),
        ],
        _ => &[(Rights::DELETE, Perm::DELETE), (Rights::RENAME, Perm::RENAME)],
    };
    table.iter().filter(|row| rights.allows(row.0)).fold(Perm::default(), |all, row| all | row.1)
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs())
        .ok()
        .and_then(|seconds| Timestamp::from_unix(seconds, 0))
        .unwrap_or_default()
}
