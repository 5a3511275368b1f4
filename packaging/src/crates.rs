//! Which crates the module is made of: the filter, what it depends on, and the macros that wrote parts of it.
//!
//! `cargo tree` is asked and not `cargo metadata`, which mixes in what the features of the workspace's tests bring along.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A crate's name and version.
pub type Id = (String, String);

/// A crate that the module is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crate {
    /// Its licence, as an SPDX expression.
    pub licence: String,
    /// The folder with its sources.
    pub folder: PathBuf,
    /// What Cargo.lock says of the archive that it was unpacked from; `None` of the filter itself.
    pub sha256: Option<String>,
    /// What it depends on.
    pub needs: BTreeSet<Id>,
    /// A procedural macro, or what only such macros use: it ran when the module was built and is not part of it.
    pub only_builds: bool,
}

/// The filter and all that it is made of.
#[derive(Clone, Debug)]
pub struct Crates {
    /// The filter itself.
    pub filter: Id,
    /// All crates, the filter too.
    pub all: BTreeMap<Id, Crate>,
}

impl Crates {
    /// Asks cargo.
    ///
    /// # Errors
    /// When cargo does not answer, or not as it did when this was written, in words.
    pub fn of_the_module(project: &Path) -> Result<Self, String> {
        let tree =
            cargo(project, &["tree", "--edges=normal", "--target=wasm32-wasip1", "--prefix=depth", "--format=\t{p}"])?;
        let mut crates = read_tree(&tree)?;
        let metadata = cargo(project, &["metadata", "--format-version=1", "--filter-platform=wasm32-wasip1"])?;
        let lock =
            std::fs::read_to_string(project.join("Cargo.lock")).map_err(|fault| format!("Cargo.lock: {fault}"))?;
        describe(&mut crates, &metadata, &lock)?;
        Ok(crates)
    }

    fn merge_into_filter(&mut self, id: &Id) {
        let Some(part) = self.all.remove(id) else { return };
        if let Some(filter) = self.all.get_mut(&self.filter) {
            filter.needs.remove(id);
            filter.needs.extend(part.needs);
        }
    }

    /// Those whose code is in the module, without the filter itself.
    pub fn linked(&self) -> impl Iterator<Item = (&Id, &Crate)> {
        self.all.iter().filter(|(id, made_of)| !made_of.only_builds && **id != self.filter)
    }
}

fn cargo(project: &Path, arguments: &[&str]) -> Result<String, String> {
    let outcome = Command::new("cargo")
        .args(arguments)
        .arg("--locked")
        .current_dir(project)
        .output()
        .map_err(|fault| format!("cargo: {fault}"))?;
    if !outcome.status.success() {
        return Err(format!("cargo {}: {}", arguments.join(" "), String::from_utf8_lossy(&outcome.stderr)));
    }
    String::from_utf8(outcome.stdout).map_err(|_| String::from("cargo wrote no UTF-8"))
}

/// Reads lines of `DEPTH\tNAME vVERSION (…)`, the filter first. A crate's own crates stand below it where it is named
/// for the first time.
fn read_tree(tree: &str) -> Result<Crates, String> {
    let mut way: Vec<Id> = Vec::new();
    let mut macros = BTreeSet::new();
    let mut all: BTreeMap<Id, Crate> = BTreeMap::new();
    for line in tree.lines() {
        let unreadable = || format!("cargo tree: {line:?}");
        let (depth, package) = line.split_once('\t').ok_or_else(unreadable)?;
        let (name, rest) = package.split_once(" v").ok_or_else(unreadable)?;
        let version = rest.split(' ').next().unwrap_or_default();
        let id = (name.to_owned(), version.to_owned());
        way.truncate(depth.parse().map_err(|_| unreadable())?);
        if let Some(above) = way.last().and_then(|above| all.get_mut(above)) {
            above.needs.insert(id.clone());
        }
        if rest.contains("(proc-macro)") {
            macros.insert(id.clone());
        }
        all.entry(id.clone()).or_default();
        way.push(id);
    }
    let filter = way.into_iter().next().ok_or("cargo tree: nothing")?;
    let linked = reached(&all, &filter, &macros);
    for (id, made_of) in &mut all {
        made_of.only_builds = !linked.contains(id);
    }
    Ok(Crates { filter, all })
}

/// What is reached from a crate without passing through one of `closed`.
fn reached(all: &BTreeMap<Id, Crate>, from: &Id, closed: &BTreeSet<Id>) -> BTreeSet<Id> {
    let (mut found, mut due) = (BTreeSet::new(), vec![from]);
    while let Some(id) = due.pop() {
        if !closed.contains(id) && found.insert(id.clone()) {
            due.extend(all.get(id).into_iter().flat_map(|made_of| &made_of.needs));
        }
    }
    found
}

