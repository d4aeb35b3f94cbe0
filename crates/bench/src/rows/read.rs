//! What the tables of each benchmark say of the budgets.

use crate::report::Verdict;

/// The verdicts in a table.
pub(super) fn verdicts(what: &str, text: &str) -> Vec<Verdict> {
    match what {
        "client" => client(text),
        "proxy" => text.lines().filter_map(proxy).collect(),
        "gate" => gate(text),
        _ => text.lines().filter_map(Verdict::parse).collect(),
    }
}

fn at_most(row: String, most: f64, unit: &str, reached: f64) -> Verdict {
    let (budget, kept) = (format!("<= {most} {unit}"), reached <= most);
    Verdict { row, budget, reached: format!("{reached:.2} {unit}"), kept }
}

/// Sections «5000 files of 1 KiB down», each with a line for each program: three figures for each server's time, then
/// near by three more for its CPU time, then what was lost.
fn client(text: &str) -> Vec<Verdict> {
    let mut found = Vec::new();
    let mut section = "";
    for line in text.lines() {
        if !line.starts_with(' ') && line.contains(" files of 1 KiB ") {
            section = line;
        }
        let Some(rest) = line.strip_prefix("portway mirror -j ") else { continue };
        let Some((jobs, rest)) = rest.split_once(' ') else { continue };
        let figures: Vec<f64> = rest.split([' ', '/']).filter_map(|word| word.parse().ok()).collect();
        let far = section.contains("round trip");
        if far && section.contains(" down") {
            let [_, theirs, _, _, _, ours, ..] = figures.as_slice() else { continue };
            let most = if jobs == "1" { 2.3 } else { 0.35 };
            let what = format!("mirror at 20 ms round trip, {jobs} at once");
            found.push(at_most(format!("{what}, from vsftpd"), most, "round trips", *theirs));
            if jobs == "1" {
                found.push(at_most(format!("{what}, from portway"), 1.0, "round trips", *ours));
            }
        } else if !far && section.contains(" down") {
            let [_, theirs, _, _, their_cpu, _, _, _, ours, _, _, our_cpu, ..] = figures.as_slice() else {
                continue;
            };
            for (server, wall, cpu) in [("vsftpd", theirs, their_cpu), ("portway", ours, our_cpu)] {
                let what = format!("mirror, {jobs} at once, from {server}");
                found.push(at_most(format!("{what}, time"), 0.15, "x serial lftp", *wall));
                found.push(at_most(format!("{what}, CPU"), 0.2, "x serial lftp", *cpu));
            }
        }
    }
    found
}

/// Lines that end «0.97  1.52  0.9 x direct kept», or «0.50  ahead kept».
fn proxy(line: &str) -> Option<Verdict> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let kept = match *words.last()? {
        "kept" => true,
        "MISSED" => false,
        _ => return None,
    };
    let row = format!(
        "through the proxy: {}",
        line.get(..34).unwrap_or(line).split_whitespace().collect::<Vec<_>>().join(" ")
    );
    match words.as_slice() {
        [.., direct, rival, part, "x", "direct", _] => Some(Verdict {
            row,
            budget: format!(">= {part} x direct, ahead"),
            reached: format!("{direct} x, {rival} x"),
            kept,
        }),
        [.., rival, "ahead", _] => {
            Some(Verdict { row, budget: "ahead of rivals".to_owned(), reached: format!("{rival} x"), kept })
        }
        _ => None,
    }
}

/// Lines «CPU of the gate for N octets  M ms» and the last one.
fn gate(text: &str) -> Vec<Verdict> {
    let cost = |line: &str| {
        Some(line.strip_prefix("CPU of the gate for ")?.split_whitespace().rev().nth(1)?.to_owned())
    };
    let costs: Vec<String> = text.lines().filter_map(cost).collect();
    let line = text.lines().find_map(|line| line.strip_prefix("a byte costs the gate nothing: "));
    let verdict = |word: &str| Verdict {
        row: "gate: cost of a byte, 10 KiB and 10 GiB".to_owned(),
        budget: "the same".to_owned(),
        reached: format!("{} ms", costs.join(" / ")),
        kept: word.trim() == "kept",
    };
    line.map(verdict).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_tables_are_read() {
        let text = "5000 files of 1 KiB down\n\
            lftp mirror              1.00 / 1.00 / 1.00   1.00 / 1.00 / 1.00     0    1.00 / 1.00 / 1.00   1.00 / 1.00 / 1.00     0 \n\
            portway mirror -j 8      0.27 / 0.28 / 0.29   0.25 / 0.26 / 0.27     0    0.05 / 0.06 / 0.07   0.07 / 0.08 / 0.09     0 \n\
            \n400 files of 1 KiB down, 20 ms round trip\n\
            portway mirror -j 1      2.12 / 2.13 / 2.14     0    0.05 / 0.06 / 0.07     0 \n\
            400 files of 1 KiB up, 20 ms round trip\n\
            portway mirror -j 1      9.12 / 9.13 / 9.14     0    0.05 / 0.06 / 0.07     0 \n";
        let found: Vec<(String, bool)> =
            verdicts("client", text).into_iter().map(|v| (v.reached, v.kept)).collect();
        let expected = [
            ("0.28 x serial lftp", false),
            ("0.26 x serial lftp", false),
            ("0.06 x serial lftp", true),
            ("0.08 x serial lftp", true),
            ("2.13 round trips", true),
            ("0.06 round trips", true),
        ];
        assert_eq!(found, expected.map(|(reached, kept)| (reached.to_owned(), kept)));
    }

    #[test]
    fn tables_of_the_proxy_and_the_gate_are_read() {
        let line =
            "plain RETR            MiB/s            90 / 100 / 110      0.97      1.52  0.9 x direct kept";
        let found = verdicts("proxy", line);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].kept
                && found[0].reached == "0.97 x, 1.52 x"
                && found[0].row.ends_with("plain RETR MiB/s"),
            "{found:?}"
        );
        let text = "CPU of the gate for 10240 octets       1.19 ms\nCPU of the gate for 10737418240 octets 25.14 ms\n\
                    a byte costs the gate nothing: kept\n";
        let found = verdicts("gate", text);
        assert!(found[0].kept && found[0].reached == "1.19 / 25.14 ms", "{found:?}");
    }
}
