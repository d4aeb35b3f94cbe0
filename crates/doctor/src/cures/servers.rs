//! Settings of servers.

use super::{Cure, Facts, Kind, Place, Program};
use crate::Software;

/// What is to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    /// Which ports passive mode uses.
    PassiveRange,
    /// Which address 227 names.
    PassiveAddress,
    /// No demand for TLS resumption.
    NoResumption,
    /// TLS on the data channel.
    DataTls,
    /// Another certificate.
    Certificate,
    /// Active data connections from another port than 20.
    OtherSourcePort,
}

/// Every server's spelling.
#[rustfmt::skip]
const SPELLINGS: &[(Setting, Program, &str)] = &[
    (Setting::PassiveRange, Program::PortwayServe, "passive_ports = \"<LOW>-<HIGH>\""),
    (Setting::PassiveRange, Program::Vsftpd, "pasv_enable=YES\npasv_min_port=<LOW>\npasv_max_port=<HIGH>"),
    (Setting::PassiveRange, Program::Proftpd, "PassivePorts <LOW> <HIGH>"),
    (Setting::PassiveRange, Program::PureFtpd, "PassivePortRange <LOW> <HIGH>"),
    (Setting::PassiveRange, Program::FilezillaServer, "Server > Configure > Protocols settings > FTP > Passive mode: use custom port range <LOW> to <HIGH>"),
    (Setting::PassiveAddress, Program::PortwayServe, "passive_address = \"{public}\""),
    (Setting::PassiveAddress, Program::Vsftpd, "pasv_address={public}\npasv_addr_resolve=NO"),
    (Setting::PassiveAddress, Program::Proftpd, "MasqueradeAddress {public}"),
    (Setting::PassiveAddress, Program::PureFtpd, "ForcePassiveIP {public}"),
    (Setting::PassiveAddress, Program::FilezillaServer, "Server > Configure > Protocols settings > FTP > Passive mode: use the following host {public}"),
    (Setting::NoResumption, Program::PortwayServe, "data_proof = \"off\""),
    (Setting::NoResumption, Program::Vsftpd, "require_ssl_reuse=NO"),
    (Setting::NoResumption, Program::Proftpd, "TLSOptions NoSessionReuseRequired"),
    (Setting::NoResumption, Program::FilezillaServer, "use a client that resumes TLS sessions; FileZilla Server always demands it"),
    (Setting::DataTls, Program::PortwayServe, "tls = \"on\""),
    (Setting::DataTls, Program::Vsftpd, "ssl_enable=YES\nrequire_ssl_reuse=NO\nssl_ciphers=HIGH"),
    (Setting::DataTls, Program::Proftpd, "TLSRequired off\nTLSOptions NoSessionReuseRequired"),
    (Setting::DataTls, Program::PureFtpd, "TLS 1"),
    (Setting::Certificate, Program::PortwayServe, "cert = \"<CERTIFICATE>\"\nkey = \"<KEY>\""),
    (Setting::Certificate, Program::Vsftpd, "rsa_cert_file=<CERTIFICATE>\nrsa_private_key_file=<KEY>"),
    (Setting::Certificate, Program::Proftpd, "TLSRSACertificateFile <CERTIFICATE>\nTLSRSACertificateKeyFile <KEY>"),
    (Setting::Certificate, Program::PureFtpd, "CertFileAndKey \"<CERTIFICATE>\" \"<KEY>\""),
    (Setting::Certificate, Program::FilezillaServer, "Server > Configure > Protocols settings > FTP > Connection security: certificate <CERTIFICATE>, key <KEY>"),
    (Setting::OtherSourcePort, Program::Vsftpd, "connect_from_port_20=NO"),
    (Setting::OtherSourcePort, Program::Proftpd, "RootRevoke UseNonCompliantActiveTransfer"),
];

const PROGRAMS: &[(Software, Program)] = &[
    (Software::Portway, Program::PortwayServe),
    (Software::Vsftpd, Program::Vsftpd),
    (Software::Proftpd, Program::Proftpd),
    (Software::PureFtpd, Program::PureFtpd),
    (Software::FilezillaServer, Program::FilezillaServer),
];