/// Adds what the manifests and the lock file say of the crates.
fn describe(crates: &mut Crates, metadata: &str, lock: &str) -> Result<(), String> {
    let metadata: Value = serde_json::from_str(metadata).map_err(|fault| format!("cargo metadata: {fault}"))?;
    let text = |package: &Value, name: &str| package.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    for package in metadata.get("packages").and_then(Value::as_array).into_iter().flatten() {
        let id = (text(package, "name"), text(package, "version"));
        // A crate of this repository is a part of the filter.
        if package.get("source").is_some_and(Value::is_null) && id != crates.filter {
            crates.merge_into_filter(&id);
        }
        if let Some(made_of) = crates.all.get_mut(&id) {
            // An older way of writing `OR`, which SPDX does not know.
            made_of.licence = text(package, "license").replace('/', " OR ");
            made_of.folder =
                PathBuf::from(text(package, "manifest_path")).parent().map(Path::to_owned).unwrap_or_default();
        }
    }
    for entry in lock.split("\n[[package]]\n") {
        let field = |name: &str| {
            let line = entry.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
            line.map(|value| value.trim_matches('"').to_owned())
        };
        if let (Some(name), Some(version), sum @ Some(_)) = (field("name"), field("version"), field("checksum"))
            && let Some(made_of) = crates.all.get_mut(&(name, version))
        {
            made_of.sha256 = sum;
        }
    }
    let unknown = crates
        .all
        .iter()
        .find(|(id, made_of)| made_of.licence.is_empty() || made_of.sha256.is_none() && **id != crates.filter);
    unknown.map_or(Ok(()), |((name, version), _)| Err(format!("{name} {version}: no licence, or not in Cargo.lock")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> Id {
        (name.to_owned(), String::from("1.0.0"))
    }

    #[test]
    fn macros_and_what_only_they_use_are_told_from_what_is_in_the_module() {
        let tree = "0\tfilter v1.0.0 (/somewhere)\n\
                    1\tserde v1.0.0\n\
                    2\tserde_derive v1.0.0 (proc-macro)\n\
                    3\tsyn v1.0.0\n\
                    3\tmemchr v1.0.0\n\
                    1\tmemchr v1.0.0 (*)\n";
        let crates = read_tree(tree).unwrap();
        assert_eq!(crates.filter, id("filter"));
        let only_build: Vec<&Id> = crates.all.iter().filter(|(_, it)| it.only_builds).map(|(id, _)| id).collect();
        assert_eq!(only_build, [&id("serde_derive"), &id("syn")]);
        assert_eq!(crates.linked().map(|(id, _)| id).collect::<Vec<_>>(), [&id("memchr"), &id("serde")]);
        assert_eq!(crates.all[&id("filter")].needs, BTreeSet::from([id("memchr"), id("serde")]));
        assert_eq!(crates.all[&id("serde_derive")].needs, BTreeSet::from([id("memchr"), id("syn")]));
    }

    #[test]
    fn a_crate_that_nothing_is_known_of_stops_the_release() {
        let tree = "0\tfilter v1.0.0 (/somewhere)\n1\tserde v1.0.0\n";
        let metadata = r#"{"packages": [
            {"name": "filter", "version": "1.0.0", "license": "Apache-2.0", "manifest_path": "/somewhere/Cargo.toml"},
            {"name": "serde", "version": "1.0.0", "license": "MIT/Apache-2.0", "manifest_path": "/serde/Cargo.toml"}]}"#;
        let lock = "version = 4\n\n[[package]]\nname = \"serde\"\nversion = \"1.0.0\"\nchecksum = \"9a8e\"\n";
        let mut crates = read_tree(tree).unwrap();
        describe(&mut crates, metadata, lock).unwrap();
        let serde = &crates.all[&id("serde")];
        assert_eq!((serde.licence.as_str(), serde.sha256.as_deref()), ("MIT OR Apache-2.0", Some("9a8e")));
        assert_eq!(serde.folder, Path::new("/serde"));
        assert!(describe(&mut read_tree(tree).unwrap(), metadata, "").is_err());
        assert!(describe(&mut read_tree(tree).unwrap(), "{}", lock).is_err());
    }

    #[test]
    fn a_crate_of_this_repository_is_a_part_of_the_filter() {
        let tree = "0\tfilter v1.0.0 (/somewhere)\n1\tpart v1.0.0 (/somewhere/part)\n2\tserde v1.0.0\n";
        let metadata = r#"{"packages": [
            {"name": "filter", "version": "1.0.0", "source": null, "license": "Apache-2.0", "manifest_path": "/somewhere/Cargo.toml"},
            {"name": "part", "version": "1.0.0", "source": null, "license": "Apache-2.0", "manifest_path": "/somewhere/part/Cargo.toml"},
            {"name": "serde", "version": "1.0.0", "source": "registry", "license": "MIT", "manifest_path": "/serde/Cargo.toml"}]}"#;
        let lock = "version = 4\n\n[[package]]\nname = \"serde\"\nversion = \"1.0.0\"\nchecksum = \"9a8e\"\n";
        let mut crates = read_tree(tree).unwrap();
        describe(&mut crates, metadata, lock).unwrap();
        assert_eq!(crates.linked().map(|(id, _)| id).collect::<Vec<_>>(), [&id("serde")]);
        assert_eq!(crates.all[&id("filter")].needs, BTreeSet::from([id("serde")]));
    }
}
