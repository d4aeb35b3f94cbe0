//! How far SYNs go: who on the way drops them.
//!
//! A router looks at the hop limit before it forwards. So an answer for limit k + 1 proves that router k let
//! the packet pass, and silence from there on means that router k (or its successor, at once) dropped it.

use std::net::IpAddr;

/// What came back for one hop limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// A router said that the limit was reached.
    Router(Option<IpAddr>),
    /// The port, or somebody in its name, answered: open, reset or rejected.
    Answer,
    /// Nothing.
    Silent,
}

/// What came back for the hop limits 1, 2, 3, …
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The port that was aimed at.
    pub port: u16,
    /// By hop limit, from 1 on.
    pub hops: Vec<Hop>,
}

/// Where on the way something is dropped or rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// On this machine.
    Here,
    /// At the first router while there are more: the client's side.
    ClientSide(Option<IpAddr>),
    /// At the last router, or on the server's machine.
    ServerSide(Option<IpAddr>),
    /// At a router that belongs to neither, the so-manyth of so many.
    Between(Option<IpAddr>, usize, usize),
}

impl Trace {
    /// Routers on the way, if the far end answered.
    #[must_use]
    pub fn routers(&self) -> Option<usize> {
        self.hops.iter().position(|hop| *hop == Hop::Answer)
    }

    /// The last router that was heard of, counted from 1, before any answer of the port.
    fn last_router(&self) -> (usize, Option<IpAddr>) {
        let until = self.routers().unwrap_or(self.hops.len());
        let heard = self.hops.iter().take(until).enumerate().rev();
        for (at, hop) in heard {
            if let Hop::Router(by) = hop {
                return (at.saturating_add(1), *by);
            }
        }
        (0, None)
    }

    /// Where packets to this port end that should have gone as far as those of `control`. `None` if they do
    /// go as far, or routers tell nothing.
    #[must_use]
    pub fn ends(&self, control: &Self) -> Option<Where> {
        let routers = control.routers()?;
        let silent_routers = control.hops.iter().take(routers).any(|hop| *hop == Hop::Silent);
        let (last, by) = self.last_router();
        let answered_early = self.routers().is_some_and(|at| at < routers);
        if silent_routers && !answered_early {
            return None;
        }
        Some(match last {
            0 if routers == 0 => return None,
            0 => Where::Here,
            // A single router may be anybody's.
            _ if last >= routers => Where::ServerSide(by),
            1 => Where::ClientSide(by),
            _ => Where::Between(by, last, routers),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_router_that_is_heard_of_is_the_one_that_drops() {
        let router = |n: u8| Hop::Router(Some(IpAddr::from([192, 0, 2, n])));
        let by = |n: u8| Some(IpAddr::from([192, 0, 2, n]));
        let control = Trace { port: 21, hops: vec![router(1), router(2), router(3), Hop::Answer] };
        use Hop::{Answer, Silent};
        #[rustfmt::skip]
        let rows: &[(&str, Vec<Hop>, Option<Where>)] = &[
            ("this machine drops", vec![Silent, Silent, Silent, Silent], Some(Where::Here)),
            ("the first router drops", vec![router(1), Silent, Silent, Silent], Some(Where::ClientSide(by(1)))),
            ("somebody between drops", vec![router(1), router(2), Silent, Silent], Some(Where::Between(by(2), 2, 3))),
            ("the last router drops", vec![router(1), router(2), router(3), Silent], Some(Where::ServerSide(by(3)))),
            ("the first router resets", vec![router(1), Answer], Some(Where::ClientSide(by(1)))),
            ("the last router or the server resets", vec![router(1), router(2), router(3), Answer], Some(Where::ServerSide(by(3)))),
        ];
        for (name, hops, want) in rows {
            let data = Trace { port: 50000, hops: hops.clone() };
            assert_eq!(data.ends(&control), *want, "{name}");
        }
        let mute = Trace { port: 21, hops: vec![Silent, Silent, Answer] };
        let data = Trace { port: 50000, hops: vec![Silent, Silent, Silent] };
        assert_eq!(data.ends(&mute), None, "routers that tell nothing prove nothing");
    }
}
