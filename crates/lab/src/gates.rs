//! `portway gate` on the machines between, and the server that tells one of them its ports.

use std::path::Path;
use std::process::Command;

use crate::cell::{Cell, Cure, Mode, Piece};
use crate::error::LabError;
use crate::network::{FAR_GATE_AT_SERVER, GATE_AT_SERVER, SERVER};
use crate::program::{feed, ourselves};
use crate::scenario::Scenario;
use crate::space::Host;
use crate::trial::{spawn, until};

/// Where the gate listens for servers.
const AGENT: u16 = 8021;
/// What the server is called there.
const NAME: &str = "server";

/// Makes certificates for the gate and the server.
pub(crate) fn enroll(folder: &Path) -> Result<(), LabError> {
    let mut command = ourselves();
    command.args(["gate", "enroll", NAME, "--agent-dir"]).arg(folder.join("agent"));
    for address in SERVER {
        command.args(["--address", address]);
    }
    feed("portway gate enroll", &mut command, "")
}

/// Makes the authority in whose name gates stand in for servers, and lists it beside the server's certificate: behind
/// a gate there may be another.
pub(crate) fn trust(folder: &Path) -> Result<(), LabError> {
    let mut command = ourselves();
    command.args(["proxy", "ca"]).arg(folder.join("ca"));
    feed("portway proxy ca", &mut command, "")?;
    let mut trusted = Vec::new();
    for file in ["server.pem", "ca/proxy-ca.pem"] {
        trusted.extend(std::fs::read(folder.join(file)).map_err(LabError::system("no certificate"))?);
    }
    std::fs::write(folder.join("trusted.pem"), trusted).map_err(LabError::system("no certificate"))
}

/// Starts the gate on the `index`-th machine between, and waits until it says that it is ready.
pub(crate) fn start(cell: &Cell, host: &Host, folder: &Path, index: usize) -> Result<(), LabError> {
    let log = folder.join(format!("gate-{index}.log"));
    let mut command = ourselves();
    command.args(["gate", "run", "--interface", "cli", "--status-socket"]);
    command.arg(folder.join(format!("gate-{index}.sock"))).current_dir(folder).env("HOME", folder);
    if cell.cure == Cure::Inspect {
        command.args(["--engine", "inspect"]);
    }
    if cell.piece() == Piece::Agent && index == in_the_way(cell).0 {
        command.args(["--agent", &format!("{}:{AGENT}", in_the_way(cell).1), "--agent-dir"]);
        command.arg(folder.join("agent"));
    }
    if cell.piece() == Piece::Bridge {
        command.args(["--auth-tls", "bridge", "--ca-dir"]).arg(folder.join("ca"));
        command.arg("--upstream-ca").arg(folder.join("trusted.pem"));
    }
    host.run(move || {
        let mut child = spawn(&mut command, &log)?;
        until(&mut child, "portway gate", &log, || {
            std::fs::read_to_string(&log).is_ok_and(|text| text.lines().any(|line| line == "ready"))
        })
    })?
}

/// Lets the server tell the gate that is in the way.
pub(crate) fn tell(cell: &Cell, server: &mut Command, folder: &Path) {
    server.arg("--pinholes").arg(format!("agent:{}:{AGENT}", in_the_way(cell).1));
    server.arg("--agent-dir").arg(folder.join("agent").join(NAME));
}

/// Which machine between drops the data connection, and its address: of two, the one at whoever is connected to.
fn in_the_way(cell: &Cell) -> (usize, &'static str) {
    match (cell.scenario, cell.mode) {
        (Scenario::Both, Mode::Active) => (0, FAR_GATE_AT_SERVER),
        (scenario, _) => (scenario.gates() - 1, GATE_AT_SERVER[0]),
    }
}
