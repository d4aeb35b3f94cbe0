//! Sockets and TLS; the only crate that names rustls.
