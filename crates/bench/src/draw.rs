//! The charts of the documents, drawn from the newest results of this machine.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::growth::{Curve, Growth};
use crate::report::{Report, Row};
use crate::{chart, rows};

/// Draws what there are results for, into `docs/charts`, and returns the files.
///
/// # Errors
/// When results cannot be read or a chart not be written.
pub(crate) fn all() -> Result<Vec<PathBuf>> {
    let folder = crate::home()?.parent().context("bench is in the repository")?.join("docs/charts");
    fs::create_dir_all(&folder)?;
    let mut charts = Vec::new();
    if let Some(file) = rows::newest(&crate::results()?, "server", "json")? {
        charts.extend(server(&serde_json::from_str(&fs::read_to_string(file)?)?));
    }
    if let Some(file) = rows::newest(&crate::results()?, "growth", "json")? {
        charts.extend(growth(&serde_json::from_str(&fs::read_to_string(file)?)?));
    }
    let mut files = Vec::new();
    for (name, svg) in charts {
        let file = folder.join(name);
        fs::write(&file, svg)?;
        files.push(file);
    }
    Ok(files)
}

fn server(report: &Report) -> Vec<(&'static str, String)> {
    let draw = |name: &'static str, title: &str, whats: &[&str]| {
        let rows: Vec<&Row> = report.rows.iter().filter(|row| whats.contains(&row.what.as_str())).collect();
        (name, chart::bars(title, &rows))
    };
    vec![
        draw(
            "server-octets.svg",
            "What a server spends on moving octets",
            &["plain RETR", "plain STOR", "FTPS RETR, TLS 1.3", "FTPS STOR, TLS 1.3"],
        ),
        draw(
            "server-files.svg",
            "What a server spends on small files",
            &["1 KiB files, plain", "1 KiB files, TLS"],
        ),
        draw(
            "server-sessions.svg",
            "What a server needs for sessions and listings",
            &["idle session, plain", "idle session, TLS", "listing, 150 and first octet"],
        ),
    ]
}

fn growth(growth: &Growth) -> Vec<(&'static str, String)> {
    let draw = |name: &'static str, title: &str, over: &str, unit: &str| {
        let fits = |curve: &&Curve| curve.over.starts_with(over) && curve.unit == unit;
        (name, chart::curves(title, &growth.curves.iter().filter(fits).collect::<Vec<_>>()))
    };
    vec![
        draw("growth-memory.svg", "Memory over sessions", "sessions", "KiB"),
        draw("growth-logins.svg", "CPU time of all logins over sessions", "sessions", "s"),
        draw("growth-entries.svg", "CPU time of a listing over its entries", "entries", "s"),
        draw("growth-first.svg", "First octet of a listing over its entries", "entries", "ms"),
        draw("growth-size.svg", "CPU time of a download over the file's size", "octets", "s"),
        draw("growth-parallel.svg", "Cost of a GiB over transfers side by side", "transfers", "s/GiB"),
    ]
}
