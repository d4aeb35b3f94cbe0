//! Both channels through proxies that people use.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::sync::Arc;

use portway_client::{
    Connection, Error, GetOptions, ModeChoice, PutOptions, Reach, Settings, Target, TlsChoice, TlsTrust,
};
use portway_data::Progress;
use portway_net::Proxy as Address;
use support::proxy::{Kind, Proxy};
use support::{Kind as ServerKind, Server, Tls, bytes, here, name, shared};

fn through(server: &Server, url: &str) -> Settings {
    let proxy = Some(Arc::new(Address::parse(url).unwrap()));
    Settings { reach: Reach { proxy, ..Reach::default() }, ..server.settings() }
}

/// A file down, the same up, and a listing.
async fn round_trip(server: &Server, target: &Target, settings: Settings) -> Result<(), Error> {
    let content = bytes(5, 200_000);
    server.write("down.bin", &content);
    let mut connection = Connection::open(target, shared(settings)).await?;
    let (folder, local) = here();
    let progress = Progress::new();
    connection.get(b"down.bin", &local, &name("down.bin"), GetOptions::default(), &progress).await?;
    assert!(std::fs::read(folder.path().join("down.bin")).unwrap() == content);
    let file = std::fs::File::open(folder.path().join("down.bin")).unwrap();
    connection.put(&file, b"up.bin", PutOptions::default(), &Progress::new()).await?;
    assert!(server.read("up.bin") == content);
    assert_eq!(connection.list(None).await?.len(), 2);
    connection.quit().await;
    Ok(())
}

/// A server that tells where its clients come from, and takes no data connection from anywhere else.
fn watched(tls: Tls) -> (Server, std::path::PathBuf) {
    let log = std::env::temp_dir().join(format!(
        "portway-{}-{:?}.log",
        std::process::id(),
        std::thread::current().id()
    ));
    let more = format!("xferlog_enable=YES\nxferlog_std_format=NO\nvsftpd_log_file={}\n", log.display());
    (Server::start_with(ServerKind::Vsftpd, tls, &more), log)
}

#[tokio::test]
async fn both_channels_go_through_a_socks5_proxy_with_a_login() {
    let (server, log) = watched(Tls::Off);
    let proxy = Proxy::start(Kind::Microsocks { login: true });
    let named = Target { host: "localhost".to_owned(), ..server.target("") };
    for (scheme, target) in [("socks5", server.target("")), ("socks5", named.clone()), ("socks5h", named)] {
        let url = format!("{scheme}://u:p%20w@{}", proxy.at);
        round_trip(&server, &target, through(&server, &url)).await.unwrap_or_else(|e| panic!("{url}: {e}"));
    }
    let seen = std::fs::read_to_string(&log).unwrap();
    let _ = std::fs::remove_file(&log);
    let from = |who: &str| seen.lines().filter(|l| l.contains("CONNECT") && l.contains(who)).count();
    // The test's own look whether it greets comes straight.
    assert_eq!((from("127.0.0.7"), from("127.0.0.1")), (3, 1), "{seen}");
}

#[tokio::test]
async fn a_proxy_that_refuses_the_login_is_named_as_the_one_who_does() {
    let server = Server::start(ServerKind::Vsftpd, Tls::Off);
    let proxy = Proxy::start(Kind::Microsocks { login: true });
    for (url, says) in [
        (format!("socks5://u:wrong@{}", proxy.at), "refuses that user or password"),
        (format!("socks5://{}", proxy.at), "knows no way to log in"),
    ] {
        let error = round_trip(&server, &server.target(""), through(&server, &url)).await.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(error.class(), "proxy");
        assert!(error.remedy().unwrap().contains("--proxy"));
    }
    let nobody = Address::parse("socks5://127.0.0.1:9").unwrap().to_string();
    let error = round_trip(&server, &server.target(""), through(&server, &nobody)).await.unwrap_err();
    assert!(error.to_string().contains("the proxy cannot be reached"), "{error}");
}

#[tokio::test]
async fn ftps_with_session_reuse_goes_through_socks5_in_passive_and_active_mode() {
    let server = Server::start(ServerKind::Vsftpd, Tls::On);
    let proxy = Proxy::start(Kind::Dante);
    for mode in [ModeChoice::Auto, ModeChoice::Active] {
        for tls in [TlsChoice::Off, TlsChoice::Required] {
            let mut settings = through(&server, &format!("socks5://{}", proxy.at));
            (settings.mode, settings.tls, settings.trust) = (mode, tls, TlsTrust::Nobody);
            let done = round_trip(&server, &server.target(""), settings).await;
            done.unwrap_or_else(|e| panic!("{mode:?} {tls:?}: {e}\n{}", proxy.log()));
        }
    }
    let log = proxy.log();
    assert!(log.contains("bind") || log.contains("bindreply"), "active mode was to use BIND: {log}");
}

#[tokio::test]
async fn both_channels_go_through_http_connect_with_a_login() {
    let server = Server::start(ServerKind::Vsftpd, Tls::On);
    let proxy = Proxy::start(Kind::Tinyproxy);
    for tls in [TlsChoice::Off, TlsChoice::Required] {
        let mut settings = through(&server, &format!("http://u:pw@{}", proxy.at));
        (settings.tls, settings.trust) = (tls, TlsTrust::Nobody);
        round_trip(&server, &server.target(""), settings)
            .await
            .unwrap_or_else(|e| panic!("{tls:?}: {e}\n{}", proxy.log()));
    }
    // Two control connections and three transfers each.
    assert_eq!(proxy.log().matches("CONNECT 127.0.0.1:").count(), 8, "{}", proxy.log());
}

#[tokio::test]
async fn what_a_web_proxy_cannot_do_is_said_in_its_words() {
    let server = Server::start(ServerKind::Vsftpd, Tls::Off);
    let proxy = Proxy::start(Kind::Tinyproxy);
    let said = async |url: String, mode| {
        let settings = Settings { mode, ..through(&server, &url) };
        round_trip(&server, &server.target(""), settings).await.unwrap_err()
    };
    let error = said(format!("http://{}", proxy.at), ModeChoice::Auto).await;
    assert!(error.to_string().contains("refuses that user or password"), "{error}");
    let error = said(format!("http://u:pw@{}", proxy.at), ModeChoice::Active).await;
    assert!(error.to_string().contains("only SOCKS5 proxies let a server connect back"), "{error}");
    let web = Proxy::start(Kind::TinyproxyForTheWeb);
    let error = said(format!("http://u:pw@{}", web.at), ModeChoice::Auto).await;
    assert!(error.to_string().contains("the rules of the proxy forbid"), "{error}");
    assert!(error.to_string().contains("403"), "{error}");
    // A server is no proxy.
    let error = said(format!("http://{}", server.at), ModeChoice::Auto).await;
    assert!(error.to_string().contains("no proxy of that kind"), "{error}");
}

#[tokio::test]
async fn an_ftp_proxy_leads_to_the_server_by_the_login() {
    let server = Server::start(ServerKind::Vsftpd, Tls::Off);
    let proxy = Proxy::start(Kind::FtpProxy);
    for mode in [ModeChoice::Auto, ModeChoice::Active] {
        let settings = Settings { mode, ..through(&server, &format!("ftp://{}", proxy.at)) };
        round_trip(&server, &server.target(""), settings)
            .await
            .unwrap_or_else(|e| panic!("{mode:?}: {e}\n{}", proxy.log()));
    }
}
