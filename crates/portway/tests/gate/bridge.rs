//! FTPS with programs of others through a strict gate, which ends TLS on both sides.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::field::{FILE, Field, Server, Wall, in_namespaces, until};
use crate::lab::{SERVER, at};

const LONG: Duration = Duration::from_secs(15);

/// An authority of the servers' and a certificate by it, as `openssl` makes them.
fn certificate(folder: &Path, name: &str) {
    let names = format!("subjectAltName=IP:{},IP:{},DNS:ftp.example", SERVER[0], SERVER[1]);
    std::fs::write(folder.join(format!("{name}.ext")), names).unwrap();
    for line in [
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=NAME-ca -keyout NAME-ca.key -out NAME-ca.pem",
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=NAME -keyout NAME.key -out NAME.csr",
        "x509 -req -in NAME.csr -CA NAME-ca.pem -CAkey NAME-ca.key -CAcreateserial -days 2 -extfile NAME.ext -out NAME.pem",
    ] {
        let line = line.replace("NAME", name);
        let output = Command::new("openssl").args(line.split(' ')).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A strict gate that bridges, and trusts the authority `trusted`.
fn field(trusted: &str, more: &[&str]) -> Field {
    let field = Field::new(Wall::Strict);
    certificate(&field.folder, "ours");
    certificate(&field.folder, "other");
    let ca = field.folder.join("ca");
    let made = Command::new(env!("CARGO_BIN_EXE_portway")).args(["proxy", "ca"]).arg(&ca).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let upstream = field.folder.join(format!("{trusted}-ca.pem")).display().to_string();
    let ca = ca.display().to_string();
    let flags = ["--auth-tls", "bridge", "--ca-dir", &ca, "--upstream-ca", &upstream, "--log-format", "json"];
    field.gate(&[&flags[..], more].concat())
}

/// vsftpd as it comes with FTPS: everything encrypted, and data connections that resume the control connection's
/// session from the same address.
fn vsftpd_tls(field: &Field) -> String {
    let at = |name: &str| field.folder.join(name).display().to_string();
    format!(
        "ssl_enable=YES\nallow_anon_ssl=YES\nforce_anon_logins_ssl=YES\nforce_anon_data_ssl=YES\n\
         require_ssl_reuse=YES\nssl_ciphers=HIGH\nrsa_cert_file={}\nrsa_private_key_file={}",
        at("ours.pem"),
        at("ours.key")
    )
}

/// Fetches with a client that trusts the bridge's authority and nobody else.
fn fetch(field: &Field, client: &str, url: &str, active: bool) -> Result<(), String> {
    let got = field.folder.join("got");
    let _ = std::fs::remove_file(&got);
    let ca = field.folder.join("ca/proxy-ca.pem").display().to_string();
    let words: Vec<String> = match client {
        "curl" => {
            ["curl", "-sS", "-g", "--cacert", &ca, "--ssl-reqd", "-o", "got", url].map(str::to_owned).into()
        }
        _ => {
            let passive = if active { "off" } else { "on" };
            let script = format!(
                "set ftp:passive-mode {passive}; set net:max-retries 1; set ftp:ssl-force yes; \
                 set ftp:ssl-allow-anonymous yes; set ssl:ca-file {ca}; set ssl:verify-certificate yes; \
                 set ftp:ssl-protect-data yes; get1 {url} -o got"
            );
            ["lftp", "-c", &script].map(str::to_owned).into()
        }
    };
    let (output, _) = field.client(&words, LONG);
    let want = std::fs::read(field.folder.join("pub").join(FILE)).unwrap();
    let same = std::fs::read(&got).is_ok_and(|got| got == want);
    match output.status.success() && same {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

fn url(family: usize) -> String {
    let host = if family == 0 { SERVER[0].to_owned() } else { format!("[{}]", SERVER[1]) };
    format!("ftp://{host}/{FILE}")
}

#[test]
fn ftps_with_vsftpd_passes_a_strict_gate_in_both_modes_and_families() {
    in_namespaces(|| {
        if Server::of_others() != Server::Vsftpd {
            return;
        }
        let field = field("ours", &[]);
        let more = vsftpd_tls(&field);
        let field = field.vsftpd_with(&more);
        // curl 7.88 hangs in active FTPS even where nothing is filtered (curl/curl#10666).
        for (client, active) in [("curl", false), ("lftp", false), ("lftp", true)] {
            for family in [0, 1] {
                let done = fetch(&field, client, &url(family), active);
                assert_eq!(done, Ok(()), "{client} active={active} {}", SERVER[family]);
            }
        }
        // The server saw the clients' own addresses.
        let opened: Vec<String> =
            field.log().lines().filter(|line| line.contains("upstream_opened")).map(str::to_owned).collect();
        assert!(opened.len() >= 6, "{}", field.log());
        let theirs =
            |line: &String| line.contains(r#""from":"10.71.1."#) || line.contains(r#""from":"[fd71:1:"#);
        assert!(opened.iter().all(theirs), "{opened:#?}");
        assert!(until(LONG, || !field.status().contains(r#""kind":"session""#)), "{}", field.status());
    });
}

#[test]
fn a_server_that_cannot_be_verified_is_no_server_and_nothing_goes_in_the_clear() {
    in_namespaces(|| {
        let field = field("other", &[]);
        let flags = ["ours.pem", "ours.key"].map(|name| field.folder.join(name).display().to_string());
        let field = field.portway(&["--tls", "required", "--cert", &flags[0], "--key", &flags[1]]);
        for client in ["curl", "lftp"] {
            for family in [0, 1] {
                let error = fetch(&field, client, &url(family), false).unwrap_err();
                assert!(error.contains("530") || error.contains("Login"), "{client}: {error}");
            }
        }
        let log = field.log();
        assert!(log.contains("upstream_failed") && log.contains("certificate"), "{log}");
    });
}

#[test]
fn what_is_plain_stays_the_gates_and_a_server_without_tls_says_so_itself() {
    in_namespaces(|| {
        let field = field("ours", &[]).portway(&["--tls", "off"]);
        let words = ["curl", "-sS", "-o", "got", &url(0)].map(str::to_owned);
        let (output, _) = field.client(&words, LONG);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(until(LONG, || field.log().contains("hole")), "{}", field.log());
        assert!(!field.log().contains("upstream_opened"), "{}", field.log());
        let error = fetch(&field, "curl", &url(0), false).unwrap_err();
        assert!(error.contains("SSL"), "{error}");
    });
}

#[test]
fn implicit_tls_is_bridged_and_words_in_the_clear_around_auth_end_a_session() {
    in_namespaces(|| {
        let field = field("ours", &["--implicit-port", "990"]);
        let flags = ["ours.pem", "ours.key"].map(|name| field.folder.join(name).display().to_string());
        let implicit = SERVER.map(|server| at(server, 990).to_string());
        let field = field.portway(&[
            "--tls",
            "required",
            "--cert",
            &flags[0],
            "--key",
            &flags[1],
            "--implicit",
            &implicit[0],
            "--implicit",
            &implicit[1],
        ]);
        for family in [0, 1] {
            let url = url(family).replace("ftp://", "ftps://");
            assert_eq!(fetch(&field, "curl", &url, false), Ok(()), "{url}");
        }
        let mut client = field.lab.client.run(|| TcpStream::connect(at(SERVER[0], 21)).unwrap());
        client.set_read_timeout(Some(LONG)).unwrap();
        client.write_all(b"AUTH TLS\r\nUSER ann\r\n").unwrap();
        let mut said = Vec::new();
        let _ = client.read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(said.contains("234 ") && !said.contains("331 "), "{said}");
    });
}

#[test]
fn rules_28_and_29_the_name_asked_for_is_verified_and_another_protocol_gets_no_handshake() {
    in_namespaces(|| {
        let field = field("ours", &[]);
        let flags = ["ours.pem", "ours.key"].map(|name| field.folder.join(name).display().to_string());
        let field = field.portway(&["--tls", "required", "--cert", &flags[0], "--key", &flags[1]]);
        let ca = field.folder.join("ca/proxy-ca.pem").display().to_string();
        for family in [0, 1] {
            let host = if family == 0 { SERVER[0].to_owned() } else { format!("[{}]", SERVER[1]) };
            // The client trusts the bridge in either name: only the bridge can see that one is not the server's.
            for (name, right) in [("ftp.example", true), ("bank.example", false)] {
                let (url, resolve) = (format!("ftp://{name}/{FILE}"), format!("{name}:21:{host}"));
                let words =
                    ["curl", "-sS", "--cacert", &ca, "--ssl-reqd", "--resolve", &resolve, "-o", "got", &url];
                let (output, _) = field.client(&words.map(str::to_owned), LONG);
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert_eq!(output.status.success(), right, "{name} {host}: {said}");
                assert!(right || said.contains("530") || said.contains("denied"), "{name} {host}: {said}");
            }
            let to = format!("{host}:21");
            for (alpn, taken) in [("ftp", true), ("http/1.1", false)] {
                let words = [
                    "openssl",
                    "s_client",
                    "-starttls",
                    "ftp",
                    "-connect",
                    &to,
                    "-CAfile",
                    &ca,
                    "-alpn",
                    alpn,
                ];
                let (output, _) = field.client(&words.map(str::to_owned), LONG);
                let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
                assert_eq!(said.contains("ALPN protocol: ftp"), taken, "{alpn} {host}: {said}");
                assert_eq!(said.contains("no application protocol"), !taken, "{alpn} {host}: {said}");
            }
        }
    });
}
