//! Whether the kernel could encrypt.

/// Whether this kernel offers TLS of its own (Linux, module `tls`, loaded or built in).
///
/// It is told and not used; `docs/speed.md` says why.
#[must_use]
pub fn kernel_tls() -> bool {
    std::fs::read_to_string("/proc/sys/net/ipv4/tcp_available_ulp").is_ok_and(|names| offers(&names))
}

/// The file has the names of what TCP can be wrapped in, such as «espintcp mptcp tls».
fn offers(names: &str) -> bool {
    names.split_ascii_whitespace().any(|name| name == "tls")
}

#[cfg(test)]
mod tests {
    use super::offers;

    #[test]
    fn tls_is_one_name_among_others() {
        for (names, offered) in
            [("espintcp mptcp tls\n", true), ("tls\n", true), ("mptcp\n", false), ("", false)]
        {
            assert_eq!(offers(names), offered, "{names:?}");
        }
    }
}
