//! The work of one transfer: what is moved, from preparation to the bytes' end.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use portway_accounts::Rights;
use portway_data::{
    Compression, DataConn, Facts, Failure, Options, Progress, Representation as Form, receive_file,
    send_file, send_stream,
};
use portway_interpreter::{Pending, capitalized};
use portway_proto::{Code, Mode, Reply, Representation, RestartSearch, Transfer, TransferKind};
use portway_vfs::{Entry, Kind, Upload, VPath, VfsError, Write};
use tokio::time::Instant;

use crate::storage::listing::{Form as RowForm, Rows};
use crate::storage::{User, listing, name_refusal, no_right, outcome, refusal};

/// Names that STOU tries before it gives up.
const UNIQUE_NAMES: u32 = 10_000;

/// Octets of a file that are searched in one turn.
const SEARCHED: usize = 1024 * 1024;

/// What a transfer moves; opened before the data connection is, so that a missing file costs none.
pub(super) enum Job {
    Send { file: File, from: u64, form: Form },
    List(Rows),
    Receive(Box<dyn Upload>),
}

/// A job that is ready, and what the 150 says of it.
pub(super) struct Prepared {
    pub(super) job: Job,
    pub(super) announce: Vec<u8>,
    /// The path as the user sees it, for the log.
    pub(super) path: VPath,
    /// STOU: the name that was found.
    pub(super) stored_as: Option<Vec<u8>>,
}

/// How a job ended.
pub(super) struct Done {
    pub(super) result: Result<(), Broken>,
    pub(super) facts: Option<(Facts, bool)>,
    /// Block mode: what the next transfer may use.
    pub(super) kept: Option<Box<DataConn>>,
    /// An upload that is all here, and still has no name. Dropped, it stays resumable.
    pub(super) arrived: Option<Box<dyn Upload>>,
}

/// What broke it.
pub(super) enum Broken {
    /// The data connection never was, or broke, or the local file failed while octets moved.
    Data(Failure),
    /// Storage refused at the end, or in the middle of a listing.
    Storage(VfsError),
}

/// Checks rights and opens what the transfer needs; the error is the final reply.
pub(super) async fn prepare(
    user: &User,
    transfer: &Transfer<'_>,
    facts: portway_proto::row::MlsxFacts,
) -> Result<Prepared, Reply> {
    let may = |right| if user.may(right) { Ok(()) } else { Err(no_right()) };
    match transfer.kind {
        TransferKind::Retr(name) => {
            may(Rights::READ)?;
            retrieve(user, name, transfer).await.map_err(|error| refusal(name, &error))
        }
        TransferKind::Stor(name) => {
            may(Rights::WRITE)?;
            if transfer.restart > 0 && transfer.representation == Representation::Ascii {
                return Err(Reply::new(Code::INVALID_RESTART, "An upload can be resumed in TYPE I only."));
            }
            if transfer.restart == 0 {
                return store(user, name, Write::Replace).map_err(|error| name_refusal(name, &error));
            }
            // It may have to copy all that comes before.
            let (owned, how) = (name.to_vec(), Write::At(transfer.restart));
            let begun = user.blocking(&user.turns.storage, move |user| store(user, &owned, how)).await;
            begun.map_err(|error| name_refusal(name, &error))
        }
        TransferKind::Appe(name) => {
            may(Rights::APPEND)?;
            // REST and APPE: some clients send both to resume; the end of what is there is what counts. Who believes
            // that there is more would leave a gap.
            if transfer.representation == Representation::Image && transfer.restart > stored(user, name) {
                return Err(name_refusal(name, &VfsError::BadOffset));
            }
            store(user, name, Write::Append).map_err(|error| name_refusal(name, &error))
        }
        TransferKind::Stou(name) => {
            may(Rights::WRITE)?;
            let name = name.unwrap_or(b"unique");
            let owned = name.to_vec();
            let found = user.blocking(&user.turns.storage, move |user| store_unique(user, &owned)).await;
            found.map_err(|error| name_refusal(name, &error))
        }
        TransferKind::List(arg) => list(user, RowForm::Long, arg.path, may(Rights::LIST)),
        // RFC 959 §4.1.3 wants names and nothing else. `ls -l` of Windows' ftp.exe sends NLST -l, and vsftpd answers what is meant.
        TransferKind::Nlst(arg) if arg.has(b'l') => list(user, RowForm::Long, arg.path, may(Rights::LIST)),
        TransferKind::Nlst(arg) => list(user, RowForm::Names, arg.path, may(Rights::LIST)),
        TransferKind::Mlsd(path) => list(user, RowForm::Facts(facts), path, may(Rights::LIST)),
    }
}

