//! The counters in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::status::{Facts, started_at};

/// The whole page. Label values are the program's own words, so none needs escaping.
pub(crate) fn text(facts: &Facts) -> String {
    let mut page = Page(String::with_capacity(4096));
    let now = facts.reading();
    page.one(
        "portway_start_time_seconds",
        "gauge",
        "When the server began, in seconds since 1970.",
        &started_at(facts),
    );
    page.one("portway_sessions", "gauge", "Control connections open now.", &facts.session_count());
    page.one(
        "portway_sessions_total",
        "counter",
        "Control connections accepted and served.",
        &now.sessions_opened,
    );
    page.by(
        "portway_logins_total",
        "Logins, anonymous ones included.",
        "result",
        [("ok", now.logins_ok), ("failed", now.logins_failed)],
    );
    page.by(
        "portway_transfers_total",
        "Files and listings moved, or begun to be.",
        "result",
        [
            ("complete", now.transfers_complete),
            ("failed", now.transfers_failed),
            ("aborted", now.transfers_aborted),
        ],
    );
    page.one("portway_listings_total", "counter", "Listings sent as a whole.", &now.listings);
    page.by(
        "portway_data_bytes_total",
        "Octets of files and listings on data connections.",
        "direction",
        [("in", now.bytes_in), ("out", now.bytes_out)],
    );
    page.one(
        "portway_tls_failures_total",
        "counter",
        "TLS handshakes and connections that went wrong.",
        &now.tls_failures,
    );
    page.words(
        "portway_data_failures_total",
        "Data connections that did not come about.",
        "cause",
        &now.data_failures,
    );
    let [(passive, passive_tried), (active, active_tried)] = facts.cut_off();
    for (name, help, values) in [
        (
            "portway_data_clients_cut_off",
            "Clients that tried data connections lately and never had one.",
            [passive, active],
        ),
        (
            "portway_data_clients",
            "Clients that tried data connections lately.",
            [passive_tried, active_tried],
        ),
    ] {
        page.head(name, "gauge", help);
        for (mode, value) in ["passive", "active"].into_iter().zip(values) {
            let _ = writeln!(page.0, "{name}{{mode=\"{mode}\"}} {value}");
        }
    }
    page.words("portway_refusals_total", "Connections and commands turned away.", "why", &now.refusals);
    page.0
}

struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: &dyn std::fmt::Display) {
        self.head(name, kind, help);
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn by<const N: usize>(&mut self, name: &str, help: &str, label: &str, values: [(&str, u64); N]) {
        self.head(name, "counter", help);
        for (word, value) in values {
            let _ = writeln!(self.0, "{name}{{{label}=\"{word}\"}} {value}");
        }
    }

    fn words(&mut self, name: &str, help: &str, label: &str, values: &BTreeMap<&'static str, u64>) {
        self.head(name, "counter", help);
        for (word, value) in values {
            let _ = writeln!(self.0, "{name}{{{label}=\"{word}\"}} {value}");
        }
    }
}
