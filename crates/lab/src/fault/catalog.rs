//! The cases: what is wrong in each, what breaks of it, and a cure written by hand that proves the fault to be what it
//! is called.

mod encryption;
mod firewalls;
mod healthy;
mod servers;
mod translation;

use super::cure::Cure;
use super::setting::{Brand, Setting, Transfer, User};

/// One set-up with one fault, or none.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name, as typed and printed.
    pub name: &'static str,
    /// What is wrong, in a few words.
    pub meaning: &'static str,
    /// What `portway doctor` has to name; nothing if all is well.
    pub culprit: Option<&'static str>,
    pub(super) setting: Setting,
    pub(super) reference: Vec<Cure>,
}

impl Case {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.culprit.is_none()
    }
}

/// Each of them: the faults, then the healthy ones.
#[must_use]
pub fn cases() -> Vec<Case> {
    [
        firewalls::firewalls(),
        translation::translation(),
        encryption::encryption(),
        servers::servers(),
        translation::ways(),
        healthy::healthy(),
    ]
    .concat()
}

const PASSIVE: Transfer = Transfer { client: User::Portway, more: "--mode passive", times: 1 };
const ACTIVE: Transfer = Transfer { client: User::Lftp, more: "set ftp:passive-mode off", times: 1 };
const CURL: Transfer = Transfer { client: User::Curl, more: "--ftp-pasv", times: 1 };
/// As a client that believes what a server announces.
const TRUSTING: Transfer =
    Transfer { client: User::Curl, more: "--disable-epsv --no-ftp-skip-pasv-ip", times: 1 };
const CURL_TLS: Transfer = Transfer { client: User::Curl, more: "--ssl-reqd", times: 1 };
const STRICT_TLS: Transfer = Transfer { client: User::Portway, more: "--tls required", times: 1 };

/// The rest of a cure's line after its place, program and kind is what to paste.
fn by(place: &str, program: &str, kind: &str, text: &str) -> Vec<Cure> {
    let owned = str::to_owned;
    vec![Cure { place: owned(place), program: owned(program), kind: owned(kind), text: owned(text) }]
}

fn nft(place: &str, rule: &str) -> Vec<Cure> {
    by(place, "nftables", "command", &format!("nft insert rule inet filter forward {rule}"))
}

fn option(program: &str, text: &str) -> Vec<Cure> {
    by("client", program, "option", text)
}

fn settings(brand: Brand, text: &str) -> Vec<Cure> {
    by("server", brand.program(), "settings", text)
}

fn case(
    name: &'static str,
    meaning: &'static str,
    culprit: &'static str,
    server: Brand,
    reference: Vec<Cure>,
    change: impl FnOnce(&mut Setting),
) -> Case {
    let mut setting = Setting::of(server);
    change(&mut setting);
    Case { name, meaning, culprit: Some(culprit), setting, reference }
}

const IN_FROM_20: &str = "tcp sport 20 accept";
const INWARDS: &str = "iifname wan tcp dport 1024-65535 accept";
const TO_RANGE: &str = "tcp dport <LOW>-<HIGH> accept";

/// The kernel's helper, assigned in a chain of the given hook.
fn helper(hook: &str) -> String {
    format!(
        "nft add ct helper inet filter ftp-standard '{{ type \"ftp\" protocol tcp; }}'\n\
         nft add chain inet filter helpers '{{ type filter hook {hook} priority -150; }}'\n\
         nft add rule inet filter helpers tcp dport 21 ct helper set \"ftp-standard\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_name_of_its_own_and_a_cure_written_by_hand() {
        let all = cases();
        let mut names: Vec<&str> = all.iter().map(|case| case.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all.len());
        let (well, ill): (Vec<&Case>, Vec<&Case>) = all.iter().partition(|case| case.is_healthy());
        assert!(ill.len() >= 24 && well.len() >= 10, "{} faults, {} healthy", ill.len(), well.len());
        assert!(ill.iter().all(|case| !case.reference.is_empty()));
        for brand in [Brand::Portway, Brand::Vsftpd, Brand::Proftpd, Brand::PureFtpd] {
            assert!(ill.iter().filter(|case| case.setting.server == brand).count() >= 4, "{brand:?}");
        }
    }
}
