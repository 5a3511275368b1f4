//! The bill of materials, CycloneDX 1.6 as JSON.
//!
//! Written here and not by `cargo-cyclonedx`: that lists what the features of the workspace's tests bring along, and
//! writes down the time and a random serial number, so that no two builds agree. Both are optional in the format.

use serde_json::{Value, json};

use crate::crates::{Crate, Crates, Id};
use crate::digest::sha256;

/// The document. The crates whose code is in the module are `required`; macros, which only ran, are `excluded`.
pub fn document(crates: &Crates, module: &[u8]) -> String {
    let described = |(id, made_of)| component(id, made_of);
    let components: Vec<Value> = crates.all.iter().filter(|(id, _)| **id != crates.filter).map(described).collect();
    let mut filter =
        crates.all.get(&crates.filter).map(|made_of| component(&crates.filter, made_of)).unwrap_or_default();
    if let Some(filter) = filter.as_object_mut() {
        filter.insert(String::from("hashes"), json!([{ "alg": "SHA-256", "content": sha256(module) }]));
        filter.insert(String::from("scope"), json!("required"));
    }
    let depends = |(id, made_of): (&Id, &Crate)| json!({ "ref": purl(id), "dependsOn": made_of.needs.iter().map(purl).collect::<Vec<_>>() });
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": { "component": filter },
        "components": components,
        "dependencies": crates.all.iter().map(depends).collect::<Vec<_>>(),
    });
    format!("{document:#}\n")
}

fn component(id: &Id, made_of: &Crate) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": purl(id),
        "name": id.0,
        "version": id.1,
        "purl": purl(id),
        "scope": if made_of.only_builds { "excluded" } else { "required" },
        "licenses": [{ "expression": made_of.licence }],
    });
    if let (Some(component), Some(sum)) = (component.as_object_mut(), &made_of.sha256) {
        component.insert(String::from("hashes"), json!([{ "alg": "SHA-256", "content": sum }]));
    }
    component
}

fn purl((name, version): &Id) -> String {
    format!("pkg:cargo/{name}@{version}")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn id(name: &str) -> Id {
        (name.to_owned(), String::from("1.0.0"))
    }

    #[test]
    fn every_crate_is_a_component_and_the_module_is_named_by_its_digest() {
        let made_of = |needs: &[&str], sha256: Option<&str>, only_builds| Crate {
            licence: String::from("MIT"),
            sha256: sha256.map(str::to_owned),
            needs: needs.iter().map(|name| id(name)).collect::<BTreeSet<_>>(),
            only_builds,
            ..Crate::default()
        };
        let all = BTreeMap::from([
            (id("filter"), made_of(&["serde"], None, false)),
            (id("serde"), made_of(&["serde_derive"], Some("9a8e"), false)),
            (id("serde_derive"), made_of(&[], Some("0e33"), true)),
        ]);
        let crates = Crates { filter: id("filter"), all };
        let written = document(&crates, b"abc");
        assert_eq!(written, document(&crates, b"abc"));
        let read: Value = serde_json::from_str(&written).unwrap();
        assert_eq!(read["metadata"]["component"]["name"], "filter");
        assert_eq!(read["metadata"]["component"]["hashes"][0]["content"], sha256(b"abc"));
        assert_eq!(read["components"].as_array().unwrap().len(), 2);
        assert_eq!(read["components"][0]["hashes"][0]["content"], "9a8e");
        assert_eq!(read["components"][1]["scope"], "excluded");
        assert_eq!(read["dependencies"][1]["dependsOn"], json!(["pkg:cargo/serde_derive@1.0.0"]));
        assert!(read.get("serialNumber").is_none() && read["metadata"].get("timestamp").is_none());
    }
}
