use std::net::{TcpListener, TcpStream};

use proptest::prelude::*;

use super::*;

fn tenant() -> Tenant {
    Tenant {
        home: "127.0.0.1:0".parse().unwrap(),
        client: "127.0.0.1".parse().unwrap(),
        session: History::new(),
    }
}

/// Ports that nobody listens on at the moment, outside what the kernel gives away.
fn quiet_range(len: u16) -> RangeInclusive<u16> {
    let start = crate::PassivePorts::Auto.range();
    let random = Unguessable::default();
    loop {
        let lo = start.start() + random.below(start.len() - usize::from(len)) as u16;
        let range = lo..=lo + len - 1;
        if range.clone().all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return range;
        }
    }
}

fn port(lease: &PortLease) -> u16 {
    lease.listener().unwrap().at().port()
}

#[tokio::test]
async fn a_used_up_range_says_so_at_once_and_a_dropped_lease_is_free_at_once() {
    let range = quiet_range(4);
    let pool = Arc::new(PortPool::new(range.clone()));
    let mut leases: Vec<_> = (0..4).map(|_| pool.lease(&tenant()).unwrap()).collect();
    let mut ports: Vec<_> = leases.iter().map(port).collect();
    ports.sort_unstable();
    assert_eq!(ports, range.collect::<Vec<_>>(), "every port once");
    assert!(matches!(pool.lease(&tenant()), Err(NoPort::Full)));
    let freed = port(&leases.pop().unwrap());
    assert_eq!(port(&pool.lease(&tenant()).unwrap()), freed);
}

#[tokio::test]
async fn a_port_taken_by_another_program_is_passed_over() {
    let range = quiet_range(2);
    let _other = TcpListener::bind(("127.0.0.1", *range.start())).unwrap();
    let pool = Arc::new(PortPool::new(range.clone()));
    let lease = pool.lease(&tenant()).unwrap();
    assert_eq!(port(&lease), *range.end());
    assert!(matches!(pool.lease(&tenant()), Err(NoPort::Full)));
    assert_eq!(pool.leased(), 1, "the failed port is not counted as leased");
}

#[tokio::test]
async fn an_address_that_is_not_ours_is_an_error_and_not_a_full_range() {
    // Who may bear the addresses of others (TPROXY) gets a port there; this thread gives that right away.
    rustix::thread::set_capabilities(
        None,
        rustix::thread::CapabilitySets {
            effective: rustix::thread::CapabilitySet::empty(),
            permitted: rustix::thread::CapabilitySet::empty(),
            inheritable: rustix::thread::CapabilitySet::empty(),
        },
    )
    .unwrap();
    let pool = Arc::new(PortPool::new(quiet_range(2)));
    let foreign = Tenant { home: "192.0.2.200:0".parse().unwrap(), ..tenant() };
    assert!(matches!(pool.lease(&foreign), Err(NoPort::Bind(_))));
    assert_eq!(pool.leased(), 0);
}

#[tokio::test]
async fn a_connection_for_an_old_lease_is_gone_when_the_port_is_leased_anew() {
    let pool = Arc::new(PortPool::new(quiet_range(1)));
    let old = pool.lease(&tenant()).unwrap();
    let at = old.listener().unwrap().at();
    let _late = TcpStream::connect(at).unwrap();
    drop(old);
    assert!(TcpStream::connect(at).is_err(), "nobody listens between leases");
    let new = pool.lease(&tenant()).unwrap();
    assert_eq!(new.listener().unwrap().at(), at);
    assert!(new.listener().unwrap().try_accept().is_err(), "the queue is empty");
}

#[tokio::test]
async fn a_port_whose_client_never_came_is_kept_from_its_neighbours_while_there_is_another() {
    let pool = Arc::new(PortPool::new(quiet_range(2)));
    let abandoned = pool.lease(&tenant()).unwrap();
    let cooling = port(&abandoned);
    drop(abandoned);
    for _ in 0..20 {
        let lease = pool.lease(&tenant()).unwrap();
        assert_ne!(port(&lease), cooling);
        lease.served();
    }
}

#[tokio::test]
async fn a_thousand_announcements_nobody_follows_keep_few_sockets() {
    let pool = Arc::new(PortPool::new(61000..=65535));
    for _ in 0..1000 {
        pool.lease(&tenant()).unwrap();
    }
    let homes = pool.homes();
    let home = homes.values().next().unwrap();
    assert!(home.resting.len() <= AT_REST && home.cooling.len() <= REMEMBERED);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the order of leasing, serving and abandoning: no port twice, none outside, none lost.
    #[test]
    fn the_pool_neither_leaks_nor_strays(steps in proptest::collection::vec((0_u8..3, 0_usize..8), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let range = quiet_range(5);
            let pool = Arc::new(PortPool::new(range.clone()));
            let mut held: Vec<PortLease> = Vec::new();
            for (what, which) in steps {
                match what {
                    0 => match pool.lease(&tenant()) {
                        Ok(lease) => {
                            prop_assert!(range.contains(&port(&lease)));
                            prop_assert!(held.iter().all(|other| port(other) != port(&lease)));
                            held.push(lease);
                        }
                        Err(NoPort::Full) => prop_assert_eq!(held.len(), range.len()),
                        Err(NoPort::Bind(error)) => return Err(TestCaseError::fail(error.to_string())),
                    },
                    1 if !held.is_empty() => held.swap_remove(which % held.len()).served(),
                    _ if !held.is_empty() => drop(held.swap_remove(which % held.len())),
                    _ => {}
                }
                prop_assert_eq!(pool.leased(), held.len());
            }
            held.clear();
            prop_assert_eq!(pool.leased(), 0);
            Ok(())
        })?;
    }
}
