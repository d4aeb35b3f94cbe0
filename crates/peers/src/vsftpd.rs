//! vsftpd, as open as the tests need it.

use std::path::Path;
use std::process::Command;

use crate::brand::{Brand, Site};
use crate::error::{PeerError, write};
use crate::lines::merged;

/// More lines for a user namespace made without root, where one user is all there is: it changes to no other.
pub const ONE_USER: [&str; 3] = ["run_as_launching_user=YES", "nopriv_user=nobody", "ftp_username=nobody"];

/// The lines for a server that lets anybody read below `served`; `empty` is the folder in which it waits for logins.
///
/// Where it listens and which TLS it has is the caller's to add.
#[must_use]
pub fn anonymous(served: &Path, empty: &Path) -> Vec<String> {
    let usual = [
        "background=NO",
        "seccomp_sandbox=NO",
        "anonymous_enable=YES",
        "no_anon_password=YES",
        "local_enable=NO",
        "connect_from_port_20=YES",
        "xferlog_enable=NO",
    ];
    let folders =
        [format!("anon_root={}", served.display()), format!("secure_chroot_dir={}", empty.display())];
    usual.map(str::to_owned).into_iter().chain(folders).collect()
}

/// It asks PAM about passwords, and PAM's folder belongs to the machine; so it runs in a mount namespace with a folder
/// of our own there, where every password is right.
pub(crate) fn command(site: &Site<'_>) -> Result<Command, PeerError> {
    let found = Brand::Vsftpd.find()?;
    let pam = site.home.join("pam.d");
    std::fs::create_dir_all(&pam).map_err(|why| PeerError::File { file: pam.clone(), why })?;
    write(pam.join("vsftpd"), "auth required pam_permit.so\naccount required pam_permit.so\n")?;
    // More than one may live in a home: it listens on one address.
    let file = write(site.home.join(format!("vsftpd-{}.conf", site.at)), configuration(site))?;
    let mut command = Command::new("setpriv");
    command.envs(found.libraries().map(|folders| ("LD_LIBRARY_PATH", folders)));
    command.args(["--pdeathsig", "KILL", "--", "unshare", "--mount", "sh", "-c"]);
    command
        .arg("mount --bind \"$1\" /etc/pam.d && exec \"$2\" \"$3\"")
        .arg("sh")
        .args([pam, found.file, file]);
    Ok(command)
}

fn configuration(site: &Site<'_>) -> String {
    let v6 = site.at.is_ipv6();
    let yes = |on: bool| if on { "YES" } else { "NO" }.to_owned();
    let no = || yes(false);
    let mut lines = vec![
        ("listen", yes(!v6)),
        ("listen_ipv6", yes(v6)),
        (if v6 { "listen_address6" } else { "listen_address" }, site.at.ip().to_string()),
        ("listen_port", site.at.port().to_string()),
        ("background", no()),
        ("seccomp_sandbox", no()),
        ("anonymous_enable", no()),
        ("local_enable", yes(true)),
        ("guest_enable", yes(true)),
        ("guest_username", "ftp".to_owned()),
        ("virtual_use_local_privs", yes(true)),
        ("check_shell", no()),
        ("pam_service_name", "vsftpd".to_owned()),
        ("local_root", site.folder.display().to_string()),
        ("chroot_local_user", yes(true)),
        ("allow_writeable_chroot", yes(true)),
        ("write_enable", yes(true)),
        ("local_umask", "000".to_owned()),
        ("file_open_mode", "0666".to_owned()),
        ("connect_from_port_20", no()),
        ("pasv_min_port", "21000".to_owned()),
        ("pasv_max_port", "29999".to_owned()),
        ("hide_ids", yes(true)),
        ("max_clients", "0".to_owned()),
        ("max_per_ip", "0".to_owned()),
        ("mdtm_write", yes(true)),
        ("use_localtime", no()),
        ("xferlog_enable", yes(true)),
        ("vsftpd_log_file", site.home.join("vsftpd.log").display().to_string()),
    ];
    if let Some(papers) = site.papers {
        lines.extend([
            ("ssl_enable", yes(true)),
            ("implicit_ssl", yes(site.implicit)),
            ("force_local_data_ssl", no()),
            ("force_local_logins_ssl", no()),
            ("require_ssl_reuse", no()),
            ("ssl_ciphers", "HIGH".to_owned()),
            ("rsa_cert_file", papers.chain.display().to_string()),
            ("rsa_private_key_file", papers.key.display().to_string()),
        ]);
    }
    merged(&lines, '=', site.more)
}
