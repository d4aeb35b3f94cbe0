//! Times on the wire: the time-val of RFC 3659 §2.3, always UTC, and the arguments of `SITE UTIME`.

#[cfg(test)]
mod tests;

use std::fmt;

use jiff::{SignedDuration, civil::DateTime, tz::Offset};

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// A moment between the years 0 and 9999, in UTC, to the nanosecond.
///
/// `{}` writes `YYYYMMDDHHMMSS`, and `{:.3}` adds a fraction of so many digits (1 to 9, cut and not rounded).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    unix: i64,
    nanos: u32,
}

/// Why an argument is no time; answer 501.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum TimeError {
    /// Signs, spaces, too few or too many digits.
    #[error("bad time, expected YYYYMMDDHHMMSS with an optional fraction")]
    Form,
    /// Digits that name no moment, such as the 30th of February.
    #[error("no such date or time of day")]
    Calendar,
}

impl Timestamp {
    /// The first second of the year 0.
    pub const MIN: Self = Self { unix: -62_167_219_200, nanos: 0 };
    /// The last nanosecond of the year 9999.
    pub const MAX: Self = Self { unix: 253_402_300_799, nanos: 999_999_999 };

    /// The moment `seconds` after 1970-01-01 00:00:00 UTC and `nanos` after that, as `stat` gives it. `None`
    /// outside the years 0 to 9999 or for a nanosecond that is none.
    #[must_use]
    pub fn from_unix(seconds: i64, nanos: u32) -> Option<Self> {
        let moment = Self { unix: seconds, nanos };
        (nanos < 1_000_000_000 && (Self::MIN..=Self::MAX).contains(&moment)).then_some(moment)
    }

    /// Whole seconds since 1970-01-01 00:00:00 UTC, rounded towards the past.
    #[must_use]
    pub fn unix(self) -> i64 {
        self.unix
    }

    /// Nanoseconds after [`unix`](Self::unix), below 1,000,000,000.
    #[must_use]
    pub fn nanos(self) -> u32 {
        self.nanos
    }

    /// Reads a time-val: 14 digits, then perhaps a point and more digits, of which nine count.
    ///
    /// The 60th second of a leap second is accepted (RFC 3659 §2.3) and becomes the 59th.
    ///
    /// # Errors
    /// [`TimeError`]: answer 501.
    pub fn parse(text: &[u8]) -> Result<Self, TimeError> {
        let (whole, rest) = text.split_first_chunk::<14>().ok_or(TimeError::Form)?;
        let nanos = match rest.split_first() {
            None => 0,
            Some((b'.', digits)) if !digits.is_empty() => fraction(digits).ok_or(TimeError::Form)?,
            Some(_) => return Err(TimeError::Form),
        };
        let [y1, y2, y3, y4, m1, m2, d1, d2, h1, h2, i1, i2, s1, s2] = *whole;
        let two = |a, b| number(&[a, b]).ok_or(TimeError::Form);
        let year = number(&[y1, y2, y3, y4]).ok_or(TimeError::Form)?;
        let (month, day) = (two(m1, m2)?, two(d1, d2)?);
        let (hour, minute, second) = (two(h1, h2)?, two(i1, i2)?, two(s1, s2)?);
        Self::from_civil(year, month, day, hour, minute, second, nanos).ok_or(TimeError::Calendar)
    }

    /// Reads the time in a reply to `MDTM` or in a fact, as servers have been seen to write it: spaces
    /// around, no seconds, a `Z`, an empty fraction, and `19100…` for the year 2000.
    #[must_use]
    pub fn parse_lenient(text: &[u8]) -> Option<Self> {
        let mut text = text.trim_ascii();
        text = text.strip_suffix(b"Z").unwrap_or(text);
        text = text.strip_suffix(b".").unwrap_or(text);
        let whole = text.iter().take_while(|b| b.is_ascii_digit()).count();
        let mut fixed = Vec::with_capacity(text.len().saturating_add(2));
        match (whole, text.strip_prefix(b"191")) {
            (12, _) => {
                fixed.extend_from_slice(text.get(..12)?);
                fixed.extend_from_slice(b"00");
            }
            // "19" and the years since 1900 of struct tm: 19100 is 2000, 19124 is 2024.
            (15, Some(rest)) => {
                fixed.extend_from_slice(b"20");
                fixed.extend_from_slice(rest);
            }
            _ => fixed.extend_from_slice(text),
        }
        Self::parse(&fixed).ok()
    }

