//! Commands that act on storage, and the replies to them.

mod facts;
mod files;
pub(crate) mod glob;
mod hash;
pub(crate) mod listing;
pub(crate) mod outcome;
mod site;

use std::sync::Arc;

use portway_accounts::{Principal, Rights};
use portway_proto::{Code, Command, Reply, ServerSession};
use portway_vfs::{VPath, Vfs, VfsError};

use crate::turns::{Kind, Turns};
pub(crate) use outcome::{name_refusal, no_right, refusal};

/// Somebody who is logged in, and where he stands.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) principal: Principal,
    /// The storage from his home on.
    pub(crate) storage: Arc<dyn Vfs>,
    pub(crate) directory: VPath,
    /// SITE UMASK; `None` leaves it to the storage.
    pub(crate) umask: Option<u32>,
    pub(crate) turns: Arc<Turns>,
}

impl User {
    /// The path that an argument means here.
    pub(crate) fn path(&self, arg: &[u8]) -> Result<VPath, VfsError> {
        VPath::resolve(&self.directory, arg).ok_or(VfsError::BadName)
    }

    pub(crate) const fn may(&self, right: Rights) -> bool {
        self.principal.rights.allows(right)
    }

    /// Runs something that may block long where it may, when its turn has come.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        kind: &Kind,
        work: impl FnOnce(&Self) -> Result<T, VfsError> + Send + 'static,
    ) -> Result<T, VfsError> {
        let (turn, user) = (kind.turn().await, self.clone());
        let working = tokio::task::spawn_blocking(move || {
            let done = work(&user);
            drop(turn);
            done
        });
        working.await.unwrap_or_else(|gone| Err(VfsError::Io(std::io::Error::other(gone))))
    }

    /// Does what a command asks and makes its reply.
    pub(crate) async fn perform(&mut self, command: Command<'_>, dialogue: &ServerSession) -> Reply {
        match command {
            Command::Cwd(path) => self.change_directory(path),
            Command::Cdup => self.change_directory(b".."),
            Command::Pwd => self.print_directory(),
            Command::Mkd(path) => self.make_directory(path),
            Command::Rmd(path) => self.remove_directory(path),
            Command::Rmda(path) => self.remove_tree(path).await,
            Command::Dele(path) => self.delete(path),
            Command::Comb(arg) => self.combine(arg).await,
            Command::Size(path) => self.size(path, dialogue.representation()),
            Command::Mdtm(arg) => self.modification_time(arg),
            Command::Mfmt { time, path } => self.set_modification_time(time, path),
            Command::Mff { facts, path } => self.set_facts(facts, path),
            Command::Mlst(path) => self.machine_facts(path, dialogue.facts()),
            Command::Stat(Some(arg)) => self.status_of(arg).await,
            Command::Avbl(path) => self.available(path),
            Command::Hash(path) => match dialogue.hash() {
                Some(algorithm) => self.hash(algorithm, path).await,
                None => Reply::new(Code::NOT_IMPLEMENTED, "Digests are off."),
            },
            Command::Digest { algorithm, arg } => self.digest(algorithm, arg).await,
            Command::Site(site) => self.site(site),
            // Whatever the dialogue did not answer itself and storage does not know.
            _ => Reply::new(Code::NOT_IMPLEMENTED, "This command is not served."),
        }
    }
}
