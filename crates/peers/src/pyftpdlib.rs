//! pyftpdlib, which is a few lines of Python.

use std::process::Command;

use crate::brand::Site;
use crate::error::{PeerError, write};
use crate::find::python;

pub(crate) fn command(site: &Site<'_>) -> Result<Command, PeerError> {
    if site.implicit {
        return Err(PeerError::Unknown { program: "pyftpdlib", what: "TLS from the first octet" });
    }
    let both = site.both()?;
    let certificate = both.as_ref().map(|file| format!("h.certfile = {:?}\n", file.display().to_string()));
    let script = format!(
        "from pyftpdlib.authorizers import DummyAuthorizer\nfrom pyftpdlib.handlers import {handler} as h\n\
         from pyftpdlib.servers import FTPServer, ThreadedFTPServer\nServer = ThreadedFTPServer\n\
         a = DummyAuthorizer()\na.add_user({name:?}, {password:?}, {folder:?}, perm='elradfmwMT')\n\
         h.authorizer = a\nh.passive_ports = range(21000, 30000)\n{certificate}{more}\n\
         Server(({ip:?}, {port}), h).serve_forever()\n",
        handler = if both.is_some() { "TLS_FTPHandler" } else { "FTPHandler" },
        name = site.account.0,
        password = site.account.1,
        folder = site.folder.display().to_string(),
        certificate = certificate.unwrap_or_default(),
        more = site.more,
        ip = site.at.ip().to_string(),
        port = site.at.port(),
    );
    let file = write(site.home.join("server.py"), script)?;
    let mut command = python();
    command.arg(file);
    Ok(command)
}
