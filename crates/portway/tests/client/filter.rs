//! Active mode on a machine whose own packet filter lets nothing in but what carries our mark.

use crate::lab::{SERVER, in_namespaces, run, strict};
use crate::stage::{Server, Stage};

#[test]
fn the_client_opens_its_own_packet_filter_for_the_servers_connection_alone() {
    in_namespaces(|| {
        let stage = Stage::new(Server::Portway(&["--anonymous"]));
        stage.lab.client.run(|| strict(portway_nft::DEFAULT_MARK));
        let socket = stage.folder.join("no-helper").display().to_string();
        let nft = format!("nft:{socket}");
        for family in [0, 1] {
            for tls in ["off", "required"] {
                let flags = ["--no-memory", "--mode", "active", "--tls", tls];
                let shut = stage.get(SERVER[family], &flags);
                assert_eq!(shut.code, Some(7), "{shut:#?}");
                let open = stage.get(SERVER[family], &[&flags[..], &["--pinholes", &nft]].concat());
                assert_eq!(open.code, Some(0), "{open:#?}");
                assert_eq!(open.way(), Some(if family == 0 { "PORT" } else { "EPRT" }));
            }
        }
        // Nothing of ours stays behind.
        assert!(!stage.lab.client.run(|| run("nft list tables")).contains("portway"));
    });
}

#[test]
fn a_client_that_cannot_open_its_packet_filter_says_what_is_missing() {
    in_namespaces(|| {
        let stage = Stage::new(Server::Portway(&["--anonymous"]));
        let output = stage.lab.client.run(|| {
            std::process::Command::new("setpriv")
                .args(["--bounding-set=-all", "--inh-caps=-all", "--", env!("CARGO_BIN_EXE_portway")])
                .args(["ls", "ftp://10.71.2.2/", "--pinholes", "nft:/nowhere"])
                .output()
                .unwrap()
        });
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{words}");
        assert!(words.contains("portway-holed") && words.contains("--pinholes none"), "{words}");
    });
}
