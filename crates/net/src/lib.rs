//! Sockets and TLS; the only crate that names rustls.
//!
//! Everything above this crate sees five things: sockets set up the way FTP wants them, a
//! [`Control`] connection that may turn to TLS and back, the server's [`ControlChannel`] of lines on it, a [`DataTls`] connection that loses no byte at
//! its end, and [`read_hello`], which tells from the first octets of a data connection whose it is.

mod authority;
mod congestion;
mod control;
mod hello;
mod kernel_tls;
mod lines;
mod proxy;
mod proxy_header;
mod socket;
mod tls;
mod touch;
mod transparent;
mod urgent;

pub use authority::{AuthorityError, HostPort, PercentError, percent_decode};
pub use control::Control;
pub use hello::{Hello, read_hello};
pub use kernel_tls::kernel_tls;
pub use lines::{ControlChannel, Left, Received};
pub use proxy::{Bound, Destination, Proxy, ProxyError, ProxyKind, ProxyUrlError};
pub use proxy_header::Forwarded;
pub use socket::{
    bind, connect_first, connect_from, ephemeral_range, keep_alive, listen, may_connect_from,
    prepare_control, prepare_data,
};
pub use tls::{
    Authority, Certificate, ClientControlTls, ClientDataHandshake, ClientTls, ClientTlsOptions, ControlTls,
    DataHandshake, DataTls, GATE_NAME, Identity, Issued, Leaves, Party, ServerTls, ServerTlsOptions,
    SessionTag, TlsControl, TlsError, TlsInfo, TlsMin, Trust,
};
pub use touch::{Icmp, Touch, TouchOptions, connect_small, touch};
pub use transparent::{
    bind_transparent, connect_as, connect_transparent, listen_transparent, translated_from,
};
pub use urgent::{read_past_urgent, send_urgent};
