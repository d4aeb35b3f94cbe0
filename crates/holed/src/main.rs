//! `portway-holed`; all of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    portway_holed::run(std::env::args_os().skip(1))
}
