//! Patterns in the last part of a path, as `NLST *.txt` from `mget` has them.

/// Whether a name has `*`, `?` or `[` in it.
pub(crate) fn is_pattern(name: &[u8]) -> bool {
    name.iter().any(|b| matches!(b, b'*' | b'?' | b'['))
}

/// Whether a name fits: `*` any octets, `?` any one, `[a-z]` and `[!a-z]` one of these.
///
/// Steps back to the last `*` only, so that the work is bounded by the product of both lengths.
pub(crate) fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut here) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while here < name.len() {
        match step(pattern.get(at..).unwrap_or_default(), name.get(here).copied().unwrap_or_default()) {
            Step::Star => {
                star = Some((at, here));
                at += 1;
            }
            Step::Fits(width) => {
                at += width;
                here += 1;
            }
            Step::Differs => match star {
                Some((back, from)) => {
                    star = Some((back, from + 1));
                    at = back + 1;
                    here = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|&b| b == b'*'))
}

enum Step {
    Star,
    /// One octet fits, and so many of the pattern are used up.
    Fits(usize),
    Differs,
}

fn step(pattern: &[u8], octet: u8) -> Step {
    match pattern {
        [b'*', ..] => Step::Star,
        [b'?', ..] => Step::Fits(1),
        [b'[', set @ ..] => match set.iter().skip(1).position(|&b| b == b']').map(|end| end + 1) {
            Some(end) => {
                let (not, members) = match set.get(..end) {
                    Some([b'!' | b'^', members @ ..]) => (true, members),
                    Some(members) => (false, members),
                    None => return Step::Differs,
                };
                if in_set(members, octet) != not { Step::Fits(end + 2) } else { Step::Differs }
            }
            // Without its bracket it is an octet like any other.
            None if octet == b'[' => Step::Fits(1),
            None => Step::Differs,
        },
        [literal, ..] if *literal == octet => Step::Fits(1),
        _ => Step::Differs,
    }
}

fn in_set(mut members: &[u8], octet: u8) -> bool {
    loop {
        match members {
            [low, b'-', high, rest @ ..] => {
                if (*low..=*high).contains(&octet) {
                    return true;
                }
                members = rest;
            }
            [one, rest @ ..] => {
                if *one == octet {
                    return true;
                }
                members = rest;
            }
            [] => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_a_shell() {
        for (pattern, name, want) in [
            ("*", "", true),
            ("*.txt", "a.txt", true),
            ("*.txt", "a.txt.gz", false),
            ("a*b*c", "aXbYbZc", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]x", "]x", true),
            ("[abc", "[abc", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), want, "{pattern} {name}");
        }
    }

    #[test]
    fn a_bomb_of_stars_is_no_bomb() {
        let (pattern, name) = ("*a".repeat(200), "a".repeat(100) + &"b".repeat(10_000));
        assert!(!fits(pattern.as_bytes(), name.as_bytes()));
    }

    proptest::proptest! {
        #[test]
        fn no_pattern_panics_and_a_name_fits_itself(pattern: Vec<u8>, name: Vec<u8>) {
            let _ = fits(&pattern, &name);
            proptest::prop_assert!(is_pattern(&name) || fits(&name, &name));
        }
    }
}
