//! `ls`.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use portway_client::{Connection, Error, Target};
use portway_proto::printable;
use portway_proto::row::{ListRow, Precision, RowKind};
use serde_json::json;

use super::Sessions;
use super::args::ConnectArgs;
use super::tell::Teller;

/// `ls`.
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Directories or files to list
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,
    /// Kind, size and time as well
    #[arg(long, short)]
    long: bool,
    /// The directories below as well
    #[arg(long, short = 'R')]
    recursive: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

pub(crate) async fn ls(args: LsArgs) -> Result<ExitCode> {
    let teller = Teller::new(args.connect.json, args.connect.quiet, args.connect.trace);
    let mut sessions = Sessions::new(&args.connect, &teller);
    for url in &args.urls {
        let target = Target::parse(url).with_context(|| url.clone())?;
        let result = match sessions.of(&target).await? {
            Err(error) => Err(error),
            Ok(connection) => list(connection, &target, &args, &teller).await,
        };
        if let Err(error) = result {
            teller.failed(&target.path, &error);
        }
    }
    sessions.quit().await;
    Ok(teller.exit())
}

async fn list(
    connection: &mut Connection,
    target: &Target,
    args: &LsArgs,
    teller: &Teller,
) -> Result<(), Error> {
    let mut left = vec![Vec::new()];
    let mut visited = 0_u32;
    while let Some(below) = left.pop() {
        visited += 1;
        let path = join(&target.path, &below);
        let mut rows = match listed(connection, (!path.is_empty()).then_some(path.as_slice())).await {
            Ok(rows) => rows,
            // One directory that may not be read does not hide the others.
            Err(error) if visited > 1 && !error.ends_session() => {
                teller.failed(&path, &error);
                continue;
            }
            Err(error) => return Err(error),
        };
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        for row in &rows {
            let shown = join(&below, &row.name);
            if teller.is_json() {
                teller.object(&json!({
                    "event": "entry", "path": printable(&shown), "kind": kind(row), "size": row.size,
                    "modified": row.modified.map(|m| m.at.unix()), "mode": row.mode.map(|mode| format!("{mode:o}")),
                    "target": row.target.as_deref().map(printable),
                }));
            } else {
                let line = if args.long { long(row, &shown) } else { printable(&shown) };
                let _ = writeln!(io::stdout(), "{line}");
            }
        }
        if args.recursive && below.iter().filter(|&&b| b == b'/').count() < 128 {
            let dirs = rows.iter().rev().filter(|row| row.kind == RowKind::Dir);
            left.extend(dirs.filter_map(|row| row.safe_name()).map(|name| join(&below, name)));
        }
    }
    Ok(())
}

/// The rows of a directory; of a file, which MLSD does not list (RFC 3659 §7.1), the one of its own.
pub(super) async fn listed(connection: &mut Connection, path: Option<&[u8]>) -> Result<Vec<ListRow>, Error> {
    let error = match connection.list(path).await {
        Err(error) if error.class() == "refused" && !error.ends_session() => error,
        done => return done,
    };
    let Some(path) = path else { return Err(error) };
    match connection.facts(path).await? {
        Some(row) if kind(&row) != "directory" => {
            let name = path.rsplit(|&octet| octet == b'/').next().unwrap_or(path).to_vec();
            Ok(vec![ListRow { name, ..row }])
        }
        _ => Err(error),
    }
}

fn kind(row: &ListRow) -> &'static str {
    match row.kind {
        RowKind::File => "file",
        RowKind::Symlink => "link",
        RowKind::Dir | RowKind::Cdir | RowKind::Pdir => "directory",
        _ => "other",
    }
}

pub(super) fn long(row: &ListRow, path: &[u8]) -> String {
    let letter = match kind(row) {
        "file" => '-',
        "directory" => 'd',
        "link" => 'l',
        _ => '?',
    };
    let size = row.size.map_or("-".to_owned(), |size| size.to_string());
    let time = row.modified.map_or("-".to_owned(), |modified| {
        let digits = modified.at.to_string();
        let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
        let day = format!("{}-{}-{}", part(0, 4), part(4, 6), part(6, 8));
        match modified.precision {
            Precision::Day => day,
            _ => format!("{day} {}:{}", part(8, 10), part(10, 12)),
        }
    });
    let target = row.target.as_deref().map(|to| format!(" -> {}", printable(to))).unwrap_or_default();
    format!("{letter} {size:>14} {time:<16} {}{target}", printable(path))
}

fn join(above: &[u8], name: &[u8]) -> Vec<u8> {
    match (above.is_empty(), name.is_empty()) {
        (true, _) => name.to_vec(),
        (_, true) => above.to_vec(),
        _ if above.ends_with(b"/") => [above, name].concat(),
        _ => [above, b"/", name].concat(),
    }
}
