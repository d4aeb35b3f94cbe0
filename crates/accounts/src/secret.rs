//! A password that wipes itself and never shows itself.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

/// Letters and digits that nobody confuses when reading a password aloud: no `0 O o 1 l I i`.
const CLEAR_LETTERS: &[u8] = b"23456789abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ";

/// Length of a generated password: 20 of 55 letters are 115 bits.
const GENERATED_LENGTH: usize = 20;

/// A password as the octets that the client sent.
///
/// Overwritten with zeros when dropped. `Debug` prints `***`; there is no `Display`, no `PartialEq` (use
/// [`Accounts::verify`](crate::Accounts::verify)) and no `Serialize`.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// The operating system gave no random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random numbers")]
pub struct NoRandomness;

impl Secret {
    /// Takes over the octets. The caller's other copies (line buffers) stay the caller's to wipe.
    pub fn new(octets: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(octets.into()))
    }

    /// Makes a password of 20 letters and digits (115 bits) that read aloud without mix-ups.
    ///
    /// # Errors
    /// [`NoRandomness`] if the operating system's generator fails; nothing weaker is used instead.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut octets = Zeroizing::new(Vec::with_capacity(GENERATED_LENGTH));
        // Octets at or above the largest multiple of 55 would favour the first letters: drawn again.
        let fair = 256 - 256 % CLEAR_LETTERS.len();
        while octets.len() < GENERATED_LENGTH {
            let mut drawn = random_block()?;
            let letters = drawn
                .iter()
                .filter(|&&octet| usize::from(octet) < fair)
                .filter_map(|&octet| CLEAR_LETTERS.get(usize::from(octet) % CLEAR_LETTERS.len()));
            let room = GENERATED_LENGTH - octets.len();
            octets.extend(letters.take(room));
            drawn.zeroize();
        }
        Ok(Self(octets))
    }

    /// The octets, for the one place that must show or send them (a generated password at first start).
    ///
    /// The name is long on purpose: whoever writes it should notice.
    pub fn expose_octets(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is no octet at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes())
    }
}

impl From<&[u8]> for Secret {
    fn from(octets: &[u8]) -> Self {
        Self::new(octets)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// 16 octets from the operating system; argon2's salt generator is the one source in this crate.
pub(crate) fn random_block() -> Result<[u8; 16], NoRandomness> {
    argon2::password_hash::try_generate_salt().map_err(|_| NoRandomness)
}

/// 32 octets from the operating system, for keys.
pub(crate) fn random_key() -> Result<[u8; 32], NoRandomness> {
    let mut key = [0; 32];
    for half in key.chunks_exact_mut(16) {
        half.copy_from_slice(&random_block()?);
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn debug_output_never_contains_the_password() {
        let shown = format!("{:?} {:?}", Secret::from("hunter2"), Some(Secret::from("hunter2")));
        assert_eq!(shown, "*** Some(***)");
    }

    #[test]
    fn generated_passwords_are_long_unambiguous_and_different_each_time() {
        let all: HashSet<Vec<u8>> =
            (0..200).map(|_| Secret::generate().unwrap().expose_octets().to_vec()).collect();
        assert_eq!(all.len(), 200);
        for password in &all {
            assert_eq!(password.len(), 20);
            let text = std::str::from_utf8(password).unwrap();
            assert!(text.chars().all(|c| c.is_ascii_alphanumeric()), "{text}");
            assert!(!text.contains(['0', 'O', 'o', '1', 'l', 'I', 'i']), "{text}");
        }
    }

    #[test]
    fn every_letter_of_the_alphabet_turns_up_in_generated_passwords() {
        let seen: HashSet<u8> =
            (0..500).flat_map(|_| Secret::generate().unwrap().expose_octets().to_vec()).collect();
        // 10,000 draws of 55 letters: the chance that one letter is missing is below 10^-75.
        assert_eq!(seen.len(), CLEAR_LETTERS.len());
    }
}
