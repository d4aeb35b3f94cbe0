//! Everything that can be to blame.

use serde::{Serialize, Serializer};

macro_rules! culprits {
    ($($name:ident $word:literal $symptom:literal $cure:literal;)*) => {
        /// Who or what is to blame.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Culprit {
            $(#[doc = $symptom] $name,)*
        }

        impl Culprit {
            /// Each of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word in JSON; never changes.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// What a user sees, in one sentence.
            #[must_use]
            pub const fn symptom(self) -> &'static str {
                match self { $(Self::$name => $symptom,)* }
            }

            /// What helps, in one sentence.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$name => $cure,)* }
            }
        }
    };
}

impl Serialize for Culprit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

#[rustfmt::skip]
culprits! {
    NameNotFound "name_not_found" "The name has no address." "Mend the name, or the DNS record; until then use the address.";
    ServerDown "server_down" "The server's machine answers and refuses the control port, or nobody answers for the machine." "Start the server, or use the port it really listens on.";
    ServerFiltered "server_filtered" "The control port does not answer at all." "Open the control port in the firewall before the server.";
    Ipv6BlackHole "ipv6_black_hole" "IPv4 works; connections by IPv6 vanish." "Mend the IPv6 route or firewall, or take the AAAA record away.";
    AlgStripsAuthTls "alg_strips_auth_tls" "AUTH TLS is refused, and it is not the server that refuses it." "Switch the FTP inspection of the middlebox off, or use implicit TLS.";
    TlsCut "tls_cut" "AUTH TLS is agreed on, and the handshake is cut off or never answered." "Exempt the server from TLS inspection at the firewall, or use implicit TLS.";
    TlsRequired "tls_required" "The server lets nobody in without TLS, and TLS does not come about." "Use TLS: --tls required, or ftps://.";
    LoginRefused "login_refused" "530: the server refuses user name or password." "Use the right name and password; have the administrator check the account.";
    FtpHelperBlindUnderTls "ftp_helper_blind_under_tls" "Transfers work in the clear and hang under TLS." "Announce ports to the firewall (portway gate with an agent), or open a fixed passive range.";
    DataTlsResumptionRequired "data_tls_resumption_required" "522, 425 or 450 after the data connection stands; some clients work and others do not." "Use a client that resumes TLS sessions, or switch the demand off at the server.";
    DataTlsRefused "data_tls_refused" "The server encrypts the control channel and not the data channel." "Allow TLS on data connections at the server, or use --tls off.";
    PassiveRangeExhausted "passive_range_exhausted" "425 or 421 to PASV, most of all under load." "Give the server a larger passive range, or portway's pooled port.";
    PassiveRangePartlyClosed "passive_range_partly_closed" "Some transfers work at once and others hang, by chance." "Open the whole passive range in the firewall, or narrow the server's range to what is open.";
    ServerNatPrivateAddress "server_nat_private_address" "227 names a private address; clients that believe it hang." "Tell the server its public address, and forward the passive range.";
    AlgRewrites227 "alg_rewrites_227" "227 is changed on the way; clients that believe it hang." "Switch the FTP helper of the firewall or router off, or use EPSV.";
    WrongPassiveAddress "wrong_passive_address" "227 names an address that is not the server's." "Mend the server's passive address.";
    EpsvBroken "epsv_broken" "EPSV fails and PASV works." "Use PASV, or update the firewall that does not know EPSV.";
    SynOnlyFilter "syn_only_filter" "Data connections stand, and not one octet comes through them." "Let established connections to the passive range pass, both ways.";
    MtuBlackHole "mtu_black_hole" "Small files and listings work; large ones stall." "Clamp the MSS at the router, or let ICMP \"fragmentation needed\" pass.";
    ControlIdleTimeout "control_idle_timeout" "The control connection is dead after a pause or a long transfer." "Raise the NAT's time limit, or keep the control connection busy.";
    FtpHelperMissing "ftp_helper_missing" "Active mode hangs: this machine's firewall admits answers only, and nobody reads the announcements." "Attach the kernel's FTP helper, or use passive mode.";
    SourcePort20Filtered "source_port_20_filtered" "Active mode hangs: what comes from or goes to port 20 is dropped." "Let port 20 pass, or have the server connect from another port.";
    ClientNatPrivatePort "client_nat_private_port" "500 or 501 to PORT: behind NAT it names a private address." "Use passive mode, or announce the public address and forward a port.";
    ClientFirewallBlocksActive "client_firewall_blocks_active" "Active mode hangs: the client's firewall drops the server's connection." "Use passive mode, or let the server's connections in.";
    ServerFirewallBlocksActive "server_firewall_blocks_active" "Active mode hangs: the server's firewall does not let its connection out." "Let the server connect out, or use passive mode.";
    ClientFirewallBlocksPassive "client_firewall_blocks_passive" "Passive mode hangs: the client's own firewall lets no connection out to high ports." "Let connections to the server's passive ports out, or use the firewall's FTP proxy or helper.";
    ServerFirewallBlocksPassive "server_firewall_blocks_passive" "Passive mode hangs or is refused: the server's firewall does not let its passive ports in." "Open the passive range, or let portway open each port as it is announced.";
    BothFirewallsBlock "both_firewalls_block" "Neither mode works: the client's side drops active mode, the server's passive mode." "Open the passive range at the server's firewall.";
    CertificateExpired "certificate_expired" "TLS fails: the certificate has expired, or is not valid yet." "Renew the certificate.";
    CertificateWrongName "certificate_wrong_name" "TLS fails: the certificate is for another name." "Use the name in the certificate, or get one for this name.";
    CertificateUntrusted "certificate_untrusted" "TLS fails: nobody the client trusts has signed the certificate." "Use a certificate of a known authority, or give the client this one with --ca or --pin.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_json() {
        for culprit in Culprit::ALL {
            let json = serde_json::to_string(culprit).unwrap();
            assert_eq!(json, format!("\"{}\"", culprit.word()));
        }
    }
}