/// The lines for the server that was seen, or for each if it did not say which it is.
pub(super) fn settings(facts: &Facts<'_>, setting: Setting) -> Vec<Cure> {
    let known = PROGRAMS.iter().find(|(software, _)| *software == facts.seen.software);
    // 227 has no form for IPv6, so the address is an IPv4 one.
    let public = facts.server.filter(|ip| ip.is_ipv4());
    let public = public.map_or_else(|| "<PUBLIC ADDRESS>".to_owned(), |ip| ip.to_string());
    SPELLINGS
        .iter()
        .filter(|(what, program, _)| *what == setting && known.is_none_or(|(_, mine)| mine == program))
        .map(|(_, program, text)| {
            Cure::new(Place::Server, *program, Kind::Settings, text.replace("{public}", &public))
        })
        .collect()
}

/// How to start what is not running.
/// What helps a vsftpd that says `500 OOPS`: it runs, and something that it was told to use is not as it wants it.
pub(super) fn oops(said: &str) -> Vec<Cure> {
    let cure = |kind, text: String| Cure::new(Place::Server, Program::Vsftpd, kind, text);
    // What the server says is anybody's; what is to be pasted is not.
    let named = |word: &str, blank: &str| {
        let name = said.split_once(word)?.1.split_whitespace().next().unwrap_or_default();
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        let harmless = !name.is_empty() && !name.starts_with('-') && name.chars().all(plain);
        Some(if harmless { name.to_owned() } else { blank.to_owned() })
    };
    if said.contains("writable root") || said.contains("writeable root") {
        vec![cure(Kind::Settings, "allow_writeable_chroot=YES".to_owned())]
    } else if let Some(folder) = named("cannot change directory:", "<FOLDER>") {
        vec![cure(Kind::Command, format!("mkdir -p {folder} && ls -ld {folder}"))]
    } else if let Some(user) = named("'ftp_username':", "<USER>") {
        let text =
            format!("useradd --system --create-home --home-dir /srv/ftp --shell /usr/sbin/nologin {user}");
        vec![cure(Kind::Command, text)]
    } else {
        vec![cure(Kind::Command, "journalctl --unit vsftpd --lines 20".to_owned())]
    }
}

pub(super) fn start(software: Software) -> Vec<Cure> {
    [
        (Software::Portway, Program::PortwayServe, "systemctl start portway"),
        (Software::Vsftpd, Program::Vsftpd, "systemctl start vsftpd"),
        (Software::Proftpd, Program::Proftpd, "systemctl start proftpd"),
        (Software::PureFtpd, Program::PureFtpd, "systemctl start pure-ftpd"),
        (Software::FilezillaServer, Program::FilezillaServer, "systemctl start filezilla-server"),
    ]
    .into_iter()
    .filter(|(which, ..)| software == Software::Unknown || *which == software)
    .map(|(_, program, text)| Cure::new(Place::Server, program, Kind::Command, text))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vsftpd_that_says_oops_gets_the_cure_for_what_it_says_and_nobody_is_told_to_run_its_words() {
        for (said, cure) in [
            (
                "500 OOPS: vsftpd: refusing to run with writable root inside chroot()",
                "allow_writeable_chroot=YES",
            ),
            ("500 OOPS: cannot change directory:/srv/ftp", "mkdir -p /srv/ftp && ls -ld /srv/ftp"),
            ("500 OOPS: cannot change directory:/x;reboot", "mkdir -p <FOLDER> && ls -ld <FOLDER>"),
            (
                "500 OOPS: vsftpd: cannot locate user specified in 'ftp_username':ftp",
                "useradd --system --create-home --home-dir /srv/ftp --shell /usr/sbin/nologin ftp",
            ),
            ("500 OOPS: bad bool value", "journalctl --unit vsftpd --lines 20"),
        ] {
            let cures = oops(said);
            assert_eq!(cures.iter().map(|c| c.text.as_str()).collect::<Vec<_>>(), [cure], "{said}");
        }
    }
}
