//! What looking into files changes about a transfer: it always begins at the beginning, and an upload stays aside
//! until it has passed.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use portway_interpreter::End;
use portway_proto::{Code, Command, RawReply, Reply, Representation, Transfer, TransferKind};
use tokio::time::timeout;

use super::{Server, Session};
use crate::filter::ASIDE;
use crate::inspect::{Inspect, Inspection, Subject};
use crate::leftovers::Unsettled;
use crate::upstream::{Lost, Upstream, shown};

/// How long the server may take to delete what a client that is gone has left behind.
const SWEEP: Duration = Duration::from_secs(10);

/// A transfer that somebody looks into.
pub(super) struct Looked {
    pub(super) inspection: Inspection,
    /// Where the client goes on (REST). The inspection sees the whole file all the same, or a file could be fetched
    /// in pieces of which none is suspicious.
    pub(super) leave_out: u64,
    pub(super) aside: Option<Aside>,
}

/// An upload that has a name of ours until it has passed, so that nothing stands under its own name but what has,
/// and what stood there before stays.
pub(super) struct Aside {
    name: Vec<u8>,
    temporary: Vec<u8>,
    /// From when the server may have it until it has another name or is deleted.
    unsettled: Option<Unsettled>,
}

impl Session {
    /// Learns where an upload will stand, so that it can be found again. False if the server is lost, and the client
    /// has been told.
    pub(super) async fn locate(&mut self, transfer: &Transfer<'_>) -> Result<bool, End> {
        if self.config.inspect.is_some()
            && matches!(transfer.kind, TransferKind::Stor(name) if !name.starts_with(b"/"))
        {
            self.ask_directory().await?;
            return Ok(self.upstream.is_some());
        }
        Ok(true)
    }

    /// Begins to look into a file; listings are none.
    ///
    /// The inner error is what the client is told.
    pub(super) async fn look_into(
        &mut self,
        transfer: &Transfer<'_>,
    ) -> Result<Result<Option<Looked>, Reply>, End> {
        let Some(inspect) = &self.config.inspect else { return Ok(Ok(None)) };
        let (Some(server), false) = (&mut self.upstream, transfer.kind.is_listing()) else {
            return Ok(Ok(None));
        };
        let refuse = |text: &str| Ok(Err(Reply::new(Code::FILE_UNAVAILABLE, text)));
        let aside = match transfer.kind {
            TransferKind::Stor(_) if transfer.restart > 0 => {
                return refuse(
                    "The proxy looks into whole files: send this one from its beginning, without REST.",
                );
            }
            TransferKind::Stor(name) => match Aside::of(name) {
                Some(aside) => Some(aside),
                None => return refuse("This is no name of a file."),
            },
            // What an offset counts in text is the server's secret.
            _ if transfer.restart > 0 && transfer.representation == Representation::Ascii => {
                return refuse("The proxy looks into whole files: go on in the middle of one in TYPE I.");
            }
            _ => None,
        };
        let octets = match transfer.kind {
            TransferKind::Retr(name)
                if inspect.asks_for_size() && transfer.representation == Representation::Image =>
            {
                self.client.control.attend(size(&mut server.leg, name)).await?
            }
            _ => None,
        };
        let subject = Subject {
            verb: transfer.kind.verb().name(),
            path: transfer.kind.name(),
            user: &server.user,
            client: self.client.peer.ip().to_canonical(),
            server: server.leg.host(),
            upload: aside.is_some(),
            octets,
        };
        match self.client.control.attend(inspect.start(&subject)).await? {
            Ok(inspection) => Ok(Ok(Some(Looked { inspection, leave_out: transfer.restart, aside }))),
            Err(error) => {
                refuse(&format!("The proxy cannot look into this file now ({error}), so it does not pass."))
            }
        }
    }

    /// Gives an upload that has passed its name. A client that leaves meanwhile has its file all the same.
    pub(super) async fn put_in_place(
        &mut self,
        mut aside: Aside,
        done: Reply,
    ) -> (Reply, Option<&'static str>) {
        let Some(server) = &mut self.upstream else { return (done, None) };
        match place(&mut server.leg, &aside).await {
            Ok(None) => {
                aside.settle();
                (done, None)
            }
            Ok(Some(why)) => {
                aside.settle();
                let text = format!(
                    "The file has passed, but the server does not let it have its name ({}): the proxy stores \
                     uploads under another until they have passed. Nothing was changed.",
                    shown(&why)
                );
                (Reply::new(Code::NAME_NOT_ALLOWED, text), Some("not_renamed"))
            }
            Err(lost) => {
                self.log_lost(&lost);
                self.leave_server();
                let text = format!("{lost}; whether the file has its name is not known.");
                (Reply::new(Code::TRANSFER_ABORTED, text), Some("server_lost"))
            }
        }
    }

    /// Deletes an upload that has not passed, or not arrived whole.
    pub(super) async fn discard(&mut self, mut aside: Aside) {
        let Some(server) = &mut self.upstream else { return };
        // Servers that keep nothing of an upload that broke say 550, which is all right, too.
        match server.leg.call(&Command::Dele(&aside.temporary)).await {
            Ok(_) => aside.settle(),
            Err(lost) => {
                self.log_lost(&lost);
                self.leave_server();
            }
        }
    }

