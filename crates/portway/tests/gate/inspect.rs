//! The other engine: packets held in a queue. The rules are the same; what differs is how a refusal looks, since a bump
//! in the wire can neither add nor take away an octet.

use crate::field::{Field, Server, Wall, inside};
use crate::lab::SERVER;
use crate::matrix::every_mode;
use crate::rules::{ALL, BOTH};
use crate::words::Stage;

const INSPECT: &[&str] = &["--engine", "inspect"];

/// Rules whose tests are the relay's, word for word.
macro_rules! as_with_the_relay {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            inside(concat!("inspect::", stringify!($name)), || {
                let stage = Stage::new(INSPECT);
                let (_, body) = ALL.iter().find(|(name, _)| *name == stringify!($name)).unwrap();
                for family in BOTH {
                    body(&stage, family);
                }
            });
        })*
    };
}

as_with_the_relay! {
    rule_01_a_line_is_judged_when_it_is_whole_however_it_was_cut
    rule_02_an_announcement_comes_after_its_hole
    rule_03_a_refused_port_opens_nothing
    rule_05_replies_belong_to_commands_in_order
    rule_13_a_hole_is_for_exactly_one_client_and_one_port
    rule_14_a_hole_serves_once
    rule_15_a_hole_ends_with_its_session_and_its_turn
    rule_16_a_repeated_announcement_opens_nothing_by_itself
    rule_21_what_is_not_ftp_is_cut_off
    rule_24_what_was_read_is_what_is_sent
    rule_25_nothing_in_ciphertext_opens_anything
    rule_27_after_ccc_the_first_pasv_works
}

fn every_cell(server: Server, wall: Wall) {
    let field = Field::new(wall).gate(INSPECT).server(server);
    every_mode(&field, &format!("inspect {wall:?} {server:?}"), SERVER);
}

#[test]
fn every_cell_works_with_portway_behind_a_strict_firewall() {
    inside("inspect::every_cell_works_with_portway_behind_a_strict_firewall", || {
        every_cell(Server::Portway, Wall::Strict);
    });
}

#[test]
fn every_cell_works_with_vsftpd_behind_a_strict_firewall() {
    inside("inspect::every_cell_works_with_vsftpd_behind_a_strict_firewall", || {
        every_cell(Server::of_others(), Wall::Strict);
    });
}

#[test]
fn every_cell_works_with_a_firewall_at_the_client() {
    inside("inspect::every_cell_works_with_a_firewall_at_the_client", || {
        every_cell(Server::of_others(), Wall::ClientSide);
    });
}

#[test]
fn every_cell_works_with_a_firewall_at_the_server() {
    inside("inspect::every_cell_works_with_a_firewall_at_the_server", || {
        every_cell(Server::of_others(), Wall::ServerSide);
    });
}
