//! What the other end saw of us, where it is a portway server (SITE DOCTOR).

use std::net::SocketAddr;

use portway_data::Listening;
use portway_doctor::{Hop, Trace};
use portway_proto::Announced;

use super::entry::{Way, enter};
use super::probe::Plan;

/// What a portway server saw of us: its lines, and how far its SYNs to a port of ours went.
pub(super) async fn far_side(plan: &Plan, to: SocketAddr, way: Way) -> (Vec<String>, Option<Trace>) {
    let nothing = (Vec::new(), None);
    let Ok(mut talk) = enter(plan, to, way).await else { return nothing };
    let Ok(listening) = Listening::open(talk.local.ip(), None) else { return nothing };
    let announced = Announced::new(listening.addr());
    let command = match to.is_ipv4() {
        true => portway_proto::Command::Port(announced),
        false => portway_proto::Command::Eprt(announced),
    };
    let site = portway_proto::Command::Site(portway_proto::Site::Doctor);
    let told = match talk.call(&command).await {
        Ok(_) => talk.call(&site).await,
        Err(lost) => Err(lost),
    };
    talk.quit().await;
    let Ok(reply) = told else { return nothing };
    if reply.code != 211 {
        return nothing;
    }
    let lines: Vec<String> =
        reply.lines.iter().map(|line| portway_proto::printable(line.trim_ascii())).collect();
    let hops = lines.iter().find_map(|line| line.strip_prefix("hops="));
    let trace = hops.map(|hops| hops_of(hops, listening.addr().port()));
    (lines, trace)
}

/// `192.0.2.1,*,open`, as SITE DOCTOR says it.
fn hops_of(text: &str, port: u16) -> Trace {
    let hop = |word: &str| match word {
        "*" => Hop::Silent,
        "open" | "closed" | "rejected" => Hop::Answer,
        "?" => Hop::Router(None),
        by => Hop::Router(by.parse().ok()),
    };
    Trace { port, hops: text.split(',').map(hop).collect() }
}