    /// The date and time of day, as UTC.
    pub(crate) fn civil(self) -> DateTime {
        match jiff::Timestamp::from_second(self.unix) {
            Ok(at) => Offset::UTC.to_datetime(at),
            // The last day of the year 9999, which jiff keeps free for time zones, by a slower way.
            Err(_) => EPOCH.checked_add(SignedDuration::from_secs(self.unix)).unwrap_or(EPOCH),
        }
    }

    /// From a date and time of day read as UTC. Second 60 becomes 59.
    pub(crate) fn from_civil(
        year: u32,
        month: u32,
        day: u32,
        hour: u32,
        minute: u32,
        second: u32,
        nanos: u32,
    ) -> Option<Self> {
        let small = |n: u32| i8::try_from(n).ok();
        let second = if second == 60 { 59 } else { second };
        let civil = DateTime::new(
            i16::try_from(year).ok()?,
            small(month)?,
            small(day)?,
            small(hour)?,
            small(minute)?,
            small(second)?,
            0,
        );
        Self::from_unix(civil.ok()?.duration_since(EPOCH).as_secs(), nanos)
    }

    /// `YYYYMMDDHHMMSS`, without a formatter, since a listing needs it once per row.
    pub(crate) fn digits(self) -> [u8; 14] {
        let at = self.civil();
        let year = u32::from(at.year().unsigned_abs());
        let part = |n: i8| u32::from(n.unsigned_abs());
        let [y1, y2] = pair(year / 100);
        let [y3, y4] = pair(year % 100);
        let [m1, m2] = pair(part(at.month()));
        let [d1, d2] = pair(part(at.day()));
        let [h1, h2] = pair(part(at.hour()));
        let [i1, i2] = pair(part(at.minute()));
        let [s1, s2] = pair(part(at.second()));
        [y1, y2, y3, y4, m1, m2, d1, d2, h1, h2, i1, i2, s1, s2]
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.digits()).unwrap_or_default())?;
        match f.precision() {
            None | Some(0) => Ok(()),
            Some(digits) => {
                let fraction = format!("{:09}", self.nanos);
                write!(f, ".{}", fraction.get(..digits).unwrap_or(&fraction))
            }
        }
    }
}

/// The argument of `SITE UTIME`, of which two forms live: `YYYYMMDDhhmm[ss] name` (Pure-FTPd, lftp), and
/// `name` with the times of access, modification and change and the word `UTC` (ProFTPD, ncftp).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utime<'a> {
    /// The file, byte for byte.
    pub path: &'a [u8],
    /// Time of modification.
    pub modified: Timestamp,
    /// Time of access; only the long form tells it.
    pub accessed: Option<Timestamp>,
}

impl<'a> Utime<'a> {
    /// Reads what follows `SITE UTIME` and one space.
    ///
    /// # Errors
    /// [`TimeError`]: answer 501.
    pub fn parse(argument: &'a [u8]) -> Result<Self, TimeError> {
        if let Some(long) = Self::parse_long(argument) {
            return long;
        }
        let space = memchr::memchr(b' ', argument).ok_or(TimeError::Form)?;
        let (time, path) = argument.split_at(space);
        let path = path.get(1..).filter(|p| !p.is_empty()).ok_or(TimeError::Form)?;
        let modified = match time.len() {
            12 => Timestamp::parse(&[time, b"00"].concat())?,
            _ => Timestamp::parse(time)?,
        };
        Ok(Self { path, modified, accessed: None })
    }

    /// `None` if this is not the long form.
    fn parse_long(argument: &'a [u8]) -> Option<Result<Self, TimeError>> {
        let mut words = argument.rsplitn(5, |&b| b == b' ');
        let zone = words.next()?;
        let (_change, modified, accessed) = (words.next()?, words.next()?, words.next()?);
        let path = words.next()?;
        if !zone.eq_ignore_ascii_case(b"UTC") || path.is_empty() {
            return None;
        }
        let times = || {
            let (accessed, modified) = (Timestamp::parse(accessed)?, Timestamp::parse(modified)?);
            Ok(Self { path, modified, accessed: Some(accessed) })
        };
        Some(times())
    }
}

fn pair(n: u32) -> [u8; 2] {
    let digit = |n: u32| b'0' + u8::try_from(n % 10).unwrap_or(0);
    [digit(n / 10), digit(n)]
}

/// A number of digits and nothing else.
pub(crate) fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u32, |n, &b| {
        let digit = b.is_ascii_digit().then(|| u32::from(b - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    })
}

/// The nanoseconds of a fraction's digits; the tenth and later ones do not count.
pub(crate) fn fraction(digits: &[u8]) -> Option<u32> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let padded = digits.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    Some(padded.fold(0, |n, b| n * 10 + u32::from(b - b'0')))
}
