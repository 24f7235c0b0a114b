//! Which crate may use which: the architecture as a table.

use crate::metadata::Metadata;

/// Every crate of ours and what it may be built with. A new edge is a change of the architecture: change ARCHITECTURE.md too.
const MAY_USE: &[(&str, &[&str])] = &[
    ("account", &[]),
    ("catalog", &["inference"]),
    ("chat", &[]),
    ("control", &["account", "oidc", "store", "wire"]),
    ("engine", &["kernels", "models"]),
    ("gateway", &["account", "catalog", "inference", "store", "wire"]),
    ("inference", &[]),
    ("kernels", &[]),
    ("local", &["chat", "engine", "inference", "models", "text", "weights"]),
    ("models", &["kernels", "weights"]),
    ("modelworks", &["account", "catalog", "control", "gateway", "inference", "local", "oidc", "store", "wire"]),
    ("oidc", &[]),
    ("store", &["account"]),
    ("testkit", &[]),
    ("text", &["weights"]),
    ("weights", &[]),
    ("wire", &[]),
    ("xtask", &[]),
];

/// Crates that compute: they know no network, no database and no public format.
const PURE: &[&str] = &["engine", "models", "kernels", "weights", "text", "chat"];

/// What a pure crate must not reach, even through others.
const NOT_IN_PURE: &[&str] = &["axum", "hyper", "reqwest", "rustls", "sqlx", "utoipa", "metrics"];

/// Rules of `account` and forms of `wire` do no IO.
const NO_RUNTIME: &[&str] = &["account", "wire"];

/// Faults of the crate graph.
pub fn check(metadata: &Metadata) -> Vec<String> {
    let mut faults = Vec::new();
    for (id, package) in metadata.packages.iter().filter(|(_, package)| package.ours) {
        let name = package.name.as_str();
        let Some((_, may_use)) = MAY_USE.iter().find(|(known, _)| *known == name) else {
            faults.push(format!("crate `{name}` has no row in the table of edges (xtask/src/edges.rs)"));
            continue;
        };
        for used in package.dependencies.iter().filter_map(|id| metadata.packages.get(id)).filter(|used| used.ours) {
            if !may_use.contains(&used.name.as_str()) {
                faults.push(format!("crate `{name}` uses `{}`, which the table of edges does not allow", used.name));
            }
        }
        let reached = metadata.reachable(id);
        let reached =
            || reached.iter().filter_map(|id| metadata.packages.get(*id)).map(|package| package.name.as_str());
        if PURE.contains(&name) {
            faults.extend(
                reached()
                    .filter(|reached| NOT_IN_PURE.contains(reached))
                    .map(|reached| format!("crate `{name}` computes, yet it is built with `{reached}`")),
            );
        }
        if NO_RUNTIME.contains(&name) {
            faults.extend(
                reached()
                    .filter(|reached| *reached == "tokio")
                    .map(|reached| format!("crate `{name}` does no IO, yet it is built with `{reached}`")),
            );
        }
    }
    faults
}
