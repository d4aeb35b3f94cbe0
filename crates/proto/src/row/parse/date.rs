//! Dates and times of day in listings, in whatever language the server was installed.

use super::words::Words;
use crate::{
    row::{Modified, Precision},
    time::{Timestamp, fraction, number},
};

/// A time of day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Clock {
    pub(super) hour: u32,
    pub(super) minute: u32,
    pub(super) second: Option<u32>,
    pub(super) nanos: u32,
}

/// A day of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Day {
    pub(super) year: u32,
    pub(super) month: u32,
    pub(super) day: u32,
}

/// Which number of a date comes first where two orders are possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Month first with `-` and `/`, day first with `.`: DOS, OS/2.
    ByMark,
    /// As [`ByMark`](Self::ByMark), but year first with `-`: OS/400.
    YearFirst,
}

impl Day {
    /// Reads three numbers with `-`, `/` or `.` between them.
    pub(super) fn parse(word: &[u8], order: Order) -> Option<Self> {
        let mark = *word.iter().find(|b| !b.is_ascii_digit())?;
        if !matches!(mark, b'-' | b'/' | b'.') {
            return None;
        }
        let mut parts = word.split(|&b| b == mark);
        let (a, b, c) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || [a, b, c].iter().any(|p| p.len() > 4) {
            return None;
        }
        let (x, y, z) = (number(a)?, number(b)?, number(c)?);
        let year_first = a.len() == 4 || x > 31 || (mark == b'-' && order == Order::YearFirst);
        let (year, month, day) = if year_first {
            (full_year(x, a.len())?, y, z)
        } else if (mark == b'.' || x > 12) && y <= 12 {
            (full_year(z, c.len())?, y, x)
        } else {
            (full_year(z, c.len())?, x, y)
        };
        Self { year, month, day }.checked()
    }

    /// Reads `19-JAN-2024` and `18-Feb-09`.
    pub(super) fn parse_named(word: &[u8]) -> Option<Self> {
        let mut parts = word.split(|&b| b == b'-');
        let (day, month, year) = (number(parts.next()?)?, month(parts.next()?)?, parts.next()?);
        let year = full_year(number(year)?, year.len())?;
        Self { year, month, day }.checked().filter(|_| parts.next().is_none())
    }

    fn checked(self) -> Option<Self> {
        ((1..=12).contains(&self.month) && (1..=31).contains(&self.day)).then_some(self)
    }

    /// With a time of day, or without.
    pub(super) fn at(self, clock: Option<Clock>) -> Option<Modified> {
        let time = clock.unwrap_or_default();
        let at = Timestamp::from_civil(
            self.year,
            self.month,
            self.day,
            time.hour,
            time.minute,
            time.second.unwrap_or(0),
            time.nanos,
        )?;
        let precision = match clock {
            None => Precision::Day,
            Some(Clock { second: None, .. }) => Precision::Minute,
            Some(_) => Precision::Second,
        };
        Some(Modified { at, precision, local: true })
    }
}

/// Two digits are 1970 to 2069; three are the years since 1900, from servers that trusted `struct tm`.
fn full_year(year: u32, digits: usize) -> Option<u32> {
    match digits {
        2 => Some(if year < 70 { 2000 + year } else { 1900 + year }),
        3 => Some(1900 + year),
        4 => Some(year),
        _ => None,
    }
}

impl Clock {
    /// Reads `H:MM`, `HH:MM:SS`, `HH:MM:SS.fff`, and a final `AM` or `PM`, `a` or `p`.
    pub(super) fn parse(word: &[u8]) -> Option<Self> {
        let digits = word.iter().rposition(u8::is_ascii_digit)?.checked_add(1)?;
        let (word, half) = word.split_at_checked(digits)?;
        let mut parts = word.split(|&b| b == b':');
        let (hour, minute) = (parts.next()?, parts.next()?);
        let seconds = parts.next();
        if hour.len() > 2 || minute.len() != 2 || parts.next().is_some() {
            return None;
        }
        let mut clock = Self { hour: number(hour)?, minute: number(minute)?, second: None, nanos: 0 };
        if let Some(seconds) = seconds {
            let mut halves = seconds.splitn(2, |&b| b == b'.');
            clock.second = Some(number(halves.next().filter(|s| s.len() == 2)?)?);
            clock.nanos = halves.next().map_or(Some(0), fraction)?;
        }
        clock.half(half)?.checked()
    }

