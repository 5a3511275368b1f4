//! The documentation as a whole: its links resolve, every page is in the book, the troubleshooting page has exactly the names
//! that the log may contain, and the tests named on the security page exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::pages::{pages_of_the_book, root};

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Markdown text with links that a reader follows.
fn linked_texts() -> Vec<PathBuf> {
    let mut texts = pages_of_the_book();
    texts.extend(["README.md", "ARCHITECTURE.md", "examples/README.md"].map(|file| root().join(file)));
    let folders = fs::read_dir(root().join("examples")).unwrap().map(|entry| entry.unwrap().path());
    texts.extend(folders.filter(|path| path.is_dir()).map(|folder| folder.join("README.md")));
    texts
}

/// A text without its fenced blocks and without what stands in backticks: there, brackets are no links.
fn prose(text: &str) -> String {
    let mut prose = String::new();
    let mut is_fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if !is_fenced {
            for (number, part) in line.split('`').enumerate() {
                prose.push_str(if number % 2 == 0 { part } else { "code" });
            }
        }
        prose.push('\n');
    }
    prose
}

/// Where the links and pictures of a text lead.
fn targets(text: &str) -> Vec<String> {
    let prose = prose(text);
    let after = prose.split("](").skip(1);
    after.map(|rest| rest.split(')').next().unwrap_or_default().to_owned()).collect()
}

/// The anchors of a text's headings, as GitHub and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut is_fenced = false;
    for line in text.lines() {
        is_fenced ^= line.trim_start().starts_with("```");
        let Some(heading) = line.strip_prefix('#').filter(|_| !is_fenced) else { continue };
        let kept = heading.trim_start_matches('#').trim().chars().filter_map(|character| match character {
            ' ' => Some('-'),
            '-' | '_' => Some(character),
            other if other.is_alphanumeric() => Some(other.to_ascii_lowercase()),
            _ => None,
        });
        let anchor: String = kept.collect();
        assert!(found.insert(anchor), "two headings are alike: {line}");
    }
    found
}

/// A path without `.` and `..`, so that where it leads can be told without looking.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => assert!(plain.pop(), "{} leads above the root", path.display()),
            Component::CurDir => {}
            Component::Normal(_) | Component::RootDir | Component::Prefix(_) => plain.push(part),
        }
    }
    plain
}

