//! Which router the kernel sends packets to.

use std::net::Ipv4Addr;

/// The next hop towards `to` by `/proc/net/route`; `None` if it is in our own network or there is no way.
pub(crate) fn gateway(table: &str, to: Ipv4Addr) -> Option<Ipv4Addr> {
    // Iface Destination Gateway Flags RefCnt Use Metric Mask …; addresses as the host's own integers.
    let rows = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let address = |at: usize| {
            let number = u32::from_str_radix(fields.get(at)?, 16).ok()?;
            Some(Ipv4Addr::from(number.to_ne_bytes()))
        };
        let (net, gateway, mask) = (address(1)?, address(2)?, address(7)?);
        let metric: u32 = fields.get(6)?.parse().ok()?;
        Some((net, gateway, mask, metric))
    });
    let fitting = rows.filter(|(net, _, mask, _)| to & *mask == *net);
    // The longest prefix counts, then the lowest metric.
    let best = fitting.max_by_key(|(_, _, mask, metric)| (mask.to_bits(), std::cmp::Reverse(*metric)))?;
    Some(best.1).filter(|gateway| !gateway.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn the_most_special_route_counts_and_a_neighbour_needs_no_router() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                     wlan0\t00000000\t0102A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
                     eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
                     eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n\
                     eth0\t0000000A\tFE01A8C0\t0003\t0\t0\t100\t000000FF\t0\t0\t0\nbroken\n";
        let of = |to: &str| gateway(table, to.parse().unwrap()).map(|ip| ip.to_string());
        assert_eq!(of("198.51.100.1").as_deref(), Some("192.168.1.1"), "the lower metric");
        assert_eq!(of("192.168.1.9"), None);
        assert_eq!(of("10.9.9.9").as_deref(), Some("192.168.1.254"));
        assert_eq!(gateway("", Ipv4Addr::LOCALHOST), None);
    }
}
