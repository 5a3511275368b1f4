//! The licence texts of everything whose code is in the module. All of these licences want to be handed on with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::crates::Crates;

/// How the files begin that licences, notices and copyright lines stand in.
const NAMES: [&str; 5] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE"];

/// One text with all of them, equal ones once.
///
/// # Errors
/// When a crate brings no text of its licence, or it cannot be read, in words.
pub fn notices(crates: &Crates) -> Result<String, String> {
    let mut who_has: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut list = String::new();
    for ((name, version), made_of) in crates.linked() {
        list.push_str(&format!("{name} {version}: {}\n", made_of.licence));
        let texts = texts(&made_of.folder).map_err(|fault| format!("{name} {version}: {fault}"))?;
        if texts.is_empty() {
            return Err(format!("{name} {version} brings no text of its licence, {}", made_of.licence));
        }
        for text in texts {
            who_has.entry(text).or_default().push(format!("{name} {version}"));
        }
    }
    let mut notices = format!(
        "okta_proxy_wasm.wasm contains code of these crates, and of Rust's standard library, whose notices stand in\n\
         RUST-STANDARD-LIBRARY.html:\n\n{list}"
    );
    let mut by_owner: Vec<_> = who_has.into_iter().map(|(text, owners)| (owners.join(", "), text)).collect();
    by_owner.sort();
    for (owners, text) in by_owner {
        notices.push_str(&format!("\n{}\n{owners}\n\n{text}\n", "-".repeat(100)));
    }
    Ok(notices)
}

/// The licence texts in a crate's folder, with line ends as we write them.
fn texts(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_uppercase();
        if entry.file_type()?.is_file() && NAMES.iter().any(|start| name.starts_with(start)) {
            let text = String::from_utf8_lossy(&fs::read(entry.path())?).replace("\r\n", "\n");
            found.push(text.trim_matches('\n').to_owned());
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crates::{Crate, Id};

    fn made_of(folder: &Path) -> Crate {
        Crate { licence: String::from("MIT"), folder: folder.to_owned(), ..Crate::default() }
    }

    fn id(name: &str) -> Id {
        (name.to_owned(), String::from("1.0.0"))
    }

    #[test]
    fn equal_texts_stand_there_once_with_all_who_have_them() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(one.path().join("LICENSE-MIT"), "Do as you like.\r\n").unwrap();
        fs::write(one.path().join("lib.rs"), "not a licence").unwrap();
        fs::write(two.path().join("License.md"), "Do as you like.\n").unwrap();
        fs::write(two.path().join("NOTICE"), "Made by two.\n").unwrap();
        let all = BTreeMap::from([
            (id("filter"), Crate::default()),
            (id("one"), made_of(one.path())),
            (id("two"), made_of(two.path())),
        ]);
        let notices = notices(&Crates { filter: id("filter"), all }).unwrap();
        assert_eq!(notices.matches("Do as you like.").count(), 1, "{notices}");
        assert!(notices.contains("\none 1.0.0, two 1.0.0\n\nDo as you like.\n"), "{notices}");
        assert!(notices.contains("\ntwo 1.0.0\n\nMade by two.\n"), "{notices}");
        assert!(!notices.contains("not a licence"), "{notices}");
    }

    #[test]
    fn a_crate_without_a_text_stops_the_release() {
        let empty = tempfile::tempdir().unwrap();
        let all = BTreeMap::from([(id("filter"), Crate::default()), (id("one"), made_of(empty.path()))]);
        assert!(notices(&Crates { filter: id("filter"), all }).unwrap_err().contains("one 1.0.0 brings no text"));
    }
}