async fn retrieve(user: &User, name: &[u8], transfer: &Transfer<'_>) -> Result<Prepared, VfsError> {
    let path = user.path(name)?;
    let (file, entry) = user.storage.open(&path)?;
    if transfer.restart > entry.size && transfer.representation == Representation::Image {
        return Err(VfsError::BadOffset);
    }
    let (file, from, form) = begin_at(user, file, transfer).await?;
    let kind = if transfer.representation == Representation::Ascii { "ASCII" } else { "BINARY" };
    let mut announce = format!("Opening {kind} mode data connection for ").into_bytes();
    announce.extend_from_slice(name);
    // Clients read the size from these brackets.
    announce.extend_from_slice(format!(" ({} bytes).", entry.size).as_bytes());
    let job = Job::Send { file, from, form };
    Ok(Prepared { job, announce, path, stored_as: None })
}

/// Where reading begins. In ASCII the offset of REST counts octets on the wire, so the file is searched for it
/// (RFC 3659 §5.3).
async fn begin_at(
    user: &User,
    mut file: File,
    transfer: &Transfer<'_>,
) -> Result<(File, u64, Form), VfsError> {
    match (transfer.representation, transfer.restart) {
        (Representation::Image, offset) => return Ok((file, offset, Form::Binary)),
        (Representation::Ascii, 0) => return Ok((file, 0, Form::Ascii)),
        (Representation::Ascii, _) => {}
    }
    let mut search = RestartSearch::new(transfer.restart);
    let mut at = 0;
    loop {
        let piece = move |_: &User| {
            let mut block = vec![0; SEARCHED];
            let read = file.read_at(&mut block, at)?;
            let found = search.skip(block.get(..read).unwrap_or_default());
            Ok((file, search, read, found))
        };
        let (read, found);
        (file, search, read, found) = user.blocking(&user.turns.storage, piece).await?;
        if let Some(found) = found {
            return Ok((file, found.to_network().0, Form::AsciiFrom(found)));
        }
        if read == 0 {
            return Err(VfsError::BadOffset);
        }
        at += read as u64;
    }
}

fn store(user: &User, name: &[u8], how: Write) -> Result<Prepared, VfsError> {
    let path = user.path(name)?;
    let before = user.storage.stat(&path);
    match &before {
        Ok(Entry { kind: Kind::Dir, .. }) => return Err(VfsError::IsADirectory),
        Ok(_) if how != Write::Append && !user.may(Rights::OVERWRITE) => return Err(VfsError::Exists),
        // Who may lengthen files may not make new ones by that.
        Err(_) if !user.may(Rights::WRITE) => return Err(VfsError::Denied),
        _ => {}
    }
    if let (Ok(complete), Some(partial)) = (&before, user.storage.partial(&path))
        && partial.modified >= complete.modified
        && match how {
            Write::At(offset) => offset > partial.size,
            Write::Append => true,
            Write::Replace | Write::New => false,
        }
    {
        // The client resumes a replacement that broke, and has taken the old file's size for what arrived of
        // the new one. Going on there would mix the two.
        return Err(VfsError::BadOffset);
    }
    let mut upload = user.storage.create(&path, how)?;
    if let Some(umask) = user.umask {
        upload.set_new_mode(0o666 & !umask);
    }
    let announce = [b"Ready to receive ", name, b"."].concat();
    Ok(Prepared { job: Job::Receive(upload), announce, path, stored_as: None })
}

/// Octets that APPE may go on behind: of the file, or of what arrived of a broken upload.
fn stored(user: &User, name: &[u8]) -> u64 {
    let Ok(path) = user.path(name) else { return 0 };
    let there = [user.storage.partial(&path), user.storage.stat(&path).ok()];
    there.into_iter().flatten().map(|entry| entry.size).max().unwrap_or(0)
}

/// STOU (RFC 1123 §4.1.2.9): the 150 names the file as `FILE: name`.
fn store_unique(user: &User, name: &[u8]) -> Result<Prepared, VfsError> {
    for number in 0..UNIQUE_NAMES {
        let mut unique = name.to_vec();
        if number > 0 {
            unique.extend_from_slice(format!(".{number}").as_bytes());
        }
        match store(user, &unique, Write::New) {
            Err(VfsError::Exists | VfsError::Busy | VfsError::IsADirectory) => {}
            Err(error) => return Err(error),
            Ok(mut prepared) => {
                prepared.announce = [b"FILE: ", unique.as_slice()].concat();
                prepared.stored_as = Some(unique);
                return Ok(prepared);
            }
        }
    }
    Err(VfsError::Exists)
}