    /// Applies the half of the day: nothing, or AM and PM in any spelling.
    pub(super) fn half(mut self, half: &[u8]) -> Option<Self> {
        match half.to_ascii_lowercase().as_slice() {
            b"" => {}
            b"am" | b"a" if (1..=12).contains(&self.hour) => self.hour %= 12,
            b"pm" | b"p" if (1..=12).contains(&self.hour) => self.hour = self.hour % 12 + 12,
            // Some write 14:00PM, and mean it.
            b"am" | b"a" | b"pm" | b"p" => {}
            _ => return None,
        }
        Some(self)
    }

    fn checked(self) -> Option<Self> {
        (self.hour < 24 && self.minute < 60 && self.second.is_none_or(|s| s <= 60)).then_some(self)
    }
}

/// A time of `ls -l` and the place of its last word.
pub(super) struct LsTime {
    pub(super) modified: Modified,
    pub(super) last: usize,
    /// The time was shorter than the column: one more space may follow it.
    pub(super) padded: bool,
}

/// Reads a time as `ls -l` writes it, beginning at a word.
pub(super) fn ls_time(words: &Words<'_>, at: usize, now: Timestamp) -> Option<LsTime> {
    let word = words.get(at)?;
    let next = words.get(at.checked_add(1)?);
    if let Some(day) = Day::parse(word, Order::ByMark) {
        return full_time(words, at, day);
    }
    // `--time-style=iso`: 01-31 10:20
    if let [m1, m2, b'-', d1, d2] = *word
        && let (Some(month), Some(day)) = (number(&[m1, m2]), number(&[d1, d2]))
    {
        let clock = Clock::parse(next?)?;
        return with_clock(None, month, day, clock, at + 1, now);
    }
    let (year, month, day, last) = named_day(words, at)?;
    let after = last.checked_add(1)?;
    let word = words.get(after)?;
    if let Some(clock) = Clock::parse(word) {
        // BSD `ls -lT`: 10:20:30 2024
        let late_year =
            words.get(after + 1).filter(|y| clock.second.is_some() && y.len() == 4).and_then(number);
        let last = if late_year.is_some() { after + 1 } else { after };
        return with_clock(year.or(late_year), month, day, clock, last, now);
    }
    let (year, last) = match year {
        Some(year) => (year, last),
        None => (year_word(word)?, after),
    };
    let modified = Day { year, month, day }.checked()?.at(None)?;
    Some(LsTime { modified, last, padded: false })
}

/// A date with a year, then perhaps a time of day, then perhaps a zone.
fn full_time(words: &Words<'_>, at: usize, day: Day) -> Option<LsTime> {
    let Some(clock) = words.get(at + 1).and_then(Clock::parse) else {
        return Some(LsTime { modified: day.at(None)?, last: at, padded: true });
    };
    let mut modified = day.at(Some(clock))?;
    let zone = words.get(at + 2).filter(|_| clock.second.is_some()).and_then(zone);
    let Some(east) = zone else {
        return Some(LsTime { modified, last: at + 1, padded: false });
    };
    modified.at = Timestamp::from_unix(modified.at.unix().saturating_sub(east), modified.at.nanos())?;
    modified.local = false;
    Some(LsTime { modified, last: at + 2, padded: false })
}

/// Seconds east of Greenwich: `+0530`.
fn zone(word: &[u8]) -> Option<i64> {
    let [sign @ (b'+' | b'-'), h1, h2, m1, m2] = *word else { return None };
    let seconds = i64::from(number(&[h1, h2])?) * 3600 + i64::from(number(&[m1, m2])?) * 60;
    Some(if sign == b'+' { seconds } else { -seconds })
}

fn with_clock(
    year: Option<u32>,
    month: u32,
    day: u32,
    clock: Clock,
    last: usize,
    now: Timestamp,
) -> Option<LsTime> {
    let checked = |year| Day { year, month, day }.checked()?.at(Some(clock));
    let modified = match year {
        Some(year) => checked(year),
        None => {
            // The latest year in which the date is not in the future. A day of grace is for the server's
            // zone and a fast clock; eight years because the 29th of February may be as far away.
            let this_year = u32::from(now.civil().year().unsigned_abs());
            let latest = now.unix().saturating_add(86_400);
            let mut years = (0..=9).map_while(|back| this_year.checked_add(1)?.checked_sub(back));
            years.find_map(|year| checked(year).filter(|m| m.at.unix() <= latest))
        }
    }?;
    Some(LsTime { modified, last, padded: false })
}

