use proptest::prelude::*;

use super::{FromNetwork, RestartSearch, ToNetwork};

fn to_network(local: &[u8], cut: usize) -> Vec<u8> {
    let (mut ascii, mut out) = (ToNetwork::new(), Vec::new());
    local.chunks(cut.max(1)).for_each(|piece| ascii.convert(piece, &mut out));
    out
}

fn from_network(network: &[u8], cut: usize) -> Vec<u8> {
    let (mut ascii, mut out) = (FromNetwork::new(), Vec::new());
    network.chunks(cut.max(1)).for_each(|piece| ascii.convert(piece, &mut out));
    ascii.finish(&mut out);
    out
}

#[test]
fn line_ends_are_converted_and_nothing_else() {
    for (name, local, network) in [
        ("text", &b"a\nb\n"[..], &b"a\r\nb\r\n"[..]),
        ("no end", b"a\nb", b"a\r\nb"),
        ("empty lines", b"\n\n", b"\r\n\r\n"),
        ("lone cr", b"a\rb\r", b"a\rb\r"),
        ("bytes", b"\0\xff\n", b"\0\xff\r\n"),
        ("empty", b"", b""),
    ] {
        for cut in 1..5 {
            assert_eq!(to_network(local, cut), network, "{name} out, cut {cut}");
            assert_eq!(from_network(network, cut), local, "{name} in, cut {cut}");
        }
    }
}

#[test]
fn a_crlf_that_is_there_already_is_not_doubled() {
    assert_eq!(to_network(b"a\r\nb\r\r\n", 1), b"a\r\nb\r\r\n");
    assert_eq!(from_network(b"a\r\r\nb", 1), b"a\r\nb");
}

#[test]
fn an_offset_beyond_the_file_is_told() {
    let mut search = RestartSearch::new(5);
    assert_eq!(search.skip(b"a\nb"), None);
    assert_eq!(search.found(), None);
    let mut search = RestartSearch::new(4);
    assert_eq!(search.skip(b"a\nb").map(|r| r.to_network().0), Some(3));
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'a'), any::<u8>()], 0..100)
}

/// Text in which no LF follows a CR: it has one network form, and that form has one local one.
fn local_text() -> impl Strategy<Value = Vec<u8>> {
    text().prop_map(|mut text| {
        let mut last = 0;
        text.retain(|&octet| {
            let keep = last != b'\r' || octet != b'\n';
            last = if keep { octet } else { last };
            keep
        });
        text
    })
}

proptest! {
    #[test]
    fn the_cut_does_not_matter(data in text(), cut in 1_usize..9) {
        prop_assert_eq!(to_network(&data, cut), to_network(&data, data.len()));
        prop_assert_eq!(from_network(&data, cut), from_network(&data, data.len()));
    }

    #[test]
    fn text_without_crlf_comes_back(data in local_text()) {
        prop_assert_eq!(from_network(&to_network(&data, 7), 5), data);
    }

    #[test]
    fn every_lf_on_the_wire_follows_a_cr(data in text()) {
        let network = to_network(&data, 3);
        prop_assert!(network.iter().enumerate().all(|(at, &b)| b != b'\n' || at > 0 && network[at - 1] == b'\r'));
    }

    #[test]
    fn a_download_goes_on_where_it_stopped(data in text(), at in any::<prop::sample::Index>(), cut in 1_usize..9) {
        let whole = to_network(&data, data.len());
        let at = at.index(whole.len() + 1);
        let mut search = RestartSearch::new(at as u64);
        let found = data.chunks(cut).find_map(|piece| search.skip(piece)).or(search.found()).unwrap();
        let (local, mut ascii) = found.to_network();
        let mut rest = Vec::new();
        ascii.convert(&data[local as usize..], &mut rest);
        prop_assert_eq!(&rest, &whole[at..]);
    }

    #[test]
    fn an_upload_goes_on_where_it_stopped(text in local_text(), at in any::<prop::sample::Index>()) {
        let network = to_network(&text, 9);
        let at = at.index(network.len() + 1);
        let mut file = from_network(&network[..at], 4);
        let mut search = RestartSearch::new(at as u64);
        let found = search.skip(&file).or(search.found()).unwrap();
        let (local, mut ascii) = found.from_network();
        file.truncate(local as usize);
        ascii.convert(&network[at..], &mut file);
        ascii.finish(&mut file);
        prop_assert_eq!(file, text);
    }
}
