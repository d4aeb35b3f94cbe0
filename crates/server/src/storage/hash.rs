//! Digests: HASH, XCRC, XMD5, XSHA1, XSHA256, XSHA512.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Arc, Weak};

use md5::Md5;
use portway_accounts::Rights;
use portway_proto::{Algorithm, Code, Reply};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

use super::files::words;
use super::{User, no_right, refusal};

impl User {
    /// HASH (draft-bryan-ftpext-hash §3.2): `213 SHA-256 0-49 digest name`.
    pub(super) async fn hash(&self, algorithm: Algorithm, arg: &[u8]) -> Reply {
        match self.digest_of(algorithm, arg, 0, None).await {
            Ok((digest, size)) => {
                let mut text = format!("{} 0-{size} {digest} ", algorithm.name()).into_bytes();
                text.extend_from_slice(arg);
                Reply::octets(Code::FILE_STATUS, &text)
            }
            Err(reply) => reply,
        }
    }

    /// XCRC and its kin: `name`, or `"name" first [last]`; the digest alone, in upper case as their clients
    /// compare it.
    pub(super) async fn digest(&self, algorithm: Algorithm, arg: &[u8]) -> Reply {
        let (name, from, to) = match range(arg) {
            Some(range) => range,
            None => (arg.to_vec(), 0, None),
        };
        match self.digest_of(algorithm, &name, from, to).await {
            Ok((digest, _)) => Reply::new(Code::FILE_ACTION_OK, digest.to_ascii_uppercase()),
            Err(reply) => reply,
        }
    }

    async fn digest_of(
        &self,
        algorithm: Algorithm,
        name: &[u8],
        from: u64,
        to: Option<u64>,
    ) -> Result<(String, u64), Reply> {
        if !self.may(Rights::READ) {
            return Err(no_right());
        }
        let asked = Arc::new(());
        let still_asked = Arc::downgrade(&asked);
        let digest = match self.path(name) {
            Ok(path) => {
                let digest = move |user: &Self| {
                    let (file, entry) = user.storage.open(&path)?;
                    let length = to.unwrap_or(entry.size).saturating_sub(from);
                    let mut file = Asked { file, still_asked };
                    file.file.seek(SeekFrom::Start(from))?;
                    Ok((digest(algorithm, &mut file, length)?, entry.size))
                };
                self.blocking(&self.turns.digests, digest).await
            }
            Err(error) => Err(error),
        };
        drop(asked);
        digest.map_err(|error| refusal(name, &error))
    }
}

/// A file that ends in an error once nobody wants its digest any more: its session is over.
struct Asked {
    file: File,
    still_asked: Weak<()>,
}

impl Read for Asked {
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        if self.still_asked.strong_count() == 0 {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        self.file.read(block)
    }
}

/// `"name" first [last]`, both numbers counting octets from 0; `last` is the end, not included.
fn range(arg: &[u8]) -> Option<(Vec<u8>, u64, Option<u64>)> {
    let number = |word: &Vec<u8>| std::str::from_utf8(word).ok()?.parse::<u64>().ok();
    if arg.first() == Some(&b'"') {
        let words = words(arg);
        let (name, numbers) = words.split_first()?;
        return match numbers {
            [] => Some((name.clone(), 0, None)),
            [from] => Some((name.clone(), number(from)?, None)),
            [from, to] => Some((name.clone(), number(from)?, Some(number(to)?))),
            _ => None,
        };
    }
    None
}

fn digest(algorithm: Algorithm, file: &mut impl Read, length: u64) -> io::Result<String> {
    match algorithm {
        Algorithm::Crc32 => {
            let mut crc = crc32fast::Hasher::new();
            each_block(file, length, |block| crc.update(block))?;
            Ok(format!("{:08x}", crc.finalize()))
        }
        Algorithm::Md5 => fold::<Md5>(file, length),
        Algorithm::Sha1 => fold::<Sha1>(file, length),
        Algorithm::Sha256 => fold::<Sha256>(file, length),
        Algorithm::Sha512 => fold::<Sha512>(file, length),
    }
}

fn fold<D: Digest>(file: &mut impl Read, length: u64) -> io::Result<String> {
    let mut digest = D::new();
    each_block(file, length, |block| digest.update(block))?;
    Ok(digest.finalize().iter().map(|octet| format!("{octet:02x}")).collect())
}

fn each_block(file: &mut impl Read, length: u64, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut block = vec![0; 256 * 1024];
    let mut source = file.take(length);
    loop {
        match source.read(&mut block)? {
            0 => return Ok(()),
            read => take(block.get(..read).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn digests_are_those_of_the_standards() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"abc").expect("written");
        for (algorithm, want) in [
            (Algorithm::Crc32, "352441c2"),
            (Algorithm::Md5, "900150983cd24fb0d6963f7d28e17f72"),
            (Algorithm::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (Algorithm::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ] {
            file.rewind().expect("rewound");
            assert_eq!(digest(algorithm, &mut file, 3).expect("a digest"), want, "{algorithm:?}");
        }
    }

    #[test]
    fn a_range_follows_a_quoted_name() {
        assert_eq!(range(b"\"a b\" 1 5"), Some((b"a b".to_vec(), 1, Some(5))));
        assert_eq!(range(b"\"a\" 7"), Some((b"a".to_vec(), 7, None)));
        assert_eq!(range(b"a 1 5"), None);
    }
}