fn list(user: &User, form: RowForm, arg: Option<&[u8]>, may: Result<(), Reply>) -> Result<Prepared, Reply> {
    may?;
    let name = arg.unwrap_or_default();
    let listed = user.path(name).and_then(|path| Ok((listing::begin(user, form, arg)?, path)));
    let (rows, path) = listed.map_err(|error| refusal(name, &error))?;
    Ok(Prepared {
        job: Job::List(rows),
        announce: b"Here comes the listing.".to_vec(),
        path,
        stored_as: None,
    })
}

/// How a transfer moves its octets.
pub(super) fn options(transfer: &Transfer<'_>, stall: Duration) -> Options<'static> {
    let mut options = Options { stall, ..Options::default() };
    // Listings are text with CRLF already, whatever TYPE says (RFC 959 §4.1.3 wants them in ASCII).
    let text = transfer.representation == Representation::Ascii
        && matches!(
            transfer.kind,
            TransferKind::Retr(_) | TransferKind::Stor(_) | TransferKind::Appe(_) | TransferKind::Stou(_)
        );
    options.blocks = transfer.mode == Mode::Block;
    options.representation = if text { Form::Ascii } else { Form::Binary };
    if transfer.mode == Mode::Deflate {
        options.compression = Compression::Deflate(transfer.deflate_level);
    }
    options
}

/// Gets the data connection and moves the octets. Dropping it in the middle is ABOR: the connection is reset,
/// a broken upload stays resumable.
pub(super) async fn run(
    pending: Pending,
    job: Job,
    options: Options<'static>,
    deadline: Instant,
    progress: &Progress,
) -> Done {
    let mut conn = match pending.connect(deadline).await {
        Ok(conn) => conn,
        Err(failure) => {
            return Done { result: Err(Broken::Data(failure)), facts: None, kept: None, arrived: None };
        }
    };
    let facts = Some((conn.facts().clone(), conn.tls().is_some()));
    let mut arrived = None;
    let blocks = options.blocks;
    let moved = match job {
        Job::Send { file, from, form } => {
            let options = Options { representation: form, ..options };
            let sent = send_file(&mut conn, &file, from, None, options, progress).await;
            sent.map(drop).map_err(Broken::Data)
        }
        Job::List(mut rows) => {
            let mut failed = None;
            let sent = send_stream(
                &mut conn,
                |out: &mut Vec<u8>| match rows.write_next(out) {
                    Some(Ok(())) => Ok(true),
                    Some(Err(error)) => {
                        failed = Some(error);
                        Err(io::ErrorKind::Other.into())
                    }
                    None => Ok(false),
                },
                options,
                progress,
            )
            .await;
            match (sent, failed) {
                (_, Some(error)) => Err(Broken::Storage(error)),
                (Err(failure), None) => Err(Broken::Data(failure)),
                (Ok(_), None) => Ok(()),
            }
        }
        // Up to its end mark, which is close_notify under TLS in stream mode (RFC 4217 §12.7).
        Job::Receive(upload) => match receive_file(&mut conn, upload.file(), options, progress).await {
            Ok(_) => {
                arrived = Some(upload);
                Ok(())
            }
            Err(failure) => Err(Broken::Data(failure)),
        },
    };
    let (result, kept) = match moved {
        Err(broken) => (Err(broken), None),
        Ok(()) if blocks => (Ok(()), Some(Box::new(conn.rest()))),
        Ok(()) => (conn.finish().await.map_err(Broken::Data), None),
    };
    let arrived = arrived.filter(|_| result.is_ok());
    Done { result, facts, kept, arrived }
}

impl Broken {
    /// The final reply.
    pub(super) fn reply(&self, name: &[u8]) -> Reply {
        match self {
            Self::Data(failure) => Reply::new(failure.code(), capitalized(&format!("{failure}."))),
            Self::Storage(error) => refusal(name, error),
        }
    }

    /// The word for the log.
    pub(super) fn cause(&self) -> &'static str {
        match self {
            Self::Data(failure) => failure.cause(),
            Self::Storage(error) => match outcome::code(error).number() {
                452 => "disk_full",
                552 => "quota",
                _ => "storage",
            },
        }
    }
}
