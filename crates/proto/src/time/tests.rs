use proptest::prelude::*;

use super::{TimeError, Timestamp, Utime};

fn unix(seconds: i64) -> Timestamp {
    Timestamp::from_unix(seconds, 0).unwrap()
}

#[test]
fn a_time_val_is_read_to_the_nanosecond() {
    for (text, seconds, nanos) in [
        ("19700101000000", 0, 0),
        ("20240229123456", 1_709_210_096, 0),
        ("19980615100045.014", 897_904_845, 14_000_000),
        ("20000101000000.1234567899", 946_684_800, 123_456_789),
        ("19691231235959.5", -1, 500_000_000),
        ("20161231235960", 1_483_228_799, 0),
        ("00000101000000", -62_167_219_200, 0),
        ("99991231235959", 253_402_300_799, 0),
    ] {
        let time = Timestamp::parse(text.as_bytes()).unwrap();
        assert_eq!((time.unix(), time.nanos()), (seconds, nanos), "{text}");
    }
}

#[test]
fn what_is_no_time_val_is_refused() {
    for text in [
        "",
        "2024",
        "2024010100000",
        "202401010000000",
        " 20240101000000",
        "20240101000000 ",
        "+2024010100000",
        "-0240101000000",
        "20240101000000.",
        "20240101000000.x",
        "20240101000000Z",
        "2024 101000000",
        "20240101000000,5",
        "0x240101000000",
    ] {
        assert_eq!(Timestamp::parse(text.as_bytes()), Err(TimeError::Form), "{text:?}");
    }
    for text in [
        "20230229000000",
        "20241301000000",
        "20240100000000",
        "20240101240000",
        "20240101006000",
        "20240101000061",
    ] {
        assert_eq!(Timestamp::parse(text.as_bytes()), Err(TimeError::Calendar), "{text:?}");
    }
}

#[test]
fn servers_that_write_times_badly_are_understood() {
    for (text, expect) in [
        ("20240229123456", Some(1_709_210_096)),
        (" 20240229123456\r", Some(1_709_210_096)),
        ("202402291234", Some(1_709_210_040)),
        ("20240229123456Z", Some(1_709_210_096)),
        ("20240229123456.", Some(1_709_210_096)),
        ("191000102030405", Some(946_782_245)),
        ("191240229123456", Some(1_709_210_096)),
        ("191240229123456.5", Some(1_709_210_096)),
        ("yesterday", None),
        ("", None),
    ] {
        assert_eq!(Timestamp::parse_lenient(text.as_bytes()).map(Timestamp::unix), expect, "{text:?}");
    }
}

#[test]
fn a_time_is_written_with_as_many_digits_as_asked() {
    let time = Timestamp::from_unix(897_904_845, 14_999_999).unwrap();
    assert_eq!(time.to_string(), "19980615100045");
    assert_eq!(format!("{time:.3}"), "19980615100045.014");
    assert_eq!(format!("{time:.20}"), "19980615100045.014999999");
    assert_eq!(Timestamp::MIN.to_string(), "00000101000000");
    assert_eq!(Timestamp::MAX.to_string(), "99991231235959");
}

#[test]
fn a_moment_outside_four_digits_is_none() {
    assert_eq!(Timestamp::from_unix(i64::MAX, 0), None);
    assert_eq!(Timestamp::from_unix(253_402_300_800, 0), None);
    assert_eq!(Timestamp::from_unix(-62_167_219_201, 0), None);
    assert_eq!(Timestamp::from_unix(0, 1_000_000_000), None);
}

#[test]
fn site_utime_is_read_in_both_argument_orders() {
    for (name, text, path, modified, accessed) in [
        ("short", "202402291234 a b", "a b", 1_709_210_040, None),
        ("short, seconds", "20240229123456 a", "a", 1_709_210_096, None),
        ("short, name with a space in front", "20240229123456  a", " a", 1_709_210_096, None),
        ("long", "a b 19700101000001 20240229123456 19700101000002 UTC", "a b", 1_709_210_096, Some(1)),
        ("name that ends like the long form", "20240229123456 my UTC", "my UTC", 1_709_210_096, None),
    ] {
        let expect = Utime { path: path.as_bytes(), modified: unix(modified), accessed: accessed.map(unix) };
        assert_eq!(Utime::parse(text.as_bytes()), Ok(expect), "{name}");
    }
    for text in ["", "a", "20240229123456", "20240229123456 ", "2024 a", "a 1 2 3 UTC"] {
        assert_eq!(Utime::parse(text.as_bytes()), Err(TimeError::Form), "{text:?}");
    }
}

proptest! {
    #[test]
    fn every_moment_comes_back(seconds in -62_167_219_200_i64..=253_402_300_799, nanos in 0_u32..1_000_000_000) {
        let time = Timestamp::from_unix(seconds, nanos).unwrap();
        prop_assert_eq!(Timestamp::parse(format!("{time:.9}").as_bytes()), Ok(time));
        prop_assert_eq!(Timestamp::parse(time.to_string().as_bytes()), Ok(unix(seconds)));
        prop_assert_eq!(Timestamp::parse_lenient(format!("{time:.9}").as_bytes()), Some(time));
    }

    #[test]
    fn any_text_is_survived(text: Vec<u8>, digits in "[0-9]{0,18}[. ][0-9]{0,12}") {
        for text in [&text[..], digits.as_bytes()] {
            let _ = (Timestamp::parse(text), Timestamp::parse_lenient(text), Utime::parse(text));
        }
    }
}
