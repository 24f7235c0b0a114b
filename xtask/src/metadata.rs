//! What `cargo metadata` says of the workspace and everything that it builds on.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// A package, ours or somebody else's.
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The SPDX expression of its manifest.
    pub licence: Option<String>,
    /// Whether it is a member of this workspace.
    pub ours: bool,
    /// Package ids that it is built with; what only its tests use is left out.
    pub dependencies: BTreeSet<String>,
    /// Package ids that only its tests use.
    pub test_dependencies: BTreeSet<String>,
}

/// All packages by id.
pub struct Metadata {
    /// Package id to package.
    pub packages: BTreeMap<String, Package>,
}

impl Metadata {
    /// Asks cargo, for the platform that this runs on.
    pub fn read(root: &Path) -> Result<Self> {
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["metadata", "--format-version", "1", "--locked"])
            .current_dir(root)
            .output()
            .context("running cargo metadata")?;
        ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
        let json: Value = serde_json::from_slice(&output.stdout).context("cargo metadata printed no JSON")?;
        Self::parse(&json).context("cargo metadata lacks a field that it documents")
    }

    fn parse(json: &Value) -> Option<Self> {
        let members: BTreeSet<&str> = json["workspace_members"].as_array()?.iter().filter_map(Value::as_str).collect();
        let mut packages = BTreeMap::new();
        for package in json["packages"].as_array()? {
            let id = package["id"].as_str()?;
            packages.insert(
                id.to_owned(),
                Package {
                    name: package["name"].as_str()?.to_owned(),
                    version: package["version"].as_str()?.to_owned(),
                    licence: package["license"].as_str().map(str::to_owned),
                    ours: members.contains(id),
                    dependencies: BTreeSet::new(),
                    test_dependencies: BTreeSet::new(),
                },
            );
        }
        for node in json["resolve"]["nodes"].as_array()? {
            let package = packages.get_mut(node["id"].as_str()?)?;
            for dependency in node["deps"].as_array()? {
                let built_with = dependency["dep_kinds"].as_array()?.iter().any(|kind| kind["kind"] != "dev");
                let kind = if built_with { &mut package.dependencies } else { &mut package.test_dependencies };
                kind.insert(dependency["pkg"].as_str()?.to_owned());
            }
        }
        Some(Self { packages })
    }

    /// Ids of all that the package is built with, directly or through others.
    pub fn reachable<'a>(&'a self, id: &'a str) -> BTreeSet<&'a str> {
        let mut seen = BTreeSet::new();
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            for dependency in self.packages.get(id).into_iter().flat_map(|package| &package.dependencies) {
                if seen.insert(dependency.as_str()) {
                    open.push(dependency);
                }
            }
        }
        seen
    }
}
