//! A proxy in the way of clients that know of none: in namespaces, with TPROXY.

use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;

use portway_e2e::{Certificate, Lines, PATIENCE, Program, Proxy, Tree, binary, bytes};

use crate::lab::{Lab, Running, SERVER, in_namespaces, nft, run};

#[test]
fn a_client_that_knows_of_no_proxy_is_served_in_every_mode_and_its_tls_is_looked_into() {
    in_namespaces(|| {
        let lab = Lab::new();
        let (home, file) = (Arc::new(Tree::new().unwrap()), bytes(5, 400_000));
        home.write("srv/f", &file).unwrap();
        let certificate = Certificate::with_names("server", &SERVER).unwrap();
        let (shown, folder) = (certificate.clone(), Arc::clone(&home));
        let (_server, summary) = lab.server.run(move || {
            let mut command = Command::new(binary().unwrap());
            command.arg("serve").arg(folder.at("srv")).args(["--user", "ann:pw"]);
            command.args(["--listen", "10.71.2.2:21", "--listen", "[fd71:2::2]:21", "--cert"]);
            command.arg(shown.chain()).arg("--key").arg(shown.key()).env("HOME", folder.path());
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
            let summary = Lines::follow(child.stdout.take().unwrap());
            (Running(child), summary)
        });
        summary
            .wait_for("the server listens", PATIENCE, |line| line.contains("[fd71:2::2]:21").then_some(()))
            .unwrap();
        let ca = home.path().join("ca").display().to_string();
        let made = Command::new(binary().unwrap()).args(["proxy", "ca", &ca]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let authority = certificate.authority().display().to_string();
        let any: [IpAddr; 2] = ["0.0.0.0".parse().unwrap(), "::".parse().unwrap()];
        let flags = ["--transparent", "--upstream-ca", &authority, "--ca-dir", &ca];
        let proxy = Proxy::without_certificate(&any, &flags).unwrap();
        let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.pid())).unwrap();
        // CAP_NET_RAW bears the addresses of others, CAP_NET_BIND_SERVICE the ports; there is no CAP_NET_ADMIN.
        assert!(status.contains("CapEff:\t0000000000002400"), "{status}");
        let (v4, v6) = (proxy.at(any[0], false).unwrap().port(), proxy.at(any[1], false).unwrap().port());
        for family in ["-4", "-6"] {
            run(&format!("ip {family} rule add fwmark 1 lookup 100"));
        }
        run("ip route add local 0.0.0.0/0 dev lo table 100");
        run("ip -6 route add local ::/0 dev lo table 100");
        nft(&format!(
            "table inet proxy {{
                chain prerouting {{
                    type filter hook prerouting priority mangle; policy accept;
                    meta l4proto tcp socket transparent 1 meta mark set 1 accept
                    iifname cli meta nfproto ipv4 tcp dport 21 tproxy ip to :{v4} meta mark set 1 accept
                    iifname cli meta nfproto ipv6 tcp dport 21 tproxy ip6 to :{v6} meta mark set 1 accept
                }}
            }}"
        ));
        let own_ca = home.path().join("ca/proxy-ca.pem").display().to_string();
        for (server, tls, mode) in [
            (SERVER[0], false, "--ftp-pasv"),
            (SERVER[0], false, "-P-"),
            (SERVER[0], true, "--ftp-pasv"),
            (SERVER[1], false, "--ftp-pasv"),
            (SERVER[1], false, "-P-"),
            (SERVER[1], true, "--ftp-pasv"),
        ] {
            let host = if server.contains(':') { format!("[{server}]") } else { server.to_owned() };
            let (own_ca, folder) = (own_ca.clone(), Arc::clone(&home));
            lab.client.run(move || {
                let curl = Program::new("curl", "curl").unwrap().folder(folder.path());
                let tls = if tls { &["--ssl-reqd"][..] } else { &[] };
                curl.args(["-sS", "-m", "20", "--cacert", &own_ca, "-u", "ann:pw", "-o", "got", mode])
                    .args(tls)
                    .arg(format!("ftp://{host}/f"))
                    .succeed()
                    .unwrap();
            });
            assert_eq!(home.read("got").unwrap(), file, "{server} {tls} {mode}");
            std::fs::remove_file(home.at("got")).unwrap();
        }
        let relayed: Vec<String> =
            proxy.log.so_far().into_iter().filter(|line| line.contains("\"relayed\"")).collect();
        assert!(
            relayed.len() >= 5 && relayed.iter().all(|line| line.contains("\"tls\":true")),
            "{relayed:?}"
        );
    });
}
