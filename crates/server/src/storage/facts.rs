//! What is asked and told about one file: SIZE, MDTM, MFMT, MFF, MLST, STAT, AVBL.

use portway_accounts::Rights;
use portway_proto::row::MlsxFacts;
use portway_proto::{Code, ListArg, Reply, Representation, Timestamp};
use portway_vfs::{Kind, VPath, VfsError};

use super::listing::{self, Form};
use super::{User, no_right, refusal};

/// Rows that STAT lists on the control channel at most; longer listings belong on the data channel.
const STATUS_ROWS: usize = 1000;

impl User {
    /// SIZE (RFC 3659 §4). A broken upload answers with what arrived, so that the client can go on from there.
    pub(super) fn size(&self, arg: &[u8], representation: Representation) -> Reply {
        if !self.may_look_at_files() {
            return no_right();
        }
        if representation == Representation::Ascii {
            // The size on the wire would take reading the whole file.
            return Reply::new(Code::FILE_UNAVAILABLE, "SIZE is not known in ASCII mode; send TYPE I first.");
        }
        match self.path(arg).and_then(|path| self.size_of(&path)) {
            Ok(size) => Reply::new(Code::FILE_STATUS, size),
            Err(error) => refusal(arg, &error),
        }
    }

    /// Who may fetch a file or see it in a listing may know its size and time; who may only put files there
    /// must not find out what others have put.
    const fn may_look_at_files(&self) -> bool {
        self.may(Rights::READ) || self.may(Rights::LIST)
    }

    fn size_of(&self, path: &VPath) -> Result<u64, VfsError> {
        match self.storage.stat(path) {
            Ok(entry) if entry.kind == Kind::File => Ok(entry.size),
            Ok(entry) if entry.kind == Kind::Dir => Err(VfsError::IsADirectory),
            Ok(_) => Err(VfsError::Denied),
            Err(VfsError::NotFound) => {
                self.storage.partial(path).map(|entry| entry.size).ok_or(VfsError::NotFound)
            }
            Err(error) => Err(error),
        }
    }

    /// MDTM (RFC 3659 §3), and the form with a time that some clients use to set it.
    pub(super) fn modification_time(&self, arg: &[u8]) -> Reply {
        let asked = match self.may_look_at_files() {
            true => self.path(arg).and_then(|path| self.storage.stat(&path)),
            false => Err(VfsError::NotFound),
        };
        if let (Err(VfsError::NotFound), Some((time, name))) = (&asked, time_and_name(arg)) {
            return self.set_modification_time(time, name);
        }
        match asked {
            Err(_) if !self.may_look_at_files() => no_right(),
            Ok(entry) => match Timestamp::from_unix(entry.modified, 0) {
                Some(time) => Reply::new(Code::FILE_STATUS, time),
                None => refusal(arg, &VfsError::BadTime),
            },
            Err(error) => refusal(arg, &error),
        }
    }

    /// MFMT (draft-somers-ftp-mfxx §3).
    pub(super) fn set_modification_time(&self, time: &[u8], arg: &[u8]) -> Reply {
        if !self.may(Rights::CHMOD) {
            return no_right();
        }
        let Ok(stamp) = Timestamp::parse(time) else {
            return Reply::new(Code::BAD_PARAMETER, "Expected a time as YYYYMMDDHHMMSS, in UTC.");
        };
        match self.path(arg).and_then(|path| self.storage.set_modified(&path, stamp.unix(), stamp.nanos())) {
            Ok(()) => {
                let mut text = format!("Modify={stamp}; ").into_bytes();
                text.extend_from_slice(arg);
                Reply::octets(Code::FILE_STATUS, &text)
            }
            Err(error) => refusal(arg, &error),
        }
    }

