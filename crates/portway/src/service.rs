//! What `serve` and `proxy` have in common on the command line, in their files, and from start to end.

mod args;
mod file;
mod run;
mod settings;
pub(crate) mod tls;

pub(crate) use args::{AddressArg, LogFormatArg, PortRange, ProofArg, ServiceArgs, TlsMode, duration};
pub(crate) use file::{read, text, texts};
pub(crate) use run::{raise_descriptor_limit, runtime, signals, stopped};
pub(crate) use settings::{Service, either};
