use proptest::prelude::*;

use super::*;
use crate::row::{MlsxFacts, Perm};

const FORMATS: &[RowFormat] = &[
    RowFormat::Auto,
    RowFormat::Mlsx,
    RowFormat::Unix,
    RowFormat::Dos,
    RowFormat::Eplf,
    RowFormat::Vms,
    RowFormat::Mvs,
    RowFormat::Zvm,
    RowFormat::Os400,
    RowFormat::Os2,
    RowFormat::NonStop,
];

fn name() -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![3 => b' '..=b'~', 1 => 128_u8.., 1 => Just(b' ')];
    let sent = |name: &Vec<u8>| name != b"." && name != b"..";
    proptest::collection::vec(octet, 1..30).prop_filter("special", sent)
}

fn kind() -> impl Strategy<Value = RowKind> {
    prop_oneof![Just(RowKind::File), Just(RowKind::Dir), Just(RowKind::Symlink), Just(RowKind::Other)]
}

prop_compose! {
    fn any_row()(
        name in name(), kind in kind(), size: u64, links: u64, mode in 0_u32..0o10000,
        seconds in 0_i64..1_709_294_400, owner in "[a-z][a-z0-9-]{0,9}", group in "[a-z][a-z0-9-]{0,9}",
        target in name(), unique in "[A-Za-z0-9]{1,9}", letters in "[acdeflmprw]{0,10}",
    ) -> ListRow {
        let mut row = ListRow::new(name, kind);
        row.size = Some(size);
        row.links = Some(links);
        row.mode = Some(mode);
        row.modified = Timestamp::from_unix(seconds, 0).map(Into::into);
        row.created = row.modified.map(|m| m.at);
        row.owner = Some(owner.into_bytes());
        row.group = Some(group.into_bytes());
        row.target = (kind == RowKind::Symlink).then_some(target);
        row.unique = Some(unique.into_bytes());
        row.perm = Some(Perm::parse(letters.as_bytes()));
        row
    }
}

proptest! {
    #[test]
    fn what_list_says_is_read_back(row in any_row()) {
        prop_assume!(memchr::memmem::find(&row.name, b" -> ").is_none() || row.kind != RowKind::Symlink);
        // `ls -F` marks directories, and a name cannot have the mark.
        prop_assume!(!row.name.contains(&b'/'));
        let mut out = Vec::new();
        row.write_long(now(), &mut out);
        let read = parse_as(RowFormat::Auto, &out).unwrap().unwrap();
        let modified = row.modified.unwrap().at.to_string();
        let known = when(&read);
        prop_assert!(modified.starts_with(&known) && known.len() >= 8, "{} {}", modified, known);
        let modified = read.modified;
        prop_assert_eq!(read, ListRow { modified, created: None, unique: None, perm: None, ..row });
    }

    #[test]
    fn what_mlsd_says_is_read_back(row in any_row()) {
        let mut out = Vec::new();
        row.write_mlsd(MlsxFacts::ALL, &mut out);
        let read = parse_as(RowFormat::Mlsx, &out).unwrap().unwrap();
        let dir = row.kind.is_dir();
        let expect = ListRow {
            links: None,
            size: row.size.filter(|_| !dir),
            target: read.target.clone().and(row.target.clone()),
            ..row
        };
        prop_assert_eq!(read, expect);
    }

    #[test]
    fn any_octets_are_survived(lines: Vec<Vec<u8>>, now in -62_167_219_200_i64..=253_402_300_799) {
        for &format in FORMATS {
            let mut parser = RowParser::new(format);
            for line in &lines {
                let _ = parser.parse_line(line, Timestamp::from_unix(now, 0).unwrap());
            }
            parser.finish();
        }
    }

    #[test]
    fn words_that_almost_fit_are_survived(words in proptest::collection::vec(prop_oneof![
        Just("-rw-r--r--"), Just("drwxr-xr-x"), Just("1"), Just("1,"), Just("99999999999999999999"), Just("Jan"), Just("Feb"),
        Just("31"), Just("29"), Just("10:20"), Just("10:20:30"), Just("2024"), Just("9999"), Just("0000"), Just("02-14-24"), Just("9999-12-31"),
        Just("0000-01-01"), Just("+2359"), Just("-2359"), Just("<DIR>"), Just("*DIR"), Just("DIR"), Just("a"), Just("A.B;1"), Just("[A]"),
        Just("1月"), Just("31日"), Just("2024年"), Just("19-JAN-2024"), Just("\""), Just(" "), Just("->"), Just("PO"), Just("3390"),
        Just("type=dir;"), Just("[RWCEAFMS]"), Just("1.2K"), Just("23:59:60.999999999999"), Just("12:00PM"), Just("Volume"), Just("Unit"),
        Just("Name"), Just("VV.MM"), Just("JOBNAME"), Just("JOBID"),
    ], 0..14), now in -62_167_219_200_i64..=253_402_300_799) {
        let line = words.join(" ");
        for &format in FORMATS {
            let mut parser = RowParser::new(format);
            for line in [line.as_bytes(), b" 1 19-JAN-2024", line.as_bytes()] {
                let _ = parser.parse_line(line, Timestamp::from_unix(now, 0).unwrap());
            }
        }
    }
}
