//! Congestion control of connections that never leave this machine.

use std::net::IpAddr;
use std::os::fd::AsFd;
#[cfg(target_os = "linux")]
use std::sync::LazyLock;

/// Whether this system's default holds octets back by a timer, to fill no queue on the way: BBR does.
#[cfg(target_os = "linux")]
static PACES: LazyLock<bool> = LazyLock::new(|| {
    std::fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control")
        .is_ok_and(|name| name.starts_with("bbr"))
});

/// Takes a socket that will talk to a loopback address, or listens on one, off the timers of BBR. There is no queue on
/// that way, and the timers take two fifths of a relay's CPU time. Of no effect elsewhere, on connections that
/// are open already, and where the default does not pace: what goes over a line is the administrator's to say.
pub(crate) fn unpace(socket: impl AsFd, at: IpAddr) {
    #[cfg(target_os = "linux")]
    if at.to_canonical().is_loopback() && *PACES {
        use rustix::net::sockopt::set_tcp_congestion;
        // Neither is a loss: the connection works all the same.
        let _ = set_tcp_congestion(&socket, "cubic").or_else(|_| set_tcp_congestion(&socket, "reno"));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (socket, at);
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::net::sockopt::tcp_congestion;

    use crate::{connect_from, listen};

    use super::*;

    #[tokio::test]
    async fn neither_end_of_a_connection_over_loopback_is_paced() {
        for here in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = listen(here.parse().unwrap()) else { continue };
            let to = listener.local_addr().unwrap();
            let (accepted, connected) = tokio::join!(listener.accept(), connect_from(None, to));
            for end in [accepted.unwrap().0, connected.unwrap()] {
                let control = tcp_congestion(&end).unwrap();
                assert!(!control.starts_with("bbr"), "{here}: {control}");
            }
        }
    }

    #[test]
    fn what_goes_over_a_line_is_left_as_the_administrator_wants_it() {
        let socket = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let before = tcp_congestion(&socket).unwrap();
        for at in ["192.0.2.1", "0.0.0.0", "::", "2001:db8::1", "::ffff:192.0.2.1"] {
            unpace(&socket, at.parse().unwrap());
            assert_eq!(tcp_congestion(&socket).unwrap(), before, "{at}");
        }
    }
}
