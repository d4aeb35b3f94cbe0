//! The law of the house: who may import whom.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::run;

/// TLS is named by one crate, so that there is one place to look when TLS changes.
const TLS_OWNER: &str = "portway-net";
/// These tests speak TLS themselves, as a peer; the program never links them.
const TLS_PEERS: &[&str] = &["portway-e2e", "portway-bench"];

/// The process that may change the packet filter stays small, and away from whatever strangers send.
const PRIVILEGED: &str =
    "the process that holds CAP_NET_ADMIN links neither TLS nor storage nor the peers' protocol";
const PEERS_BUSINESS: &[&str] = &["rustls", "tokio", "portway-vfs", "portway-proto"];

/// What must not be reached from a crate by normal or build dependencies, however indirectly.
const UNREACHABLE: &[(&str, &[&str], &str)] = &[
    (
        "portway-proto",
        &["tokio", "mio", "rustls", "socket2", "rustix", "nix", "async-io", "hyper"],
        "the protocol core does no I/O",
    ),
    ("portway-vfs", &["tokio", "mio", "rustls"], "storage knows no runtime and no network"),
    ("portway-accounts", &["tokio", "mio", "rustls"], "accounts know no runtime and no network"),
    ("portway-ops", &["tokio", "mio", "rustls"], "operations know no runtime and no network"),
    (
        "portway-doctor",
        &["tokio", "mio", "rustls", "socket2", "rustix"],
        "the doctor judges evidence and gathers none",
    ),
    (
        "portway-pinhole",
        &["rustls", "portway-vfs"],
        "the seam to the packet filter needs neither TLS nor storage",
    ),
    ("portway-nft", PEERS_BUSINESS, PRIVILEGED),
    ("portway-holed", PEERS_BUSINESS, PRIVILEGED),
];