    /// MFF (draft-somers-ftp-mfxx §5): all facts are read before the first is set.
    pub(super) fn set_facts(&self, facts: &[u8], arg: &[u8]) -> Reply {
        if !self.may(Rights::CHMOD) {
            return no_right();
        }
        let (mut modified, mut mode) = (None, None);
        for fact in facts.split(|&b| b == b';').filter(|fact| !fact.is_empty()) {
            let (name, value) = fact.split_at(fact.iter().position(|&b| b == b'=').unwrap_or(fact.len()));
            let value = value.get(1..).unwrap_or_default();
            if name.eq_ignore_ascii_case(b"modify") {
                modified = Timestamp::parse(value).ok();
                if modified.is_none() {
                    return Reply::new(
                        Code::BAD_PARAMETER,
                        "MFF: Modify is a time as YYYYMMDDHHMMSS, in UTC.",
                    );
                }
            } else if name.eq_ignore_ascii_case(b"UNIX.mode") {
                mode = std::str::from_utf8(value).ok().and_then(|text| u32::from_str_radix(text, 8).ok());
                if mode.is_none() {
                    return Reply::new(Code::BAD_PARAMETER, "MFF: UNIX.mode is an octal number such as 644.");
                }
            } else {
                return Reply::new(
                    Code::PARAMETER_NOT_IMPLEMENTED,
                    "MFF: only Modify and UNIX.mode can be set.",
                );
            }
        }
        let set = self.path(arg).and_then(|path| {
            mode.map_or(Ok(()), |mode| self.storage.set_mode(&path, mode))?;
            modified.map_or(Ok(()), |time| self.storage.set_modified(&path, time.unix(), time.nanos()))
        });
        match set {
            Ok(()) => {
                let mut text = String::new();
                if let Some(time) = modified {
                    text.push_str(&format!("Modify={time};"));
                }
                if let Some(mode) = mode {
                    text.push_str(&format!("UNIX.mode={mode:04o};"));
                }
                let mut text = text.into_bytes();
                text.push(b' ');
                text.extend_from_slice(arg);
                Reply::octets(Code::FILE_STATUS, &text)
            }
            Err(error) => refusal(arg, &error),
        }
    }

    /// MLST (RFC 3659 §7): one row on the control channel, with the full path.
    pub(super) fn machine_facts(&self, arg: Option<&[u8]>, facts: MlsxFacts) -> Reply {
        if !self.may(Rights::LIST) {
            return no_right();
        }
        let name = arg.unwrap_or_default();
        match self.path(name).and_then(|path| Ok((self.look(&path)?, path))) {
            Ok((entry, path)) => {
                let mut row = listing::row(entry, self.principal.rights);
                row.name = path.as_bytes().to_vec();
                let mut line = Vec::new();
                row.write_mlst(facts, &mut line);
                Reply::new(Code::FILE_ACTION_OK, "Listed:").line_octets(&line).line("End")
            }
            Err(error) => refusal(name, &error),
        }
    }

    /// STAT of a path: a listing in the reply (RFC 959 §4.1.3).
    pub(super) async fn status_of(&self, arg: ListArg<'_>) -> Reply {
        if !self.may(Rights::LIST) {
            return no_right();
        }
        let name = arg.path.unwrap_or_default();
        let rows = match listing::begin(self, Form::Long, arg.path) {
            Ok(rows) => rows,
            Err(error) => return refusal(name, &error),
        };
        let listing = move |_: &Self| rows.take(STATUS_ROWS + 1).collect::<Result<Vec<_>, _>>();
        match self.blocking(&self.turns.storage, listing).await {
            Ok(rows) => {
                let mut reply = Reply::new(Code::FILE_STATUS, "Status follows:");
                for row in rows.iter().take(STATUS_ROWS) {
                    reply = reply.line_octets(row.strip_suffix(b"\r\n").unwrap_or(row));
                }
                reply.line(if rows.len() > STATUS_ROWS { "End; there is more, use LIST" } else { "End" })
            }
            Err(error) => refusal(name, &error),
        }
    }

    /// AVBL.
    pub(super) fn available(&self, arg: Option<&[u8]>) -> Reply {
        let name = arg.unwrap_or_default();
        match self.path(name).and_then(|path| self.storage.space(&path)) {
            Ok(octets) => Reply::new(Code::FILE_STATUS, octets),
            Err(error) => refusal(name, &error),
        }
    }
}

/// `20200102030405 name`, as some clients send to MDTM.
fn time_and_name(arg: &[u8]) -> Option<(&[u8], &[u8])> {
    let (time, name) = portway_proto::split_verb(arg);
    (Timestamp::parse(time).is_ok()).then_some((time, name.filter(|name| !name.is_empty())?))
}
