//! What the client reads out of single replies: 227 and 229, PWD, SIZE, MDTM, HASH, FEAT, 150, refusals, logins.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portway_proto::client::{
    AddressTrust, Credentials, DataEnd, Evidence, Features, Judgement, Login, LoginStep, accepted_address,
    digest, found_nothing, modified, passive, quoted_path, size, size_hint, temper,
};
use portway_proto::row::ListRow;
use portway_proto::{Algorithm, Command, RawReply, Timestamp, Verb, printable, quote};

const CODES: [u16; 20] =
    [110, 125, 150, 200, 202, 211, 213, 220, 226, 227, 229, 230, 250, 257, 331, 332, 421, 425, 500, 550];
const DIGESTS: [(Algorithm, usize); 5] = [
    (Algorithm::Crc32, 8),
    (Algorithm::Md5, 32),
    (Algorithm::Sha1, 40),
    (Algorithm::Sha256, 64),
    (Algorithm::Sha512, 128),
];

fuzz_target!(|data: &[u8]| {
    let (&which, text) = data.split_first().unwrap_or((&0, data));
    let code = CODES[usize::from(which) % CODES.len()];
    let lines = text.split(|&octet| octet == b'\n').map(<[u8]>::to_vec).collect();
    let reply = RawReply { code, lines };
    for peer in ["192.0.2.1", "2001:db8::1"] {
        let peer = peer.parse().expect("an address");
        for trust in [AddressTrust::Peer, AddressTrust::Announced] {
            let Ok(goal) = passive(&reply, peer, trust) else { continue };
            let to = goal.to.addr();
            assert!(to.port() >= 1024 && !to.ip().is_unspecified(), "{to} from {reply:?}");
            assert!(trust == AddressTrust::Announced || to.ip() == peer, "{to} from {reply:?}");
        }
    }
    if let Some(ip) = accepted_address(&reply) {
        assert!(!ip.is_unspecified() && !ip.is_multicast(), "{ip}");
    }
    for (algorithm, length) in DIGESTS {
        if let Some(found) = digest(&reply, algorithm) {
            assert_eq!(found.len(), length);
            assert!(found.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{found}");
        }
    }
    if let Some(path) = quoted_path(&reply) {
        assert!(!path.is_empty());
        let again = RawReply { code: 257, lines: vec![[quote(&path).as_slice(), b" is it"].concat()] };
        // No reply of ours can hold these.
        if !path.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)) {
            assert_eq!(quoted_path(&again).as_ref(), Some(&path), "what is quoted is read back");
        }
    }
    if let Some(time) = modified(&reply) {
        let again = Timestamp::parse_lenient(time.to_string().as_bytes());
        let seconds = again.map(|again| again.unix());
        assert_eq!(seconds, Some(time.unix()), "a time is written as it is read");
    }
    let features = Features::read(&reply);
    assert!(
        features.hashes().len() <= Algorithm::ALL.len()
            && features.digest_verbs().len() <= Algorithm::ALL.len()
    );
    let _ = (features.mlst(), features.has_with("REST", "STREAM"), temper(&reply), found_nothing(&reply));
    if let Some(row) = reply.lines.first().and_then(|line| ListRow::parse_mlst(line).ok()) {
        assert!(row.safe_name().is_none_or(|name| !name.contains(&b'/') && name != b".."), "{row:?}");
    }
    login(&reply);
    judge(&reply);
    for line in &reply.lines {
        assert!(!printable(line).chars().any(char::is_control), "a control character for the terminal");
    }
});

/// A server that says the same over and over ends a login soon, and gets the password once.
fn login(reply: &RawReply) {
    let account = Some(b"account".to_vec());
    let mut login = Login::new(Credentials { account, ..Credentials::default() });
    let mut passwords = 0;
    for step in 0.. {
        assert!(step < 5, "a login without end: {reply:?}");
        match login.step(reply) {
            LoginStep::Send(command) => {
                assert!(matches!(command.verb(), Some(Verb::User | Verb::Pass | Verb::Acct)), "{command:?}");
                passwords += usize::from(matches!(command, Command::Pass(_)));
            }
            LoginStep::LoggedIn | LoginStep::Failed(_) => break,
        }
    }
    assert!(passwords <= 1);
}

/// Whatever the sizes in replies are, a transfer of another size is not done.
fn judge(reply: &RawReply) {
    let expected = size(reply).or(size_hint(reply));
    for (reached, end) in [(0, DataEnd::Clean), (1000, DataEnd::Broken), (u64::MAX, DataEnd::Unfinished)] {
        let evidence = Evidence { expected, reached, end, reply: Some(reply.code), upload: false };
        let done = matches!(evidence.judge(), Judgement::Complete | Judgement::CompleteByProof);
        assert!(!done || expected.is_none_or(|expected| expected == reached), "{evidence:?}");
    }
}
