//! The client's commands as a person and a script use them: the shell on a terminal, progress, events, exit codes,
//! interruptions, full disks, hostile servers.

mod breaks;
mod events;
mod habits;
mod hostile;
mod many;
mod parts;
mod progress;
mod shell;
mod site;
