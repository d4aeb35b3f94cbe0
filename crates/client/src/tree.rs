//! The tree at the server: directories made with those above them, removed with all below them; names changed.

use portway_proto::row::RowKind;
use portway_proto::{Command, printable};

use crate::{Cause, Connection, Error, Phase};

/// How deep a tree may be; a server with a loop of links that says nothing of it ends here.
pub(crate) const DEEPEST: usize = 128;

impl Connection {
    /// Makes a directory, and the ones above it if need be; false if it was there.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn make_dir(&mut self, path: &[u8]) -> Result<bool, Error> {
        let reply = self.call(&Command::Mkd(path)).await?;
        if reply.code / 100 == 2 {
            return Ok(true);
        }
        // Made by another session meanwhile, or there before.
        let here = self.call(&Command::Pwd).await?;
        if self.call(&Command::Cwd(path)).await?.code / 100 == 2 {
            let back = portway_proto::client::quoted_path(&here).unwrap_or_else(|| b"/".to_vec());
            self.demand(&Command::Cwd(&back)).await?;
            return Ok(false);
        }
        if let Some(slash) = path.iter().rposition(|&b| b == b'/').filter(|&slash| slash > 0) {
            let above = path.get(..slash).unwrap_or_default();
            if Box::pin(self.make_dir(above)).await? && self.call(&Command::Mkd(path)).await?.code / 100 == 2
            {
                return Ok(true);
            }
        }
        let command = format!("MKD {}", printable(path));
        Err(Error::new(Phase::Command, Cause::Refused { command, reply }))
    }

    /// Removes a file, or a directory with all below it if `recursive`.
    ///
    /// # Errors
    /// [`Error`]; what was removed before stays removed.
    pub async fn remove(&mut self, path: &[u8], directory: bool, recursive: bool) -> Result<(), Error> {
        if !directory {
            return self.demand(&Command::Dele(path)).await.map(drop);
        }
        let mut left = vec![(path.to_vec(), false)];
        let mut depth = 0_usize;
        while let Some((path, emptied)) = left.pop() {
            if emptied || !recursive {
                depth = depth.saturating_sub(1);
                self.demand(&Command::Rmd(&path)).await?;
                continue;
            }
            if depth > DEEPEST {
                let what = format!(
                    "the tree is more than {DEEPEST} directories deep, as one with a loop of links in it; what is left \
                     of it stays"
                );
                return Err(Error::new(Phase::Command, Cause::Listing(what)));
            }
            let rows = self.list(Some(&path)).await?;
            depth += 1;
            left.push((path.clone(), true));
            for row in rows {
                let Some(name) = row.safe_name() else {
                    return Err(Error::new(Phase::Local, Cause::UnsafeName(printable(&row.name))));
                };
                let below = [path.as_slice(), b"/", name].concat();
                if row.kind == RowKind::Dir {
                    left.push((below, false));
                } else {
                    self.demand(&Command::Dele(&below)).await?;
                }
            }
        }
        Ok(())
    }

    /// Renames at the server. An existing file of that name is replaced, also where the server minds.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<(), Error> {
        self.demand(&Command::Rnfr(from)).await?;
        let reply = self.call(&Command::Rnto(to)).await?;
        if reply.code / 100 == 2 {
            return Ok(());
        }
        if self.call(&Command::Dele(to)).await?.code / 100 == 2 {
            self.demand(&Command::Rnfr(from)).await?;
            self.demand(&Command::Rnto(to)).await?;
            return Ok(());
        }
        let command = format!("RNTO {}", printable(to));
        Err(Error::new(Phase::Command, Cause::Refused { command, reply }))
    }
}
