//! Names of hidden partial uploads.
//!
//! `.portway-part.NAME` is the one that can be resumed; `.portway-part~2.NAME` and up exist while more than one
//! upload of NAME runs. The number stands before the dot: behind NAME it would be the partial of a file that
//! is really called `NAME~2`.

/// Longest name that Linux file systems take, in octets.
pub(crate) const NAME_MAX: usize = 255;

/// Uploads of one name that may run at the same time; the next is answered Busy.
pub(crate) const MAX_AT_ONCE: u32 = 64;

const STEM: &[u8] = b".portway-part";

/// The hidden name for upload `number` (1 is the resumable one) of `name`.
pub(crate) fn part_name(name: &[u8], number: u32) -> Vec<u8> {
    let stem = match number {
        0 | 1 => [STEM, b"."].concat(),
        n => [STEM, format!("~{n}.").as_bytes()].concat(),
    };
    if stem.len() + name.len() <= NAME_MAX {
        return [stem.as_slice(), name].concat();
    }
    let hash = format!("~{:016x}", fnv1a(name));
    let room = NAME_MAX.saturating_sub(stem.len() + hash.len());
    let head = name.get(..room).unwrap_or(name);
    [stem.as_slice(), head, hash.as_bytes()].concat()
}

/// Whether clients must neither see nor touch `name`.
pub(crate) fn is_reserved(name: &[u8]) -> bool {
    name.strip_prefix(STEM).is_some_and(|rest| matches!(rest.first(), Some(b'.' | b'~')))
}

/// FNV-1a, 64 bits: must stay the same across versions of this program, or left-overs cannot be resumed.
fn fnv1a(data: &[u8]) -> u64 {
    data.iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &b| (hash ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_names_are_reserved_fit_and_do_not_collide() {
        let long = |last: u8| [vec![b'x'; 254], vec![last]].concat();
        let names =
            [b"a".to_vec(), b"a~2".to_vec(), b"~2.a".to_vec(), long(b'1'), long(b'2'), vec![b'x'; 241]];
        let mut seen = std::collections::BTreeSet::new();
        for name in &names {
            for number in [1, 2, 3, 64] {
                let part = part_name(name, number);
                assert!(is_reserved(&part) && part.len() <= NAME_MAX, "{}", String::from_utf8_lossy(&part));
                assert!(seen.insert(part), "two uploads share a partial: {}", String::from_utf8_lossy(name));
            }
        }
        assert_eq!(part_name(b"a", 1), b".portway-part.a");
    }

    #[test]
    fn names_that_only_look_alike_stay_usable() {
        for name in [&b".portway"[..], b".portway-part", b".portway-parts", b"x.portway-part.a", b""] {
            assert!(!is_reserved(name), "{}", String::from_utf8_lossy(name));
        }
    }
}
