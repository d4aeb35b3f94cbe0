//! Two pictures side by side, section by section.

use portway_client::{Error, Record};

use super::{Line, Part, Sheet, WIDTH};

/// One of the two.
pub(in crate::client) struct Half<'a> {
    pub(in crate::client) title: &'a str,
    pub(in crate::client) records: &'a [Record],
    pub(in crate::client) result: Result<(), &'a Error>,
}

const GAP: &str = " | ";
const HALF: usize = (WIDTH - GAP.len()) / 2;

/// Draws two pictures in the columns of one; what belongs together stands at the same height.
pub(in crate::client) fn beside(halves: [Half<'_>; 2], colour: bool) -> Vec<String> {
    let [left, right] = halves.map(|half| {
        let title = Line { part: Part::Control, text: half.title.to_owned(), mark: None };
        let rule = Line { part: Part::Control, text: "-".repeat(HALF), mark: None };
        let mut lines = vec![title, rule];
        lines.extend(Sheet::new(HALF, true).filled(half.records, half.result));
        lines
    });
    let mut rows = Vec::new();
    for part in [Part::Control, Part::Announcement, Part::Transfer, Part::Verdict] {
        let of = |lines: &[Line]| lines.iter().filter(|line| line.part == part).cloned().collect::<Vec<_>>();
        let (left, right) = (of(&left), of(&right));
        for at in 0..left.len().max(right.len()) {
            let empty = Line { part, text: String::new(), mark: None };
            let (l, r) = (left.get(at).unwrap_or(&empty), right.get(at).unwrap_or(&empty));
            // Colour takes no columns, so the room is counted without it.
            let room = HALF.saturating_sub(l.shown(false).chars().count());
            let row = format!("{}{}{GAP}{}", l.shown(colour), " ".repeat(room), r.shown(colour));
            rows.push(row.trim_end().to_owned());
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::picture::tests::records;
    use portway_client::Seen;

    #[test]
    fn two_pictures_stand_side_by_side_in_eighty_columns_and_their_verdicts_at_one_height() {
        let (you, server) = ("192.0.2.7:51544".parse().unwrap(), "198.51.100.1:21".parse().unwrap());
        let long = "2001:db8:1111:2222:3333:4444:5555:6666".parse::<std::net::IpAddr>().unwrap();
        let start = Seen::Connected { local: you, peer: server, round_trip_us: 9 };
        let left = records([start.clone(), Seen::Sent { line: "USER ann".to_owned() }]);
        let right = records([
            start,
            Seen::Announced { by: "EPRT", addr: (long, 65535).into(), instead: None },
            Seen::Sent { line: format!("EPRT |2|{long}|65535|") },
            Seen::Received { code: 200, lines: vec!["words ".repeat(20)] },
        ]);
        let half = |title, records| Half { title, records, result: Ok(()) };
        for colour in [false, true] {
            let rows = beside([half("PASSIVE", &left), half("ACTIVE", &right)], colour);
            let bare = rows.iter().map(|row| row.replace("\x1b[1;7m", "").replace("\x1b[0m", ""));
            assert!(bare.clone().all(|row| row.chars().count() <= WIDTH), "{rows:#?}");
            assert!(bare.clone().all(|row| row.find(" |").is_some_and(|at| at <= HALF)), "{rows:#?}");
            let verdicts = bare.filter(|row| row.matches("verdict").count() == 2).count();
            assert_eq!(verdicts, 1, "{rows:#?}");
        }
    }
}