/// Month and day in either order, perhaps glued together, perhaps with a year before them; and the last word.
fn named_day(words: &Words<'_>, at: usize) -> Option<(Option<u32>, u32, u32, usize)> {
    let (first, second) = (words.get(at)?, words.get(at + 1));
    if let Some((month, day)) = glued(first) {
        return Some((None, month, day, at));
    }
    let second = second?;
    // Days are told at a glance, names of months are not.
    let (day_first, day_second) = (day_word(first), day_word(second));
    let pair = day_second.and_then(|day| Some((month(first)?, day)));
    let pair = pair.or_else(|| day_first.and_then(|day| Some((month(second)?, day))));
    if let Some((month, day)) = pair {
        return Some((None, month, day, at + 1));
    }
    // 2024年 1月 31日
    let (year, mark) = leading_number(first)?;
    if year < 1900 || mark.is_empty() || mark.is_ascii() {
        return None;
    }
    let (_, month, day, last) = named_day(words, at + 1).filter(|(year, ..)| year.is_none())?;
    Some((Some(year), month, day, last))
}

/// `31`, `31.`, `31,`, `31日`.
fn day_word(word: &[u8]) -> Option<u32> {
    let (day, mark) = leading_number(word)?;
    ((1..=31).contains(&day) && (matches!(mark, b"" | b"." | b",") || !mark.iter().any(u8::is_ascii)))
        .then_some(day)
}

/// `2024`, `2024年`.
fn year_word(word: &[u8]) -> Option<u32> {
    let (year, mark) = leading_number(word)?;
    ((1900..=9999).contains(&year) && word.len() >= 4 && !mark.iter().any(u8::is_ascii)).then_some(year)
}

/// `1月31日`, in any encoding of the signs.
fn glued(word: &[u8]) -> Option<(u32, u32)> {
    let (month, rest) = leading_number(word)?;
    let sign = rest.iter().take_while(|b| !b.is_ascii_digit()).count();
    let (sign, rest) = rest.split_at_checked(sign)?;
    // Encodings of East Asia may have ASCII octets after the first.
    if sign.is_empty() || sign.first().is_some_and(u8::is_ascii) || rest.is_empty() {
        return None;
    }
    Some((month, day_word(rest)?)).filter(|(month, _)| (1..=12).contains(month))
}

fn leading_number(word: &[u8]) -> Option<(u32, &[u8])> {
    let digits = word.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, rest) = word.split_at_checked(digits)?;
    Some((number(digits)?, rest))
}

/// Beginnings of the names of months. Longer ones stand before those they begin with.
const MONTHS: &[(u32, &str)] = &[
    (1, "jan jän ian ene gen sty tammi led янв січ oca ιαν"),
    (2, "feb fév fev lut helmi úno фев лют şub φεβ"),
    (11, "marras"),
    (3, "mar mär mrz mrt maa bře márc мар бер μαρ"),
    (4, "apr avr abr kwi huhti dub ápr апр кві nis απρ"),
    (5, "may mai maj mag mei máj touko kvě май мая тра μαι μάι"),
    (6, "jun juin giu cze kesä čvn čer июн чер haz iun ιουν"),
    (7, "jul juil lug lip heinä čvc июл tem iul ιουλ"),
    (8, "aug aoû aou ago sie elo srp авг сер ağu αυγ"),
    (9, "sep szept set wrz syys zář сен вер eyl σεπ"),
    (10, "oct okt out ott paź lok říj окт жов eki οκτ"),
    (11, "nov lis ноя лис kas νοε"),
    (12, "dec déc dez dic des gru joulu pro дек гру ara δεκ"),
];

/// The month a word names, in English or another language, or `5月`.
fn month(word: &[u8]) -> Option<u32> {
    if let Some((month, sign)) = leading_number(word) {
        let signed = !sign.is_empty() && !sign.first().is_some_and(u8::is_ascii);
        // A day with its sign would pass, too, but months come first where signs are used.
        return (signed && (1..=12).contains(&month) && !sign.iter().any(u8::is_ascii_digit))
            .then_some(month);
    }
    const ENGLISH: &[u8] = b"janfebmaraprmayjunjulaugsepoctnovdec";
    if word.len() == 3 {
        let found = ENGLISH.chunks(3).position(|name| name.eq_ignore_ascii_case(word));
        if let Some(found) = found {
            return u32::try_from(found).ok().map(|n| n + 1);
        }
    }
    if !(3..=24).contains(&word.len()) {
        return None;
    }
    // Old servers speak Latin-1.
    let text = std::str::from_utf8(word)
        .map_or_else(|_| word.iter().map(|&b| char::from(b)).collect(), str::to_owned);
    let text = text.trim_end_matches('.').to_lowercase();
    if !text.chars().all(char::is_alphabetic) {
        return None;
    }
    MONTHS
        .iter()
        .find(|(_, names)| names.split(' ').any(|name| text.starts_with(name)))
        .map(|&(month, _)| month)
}
