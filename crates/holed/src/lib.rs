//! The privileged helper: the one process of portway with CAP_NET_ADMIN.
//!
//! It takes records of fixed size on a Unix socket from users it was told to trust, checks each hole against its
//! own policy once more, and opens it. It knows neither FTP nor TLS, starts no program and reads no file.
//!
//! A gate starts one of its own (`--gate`), with its own end of a socket in place of standard input: that one also
//! translates addresses, tells what connection tracking knows, and with `--queue` holds packets until the gate has judged
//! them (over standard output). It ends with its gate and leaves rules in place that refuse, unless the gate asks for
//! their removal.

mod clients;
mod gate;
mod options;
mod privileges;
mod report;
mod serve;
mod signals;
mod socket;

use std::ffi::OsString;
use std::process::ExitCode;

use portway_nft::{Filter, Holes, Kept, OwnAddresses, TABLE};

use crate::options::{Options, Start};

/// Serves as these arguments say, the program's name not among them, until a signal or the gate's end.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let options = match Options::read(arguments) {
        Ok(Start::Serve(options)) => options,
        Ok(Start::Say(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("portway-holed: {error}\nTry portway-holed --help.");
            return ExitCode::from(2);
        }
    };
    match start(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("portway-holed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Why the helper does not start, or has stopped.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("{0}")]
    Filter(#[from] portway_nft::FilterError),
    #[error("{path}: {why}")]
    Socket { path: String, why: std::io::Error },
    #[error("cannot give up privileges: {0}")]
    Privileges(std::io::Error),
    #[error("cannot look after the guarded ports: {0}")]
    Guard(std::io::Error),
    #[error("cannot wait for requests: {0}")]
    Wait(std::io::Error),
    #[error("this helper is of version {0}, and the gate is not")]
    Version(&'static str),
    #[error("no packet queue: {0}")]
    Queue(std::io::Error),
}

fn start(options: &Options) -> Result<(), RunError> {
    if let Some(gate) = &options.gate {
        return gate::serve(gate, options);
    }
    let at = |why| RunError::Socket { path: options.socket.display().to_string(), why };
    let signals = signals::Signals::block().map_err(RunError::Wait)?;
    // First the socket: a second helper stops here and leaves the table of the first alone.
    let listener = socket::Listener::bind(&options.socket).map_err(at)?;
    let filter = Filter::install(&options.layout)?;
    privileges::keep_net_admin_only(options.user).map_err(RunError::Privileges)?;
    // A table that the kernel owns with us is spared by whoever loads his rules anew; one that guards ports is not.
    let guarded =
        options.layout.guard.as_ref().map(|_| Kept::of(TABLE)).transpose().map_err(RunError::Guard)?;
    eprintln!("portway-holed: ready on {}", options.socket.display());
    let holes = Holes::new(filter, options.policy.clone(), OwnAddresses::of_this_host());
    serve::serve(&listener, &signals, holes, guarded, options).map_err(RunError::Wait)
}