    /// The same after the client has left.
    pub(super) fn sweep(&mut self, mut aside: Aside) {
        let Some(mut server) = self.upstream.take() else { return };
        tokio::spawn(async move {
            if let Ok(Ok(_)) = timeout(SWEEP, server.leg.call(&Command::Dele(&aside.temporary))).await {
                aside.settle();
            }
            server.leg.quit().await;
        });
    }

    /// Deletes what earlier sessions of this user had to leave at this server.
    pub(super) async fn delete_leftovers(&mut self) -> Result<(), End> {
        let (Some(inspect), Some(server)) = (&self.config.inspect, &self.upstream) else { return Ok(()) };
        for mut file in inspect.leftovers().of(&server.owner()) {
            let Some(_) = self.ask(&Command::Dele(file.path())).await? else { return Ok(()) };
            file.settle();
        }
        Ok(())
    }
}

impl Aside {
    /// A name nobody can guess in the same directory, hidden in listings; `None` if this is no name of a file.
    fn of(name: &[u8]) -> Option<Self> {
        let at = name.iter().rposition(|&octet| octet == b'/').map_or(0, |slash| slash + 1);
        let (directory, base) = name.split_at_checked(at)?;
        if matches!(base, b"" | b"." | b"..") {
            return None;
        }
        let hidden = format!("{ASIDE}{:016x}", RandomState::new().hash_one(name));
        let temporary = [directory, hidden.as_bytes()].concat();
        Some(Self { name: name.to_vec(), temporary, unsettled: None })
    }

    /// It may stand at the server from now on, and if that is lost, stays there until its user comes back.
    pub(super) fn is_sent(&mut self, inspect: &Inspect, server: &Server) {
        let path = match (self.temporary.starts_with(b"/"), server.directory.as_deref()) {
            (true, _) => self.temporary.clone(),
            (false, Some(b"/")) => [b"/", &self.temporary[..]].concat(),
            (false, Some(directory)) => [directory, b"/", &self.temporary].concat(),
            // A server that does not say where the session is: nobody could find the file again.
            (false, None) => return,
        };
        self.unsettled = Some(inspect.leftovers().watch(server.owner(), path));
    }

    /// The server has not begun to store it, or has renamed or deleted it.
    pub(super) fn settle(&mut self) {
        if let Some(unsettled) = &mut self.unsettled {
            unsettled.settle();
        }
    }

    /// The command that stores it.
    pub(super) fn stor(&self) -> Command<'_> {
        Command::Stor(&self.temporary)
    }

    /// What the server says about it, with the name that the client knows.
    pub(super) fn named(&self, mut reply: RawReply) -> RawReply {
        let base = |path: &'_ [u8]| path.rsplit(|&octet| octet == b'/').next().unwrap_or_default().to_vec();
        let (own, theirs) = (base(&self.temporary), base(&self.name));
        for line in &mut reply.lines {
            while let Some(at) = line.windows(own.len()).position(|part| part == own) {
                line.splice(at..at + own.len(), theirs.iter().copied());
            }
        }
        reply
    }
}

/// The length of a file, if the server tells (RFC 3659 §4). That the server is lost will show by itself.
async fn size(leg: &mut Upstream, name: &[u8]) -> Option<u64> {
    let reply = leg.call(&Command::Size(name)).await.ok().filter(|reply| reply.code == 213)?;
    std::str::from_utf8(reply.lines.first()?).ok()?.trim().parse().ok()
}

/// Renames what has passed over whatever stands there. A server's refusal comes back, and the file is gone then.
async fn place(leg: &mut Upstream, aside: &Aside) -> Result<Option<RawReply>, Lost> {
    let from = leg.call(&Command::Rnfr(&aside.temporary)).await?;
    let refused = match from.code {
        // RFC 959 §5.4: 350.
        300..=399 => {
            let to = leg.call(&Command::Rnto(&aside.name)).await?;
            if to.code < 300 { None } else { Some(to) }
        }
        _ => Some(from),
    };
    if refused.is_some() {
        leg.call(&Command::Dele(&aside.temporary)).await?;
    }
    Ok(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_stays_in_its_directory_under_a_name_of_its_own() {
        for (name, directory) in [("f", ""), ("a/f", "a/"), ("/a/b/f", "/a/b/"), ("/f", "/")] {
            let aside = Aside::of(name.as_bytes()).unwrap();
            let temporary = String::from_utf8(aside.temporary.clone()).unwrap();
            assert!(temporary.starts_with(&format!("{directory}.portway-")), "{temporary}");
            assert_ne!(temporary, String::from_utf8(Aside::of(name.as_bytes()).unwrap().temporary).unwrap());
            let said = RawReply { code: 150, lines: vec![format!("Opening {temporary}.").into_bytes()] };
            assert_eq!(aside.named(said).lines, [format!("Opening {directory}f.").into_bytes()]);
        }
        for name in ["", "a/", "/", ".", "..", "a/.."] {
            assert!(Aside::of(name.as_bytes()).is_none(), "{name:?}");
        }
    }
}
