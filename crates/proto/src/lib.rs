//! FTP as pure values and state machines: no socket, clock, file, thread or runtime.