#[test]
fn every_relative_link_and_anchor_resolves() {
    let mut checked = 0;
    for text in linked_texts() {
        let name = text.strip_prefix(root()).unwrap().display().to_string();
        for target in targets(&read(&text)) {
            if target.starts_with("https://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = if file.is_empty() { text.clone() } else { plain(&text.parent().unwrap().join(file)) };
            assert!(file.exists(), "{name}: {target} leads to nothing");
            assert!(
                anchor.is_empty() || anchors(&read(&file)).contains(anchor),
                "{name}: {target} has no such heading"
            );
            // What lies outside of the book is not there for its readers: it is named and not linked.
            let is_in_book = text.starts_with(root().join("docs"));
            assert!(!is_in_book || file.starts_with(root().join("docs")), "{name}: {target} leads out of the book");
            checked += 1;
        }
    }
    assert!(checked > 120, "only {checked} links found");
}

#[test]
fn book_lists_every_page_exactly_once() {
    let docs = root().join("docs");
    let listed = targets(&read(&docs.join("SUMMARY.md")));
    let expected: BTreeSet<PathBuf> = listed.iter().map(|target| docs.join(target)).collect();
    assert_eq!(listed.len(), expected.len(), "a page is in SUMMARY.md twice");
    let found: BTreeSet<PathBuf> = pages_of_the_book().into_iter().collect();
    assert_eq!(found, expected);
}

/// The sections of the page on deploying that are about a host, by their headings.
const HOSTS: [&str; 5] = ["Envoy", "Istio", "Envoy Gateway", "Higress", "Kong and nginx"];

#[test]
fn every_host_s_section_ends_with_a_request_without_a_token_that_gets_401() {
    let page = read(&root().join("docs/deploying.md"));
    for file in ["istio.md", "envoy-gateway.md"] {
        let host_page = read(&root().join("docs").join(file));
        let last = host_page.trim_end().rsplit("```sh\n").next().unwrap();
        assert!(last.ends_with("# expected: HTTP/1.1 401 Unauthorized\n```"), "{file}: {last}");
    }
    for host in HOSTS {
        let section = page.split(&format!("\n## {host}\n")).nth(1).unwrap_or_else(|| panic!("no section {host}"));
        let section = section.split("\n## ").next().unwrap().trim_end();
        let (_, last) = section.trim_end_matches("```").rsplit_once("```sh\n").unwrap_or_else(|| panic!("{host}"));
        assert!(section.ends_with("```"), "{host}: the check is not at the end");
        let is_check = |line: &str| line.starts_with("curl ") && line.contains("# expected: HTTP/1.1 401 Unauthorized");
        assert!(last.lines().any(is_check), "{host}: {last}");
    }
}

#[test]
fn nginx_and_kong_pages_state_first_what_was_run_there() {
    for (file, said) in [
        ("docs/introduction.md", "run: **do not use it there**."),
        ("docs/deploying.md", "| nginx with ngx_wasm_module | **experimental**"),
        ("docs/deploying.md", "| **Kong** | **not run: do not use it** |"),
        ("docs/guides/from-kong.md", "**The module was not run in Kong itself**: [do not use it there]"),
        ("docs/security.md", "**nginx**: it is [experimental]"),
        ("docs/security.md", "**Kong** was not run: do not use it there."),
    ] {
        assert!(read(&root().join(file)).contains(said), "{file} does not say: {said}");
    }
    let page = read(&root().join("docs/deploying.md"));
    let section = page.split("\n## Kong and nginx\n").nth(1).unwrap().trim_start();
    assert!(
        section.starts_with("**nginx is experimental, and Kong was not run: do not use it in Kong.**"),
        "{section}"
    );
}

/// The names that the `name` functions of a file give: `=> "token_expired"`.
fn names_in(file: &str) -> BTreeSet<String> {
    let text = read(&root().join(file));
    let bodies = text.split("const fn name(self) -> &'static str {").skip(1);
    let lines = bodies.flat_map(|body| body.lines().take_while(|line| *line != "    }"));
    let names: BTreeSet<String> =
        lines.filter_map(|line| Some(line.split_once("=> \"")?.1.split_once('"')?.0.to_owned())).collect();
    assert!(!names.is_empty(), "no names found in {file}");
    names
}

/// The names in the first column of the tables under each heading of the second level.
fn first_cells(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for section in text.split("\n## ").skip(1) {
        let (heading, body) = section.split_once('\n').unwrap();
        let without_anchor = |line: &str| Some(line.strip_prefix("| <a id=\"")?.split_once("\"></a>`")?.1.to_owned());
        let lines = body.lines().map(|line| without_anchor(line).map_or(line.to_owned(), |rest| format!("| `{rest}")));
        let lines: Vec<String> = lines.collect();
        let names = lines.iter().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
        for (name, _) in names {
            assert!(found.entry(heading.to_owned()).or_default().insert(name.to_owned()), "{name} stands twice");
        }
    }
    found
}

#[test]
fn troubleshooting_page_has_exactly_the_names_that_the_log_may_contain() {
    let page = first_cells(&read(&root().join("docs/troubleshooting.md")));
    let reasons: Vec<&String> = ["400", "401", "403", "503"].iter().flat_map(|status| &page[*status]).collect();
    let named: BTreeSet<String> = reasons.iter().map(|name| (*name).clone()).collect();
    assert_eq!(named.len(), reasons.len(), "a reason stands under two statuses");
    let text = read(&root().join("docs/troubleshooting.md"));
    for name in &named {
        assert!(text.contains(&format!("| <a id=\"{name}\"></a>`{name}` |")), "{name} has no anchor");
    }
    let mut expected = names_in("src/engine/deny_reason.rs");
    expected.extend(names_in("src/policy/dpop.rs"));
    expected.extend(names_in("src/policy/requirement/remedy.rs"));
    assert_eq!(named, expected);
    let faults = ["callout", "keys/fetch", "introspection/call", "revocation/list", "revocation/feed"];
    let expected: BTreeSet<String> = faults.iter().flat_map(|file| names_in(&format!("src/{file}.rs"))).collect();
    assert_eq!(page["Why a fetch failed"], expected);
}

/// All Rust sources below a folder of the project, as one text.
fn sources(folder: &Path) -> String {
    let mut text = String::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() && !path.ends_with("node_modules") {
            text.push_str(&sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&read(&path));
        }
    }
    text
}

#[test]
fn every_test_named_on_the_security_page_exists() {
    let page = read(&root().join("docs/security.md"));
    let threats = page.split("\n## Threats\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let sources = sources(&root().join("tests")) + &sources(&root().join("src"));
    let mut checked = 0;
    for row in threats.lines().filter(|line| line.starts_with("| ") && line.contains('`')) {
        let shown_by = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        for name in shown_by.split('`').skip(1).step_by(2) {
            assert!(sources.contains(&format!("fn {name}()")), "there is no test {name}");
            checked += 1;
        }
    }
    assert!(checked > 40, "only {checked} tests named");
}