/// Checks the workspace that this program belongs to.
///
/// # Errors
/// Lists every breach.
pub(crate) fn run() -> Result<()> {
    let output = run::cargo()
        .args(["metadata", "--format-version", "1"])
        .output()
        .context("cannot run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata = serde_json::from_slice(&output.stdout).context("cargo metadata gave no JSON")?;
    let workspace = Workspace::read(&metadata)?;
    let breaches = workspace.breaches();
    if breaches.is_empty() {
        println!("layers: {} crates keep the law", workspace.members.len());
        return Ok(());
    }
    bail!("{} breaches of the law in ARCHITECTURE.md:\n  {}", breaches.len(), breaches.join("\n  "));
}

/// What matters of `cargo metadata`.
struct Workspace {
    /// Members by name.
    members: BTreeMap<String, Member>,
    /// Package identifier to name.
    names: BTreeMap<String, String>,
    /// Package identifier to those of its normal and build dependencies.
    edges: BTreeMap<String, Vec<String>>,
}

struct Member {
    id: String,
    layer: Option<i64>,
    /// Direct dependencies as the manifest names them, with whether they are for tests only.
    depends: Vec<(String, bool)>,
}

impl Workspace {
    fn read(metadata: &Value) -> Result<Self> {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let in_workspace: BTreeSet<String> = list(&metadata["workspace_members"]).iter().map(text).collect();
        let mut workspace = Self { members: BTreeMap::new(), names: BTreeMap::new(), edges: BTreeMap::new() };
        for package in list(&metadata["packages"]) {
            let (id, name) = (text(&package["id"]), text(&package["name"]));
            if in_workspace.contains(&id) {
                let layer = package["metadata"]["portway"]["layer"].as_i64();
                let for_tests = |dependency: &Value| dependency["kind"].as_str() == Some("dev");
                let depends =
                    list(&package["dependencies"]).iter().map(|d| (text(&d["name"]), for_tests(d))).collect();
                workspace.members.insert(name.clone(), Member { id: id.clone(), layer, depends });
            }
            workspace.names.insert(id, name);
        }
        for node in list(&metadata["resolve"]["nodes"]) {
            let linked =
                |dependency: &Value| list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"] != "dev");
            let targets = list(&node["deps"]).iter().filter(|d| linked(d)).map(|d| text(&d["pkg"])).collect();
            workspace.edges.insert(text(&node["id"]), targets);
        }
        if workspace.members.is_empty() {
            bail!("cargo metadata names no workspace members");
        }
        Ok(workspace)
    }

    /// Everything that is wrong, in words.
    fn breaches(&self) -> Vec<String> {
        let mut breaches = Vec::new();
        for (name, member) in &self.members {
            let Some(layer) = member.layer else {
                breaches.push(format!("{name} has no layer: add [package.metadata.portway] layer = N"));
                continue;
            };
            for (dependency, for_tests) in &member.depends {
                if let Some(other) = self.members.get(dependency).and_then(|other| other.layer)
                    && other >= layer
                {
                    let kind = if other == layer { "its sibling" } else { "the higher" };
                    breaches
                        .push(format!("{name} (layer {layer}) imports {kind} {dependency} (layer {other})"));
                }
                let may_speak_tls = name == TLS_OWNER || TLS_PEERS.contains(&name.as_str());
                if is_tls(dependency) && !for_tests && !may_speak_tls {
                    breaches.push(format!("{name} names {dependency}; only {TLS_OWNER} does"));
                }
            }
            let reached = self.reached_from(&member.id);
            let by_owner =
                name == TLS_OWNER || reached.contains(TLS_OWNER) || TLS_PEERS.contains(&name.as_str());
            if reached.contains("rustls") && !by_owner {
                breaches.push(format!("{name} reaches rustls, and not through {TLS_OWNER}"));
            }
            for (_, forbidden, why) in UNREACHABLE.iter().filter(|(crate_name, ..)| crate_name == name) {
                for wrong in forbidden.iter().filter(|wrong| reached.contains(**wrong)) {
                    breaches.push(format!("{name} reaches {wrong}: {why}"));
                }
            }
        }
        breaches
    }

    /// Names of all packages that end up linked with this one.
    fn reached_from(&self, id: &str) -> BTreeSet<&str> {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut open: Vec<&str> = vec![id];
        while let Some(next) = open.pop() {
            for target in self.edges.get(next).into_iter().flatten() {
                if seen.insert(target) {
                    open.push(target);
                }
            }
        }
        seen.into_iter().filter_map(|id| self.names.get(id)).map(String::as_str).collect()
    }
}

fn is_tls(package: &str) -> bool {
    package == "rustls" || package == "tokio-rustls" || package.starts_with("rustls-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A workspace written as `name layer: dependencies` and parted by `;`. Names that begin with `portway` are
    /// members; a layer of `-` is none.
    fn breaches(packages: &str) -> Vec<String> {
        breaches_with_kind(packages, None)
    }

    fn breaches_with_kind(packages: &str, kind: Option<&str>) -> Vec<String> {
        let (mut described, mut nodes, mut members) = (Vec::new(), Vec::new(), Vec::new());
        for package in packages.split(';') {
            let (head, depends) = package.split_once(':').unwrap();
            let (name, layer) = head.trim().split_once(' ').unwrap();
            let depends: Vec<&str> = depends.split_ascii_whitespace().collect();
            let named: Vec<Value> = depends.iter().map(|d| json!({"name": d, "kind": kind})).collect();
            let linked: Vec<Value> =
                depends.iter().map(|d| json!({"pkg": d, "dep_kinds": [{"kind": kind}]})).collect();
            let metadata = json!({"portway": {"layer": layer.parse::<i64>().ok()}});
            described.push(json!({"id": name, "name": name, "metadata": metadata, "dependencies": named}));
            nodes.push(json!({"id": name, "deps": linked}));
            if name.starts_with("portway") {
                members.push(name);
            }
        }
        let metadata =
            json!({"packages": described, "resolve": {"nodes": nodes}, "workspace_members": members});
        Workspace::read(&metadata).unwrap().breaches()
    }

    #[test]
    fn strictly_lower_layers_are_allowed() {
        let found = breaches(
            "portway-proto 0: jiff; portway-net 1: portway-proto rustls tokio; portway-e2e 5: rustls; \
             portway-data 2: portway-proto portway-net; jiff -: ; tokio -: ; rustls -: ",
        );
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn each_breach_is_found_and_named() {
        for (packages, expected) in [
            (
                "portway-vfs 1: portway-ops; portway-ops 1: ",
                "portway-vfs (layer 1) imports its sibling portway-ops (layer 1)",
            ),
            (
                "portway-proto 0: portway-data; portway-data 2: ",
                "portway-proto (layer 0) imports the higher portway-data (layer 2)",
            ),
            ("portway-new -: ", "portway-new has no layer: add [package.metadata.portway] layer = N"),
            (
                "portway-server 3: rustls portway-net; portway-net 1: ; rustls -: ",
                "portway-server names rustls; only portway-net does",
            ),
            (
                "portway-admin 3: reqwest; reqwest -: rustls; rustls -: ",
                "portway-admin reaches rustls, and not through portway-net",
            ),
            (
                "portway-proto 0: helper; helper -: tokio; tokio -: ",
                "portway-proto reaches tokio: the protocol core does no I/O",
            ),
            (
                "portway-vfs 1: tokio; tokio -: ",
                "portway-vfs reaches tokio: storage knows no runtime and no network",
            ),
        ] {
            assert_eq!(breaches(packages), [expected], "{packages}");
        }
    }

    #[test]
    fn tests_may_link_what_the_program_may_not_but_never_climb() {
        let runtime = breaches_with_kind("portway-vfs 1: tokio; tokio -: ", Some("dev"));
        assert_eq!(runtime, Vec::<String>::new());
        let climbing = breaches_with_kind("portway-proto 0: portway-data; portway-data 2: ", Some("dev"));
        assert_eq!(climbing.len(), 1);
    }

    #[test]
    fn circles_among_packages_end() {
        assert_eq!(breaches("portway-net 1: a; a -: b; b -: a"), Vec::<String>::new());
    }
}
