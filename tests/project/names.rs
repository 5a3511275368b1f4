//! The words that this project does not use, in one list: for each the word to use instead, and where it is searched. Names are
//! those of files, types, variants and public items in `src/` and `cli/src/`; messages are the string literals there;
//! documentation is `docs/`, `README.md` and `ARCHITECTURE.md`.
//!
//! `tests/project/names_ceilings.txt` holds how often each word is still there. It may only go down: with `UPDATE_GOLDEN=1` the
//! test writes lower numbers, and never higher ones.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Where a word is searched.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    Everywhere,
    /// In prose the word has a standard meaning, too.
    Names,
    /// As part of a longer name, or as a function's, it has a standard meaning, too.
    NamesAlone,
    NamesAndMessages,
}
use Where::{Everywhere, Names, NamesAlone, NamesAndMessages};

/// Word, the words to use instead, and where. In names `_` stands between words, also in `CamelCase`; in prose a space or hyphen.
const WORDS: [(&str, &str, Where); 75] = [
    ("anew", "again", Everywhere),
    ("answer", "response", Names),
    ("asking", "introspection, requesting", Everywhere),
    ("blame", "source, ErrorSource", Everywhere),
    ("demand", "requirement", Everywhere),
    ("door", "limit, CallLimits", Everywhere),
    ("errand", "purpose, CalloutPurpose", Everywhere),
    ("figure", "statistic, metric, gauge", Everywhere),
    ("finding", "diagnostic", Names),
    ("grant", "AuthenticatedToken", Names),
    ("inquiry", "introspection, TokenStatus", Everywhere),
    ("inquiries", "introspection, TokenStatus", Everywhere),
    ("journal", "log", Everywhere),
    ("log_in", "sign-in", Everywhere),
    ("mend", "fix", Everywhere),
    ("otherwise", "default, RuleId::Default", Names),
    ("passage", "stream state", Everywhere),
    ("patience", "deadline", Everywhere),
    ("relaxed", "insecure", Everywhere),
    ("remembered", "cached", Everywhere),
    ("remember", "cache", Everywhere),
    ("reply", "response", Names),
    ("room", "module, capacity, ParkingLimits", Everywhere),
    ("stand_in", "placeholder", Everywhere),
    ("surroundings", "context, ProviderContext, ResourceContext", Everywhere),
    ("told", "filter state", NamesAndMessages),
    ("trouble", "error, TransportError", Everywhere),
    ("untold", "FilterStateError", Everywhere),
    ("turned_away", "rejected", Everywhere),
    ("turn_away", "reject", Everywhere),
    ("turns_away", "rejects", Everywhere),
    ("whole_number", "integer", Everywhere),
    ("who_may_read", "cors_headers", Everywhere),
    ("is_meant_by", "folds_to", Everywhere),
    ("the_only", "single", Names),
    // Names of types and variants.
    ("against", "NegativeReason", NamesAlone),
    ("arrival", "RequestOutcome", NamesAlone),
    ("asked", "AuthorizationRequest", NamesAlone),
    ("asks", "NeedAttributes", NamesAlone),
    ("awaited", "PendingOn", NamesAlone),
    ("both", "And", NamesAlone),
    ("circuit", "CircuitBreaker", NamesAlone),
    ("cooling_down", "Cooldown", NamesAlone),
    ("doubt", "Indeterminate, SelfTestFailure", NamesAlone),
    ("each", "Comprehension", NamesAlone),
    ("early", "ShortCircuit", NamesAlone),
    ("either", "Or", NamesAlone),
    ("evidence", "Verification", NamesAlone),
    ("fact", "Attribute", NamesAlone),
    ("form", "ExprKind", NamesAlone),
    ("held", "CachedActive", NamesAlone),
    ("issuer_alone", "IntrospectionOnly", NamesAlone),
    ("left_out", "Dropped", NamesAlone),
    ("named_token", "IdentifiedToken", NamesAlone),
    ("no_token_needed", "AnonymousAccess", NamesAlone),
    ("nobodys", "Cooldown", NamesAlone),
    ("of_failure", "Endpoint", NamesAlone),
    ("of_the_token", "Token", NamesAlone),
    ("ours", "Acquired", NamesAlone),
    ("outgoing", "CalloutRequest", NamesAlone),
    ("place", "CredentialLocation", NamesAlone),
    ("presented", "ExtractedCredential", NamesAlone),
    ("question", "StatusQuery", NamesAlone),
    ("refused", "CachedNegative", NamesAlone),
    ("remainder", "StrippedField", NamesAlone),
    ("said", "TokenStatus", NamesAlone),
    ("sign", "FailureScope", NamesAlone),
    ("spent", "Exhausted", NamesAlone),
    ("standing", "BudgetClass", NamesAlone),
    ("take", "Acquire", NamesAlone),
    ("taken", "Granted", NamesAlone),
    ("theirs", "HeldByOther", NamesAlone),
    ("to_wait", "RateLimited", NamesAlone),
    ("turn", "Lease", NamesAlone),
    ("wanted", "EXPECTED", NamesAlone),
];

/// Names and phrases that hold a word and stay, and why.
const ALLOWED: [(&str, &str); 1] = [("grant_type", "the parameter of RFC 6749")];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Path from the root, and text of every file with this ending.
fn files(folder: &str, ending: &str) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, ending: &str, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, ending, found);
            } else if path.to_string_lossy().ends_with(ending) {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), ending, &mut found);
    found.sort();
    found
}

/// Sources without the tests in them.
fn sources() -> Vec<(PathBuf, String)> {
    let is_test = |path: &Path| {
        path.iter().any(|part| {
            let part = part.to_string_lossy();
            part == "tests" || part.ends_with("tests.rs") || part.contains("fixture")
        })
    };
    let all = files("src", ".rs").into_iter().chain(files("cli/src", ".rs"));
    let found: Vec<_> = all.filter(|(path, _)| !is_test(path)).collect();
    assert!(found.len() > 150, "the sources were not found");
    found
}

/// A text of Rust without comments, and its string literals. Literals are empty in the text.
fn split_literals(text: &str) -> (String, Vec<String>) {
    let characters: Vec<char> = text.chars().collect();
    let (mut code, mut literals, mut at) = (String::new(), Vec::new(), 0);
    let starts =
        |at: usize, word: &str| word.chars().enumerate().all(|(nth, one)| characters.get(at + nth) == Some(&one));
    while let Some(&character) = characters.get(at) {
        if starts(at, "//") {
            while characters.get(at).is_some_and(|one| *one != '\n') {
                at += 1;
            }
        } else if starts(at, "r\"") || starts(at, "r#\"") {
            let hashes = characters[at + 1..].iter().take_while(|one| **one == '#').count();
            let end = format!("\"{}", "#".repeat(hashes));
            at += 2 + hashes;
            let start = at;
            while !starts(at, &end) {
                at += 1;
            }
            literals.push(characters[start..at].iter().collect());
            at += end.len();
            code.push_str("\"\"");
        } else if character == '"' {
            let mut literal = String::new();
            at += 1;
            while characters[at] != '"' {
                if characters[at] == '\\' {
                    at += 1;
                    literal.push(' ');
                } else {
                    literal.push(characters[at]);
                }
                at += 1;
            }
            at += 1;
            literals.push(literal);
            code.push_str("\"\"");
        } else if character == '\'' && (characters.get(at + 2) == Some(&'\'') || starts(at + 1, "\\")) {
            // A character and no lifetime.
            at += if starts(at + 1, "\\") { 3 } else { 2 };
            while characters[at] != '\'' {
                at += 1;
            }
            at += 1;
        } else {
            code.push(character);
            at += 1;
        }
    }
    (code, literals)
}

/// The words of a name, `_` between them.
fn snake_case(name: &str) -> String {
    let mut words = String::new();
    let mut was_lower = false;
    for character in name.chars() {
        if character.is_uppercase() && was_lower {
            words.push('_');
        }
        was_lower = !character.is_uppercase();
        words.extend(character.to_lowercase());
    }
    words
}

fn first_word(text: &str) -> &str {
    text.split(|character: char| !character.is_alphanumeric() && character != '_').next().unwrap_or_default()
}

/// The names that code gives to types, variants and public items, and whether each is of a function or module.
fn item_names(code: &str) -> Vec<(String, bool)> {
    let mut names = Vec::new();
    let mut enum_indent: Option<usize> = None;
    for line in code.lines() {
        let indent = line.len() - line.trim_start().len();
        let mut rest = line.trim_start();
        if let Some(outer) = enum_indent {
            if indent == outer && rest.starts_with('}') {
                enum_indent = None;
            } else if indent == outer + 4 && rest.starts_with(char::is_uppercase) {
                names.push((first_word(rest).to_owned(), false));
            }
            continue;
        }
        let is_public = rest.starts_with("pub");
        if is_public {
            rest = rest.trim_start_matches("pub").trim_start();
            if rest.starts_with('(') {
                rest = rest.split_once(')').map_or("", |(_, rest)| rest).trim_start();
            }
        }
        for word in ["const fn ", "unsafe ", "async "] {
            if rest.starts_with(word) {
                rest = &rest[word.len() - if word == "const fn " { "fn ".len() } else { 0 }..];
            }
        }
        let Some((kind, name)) = rest.split_once(' ') else { continue };
        let counts = match kind {
            "struct" | "enum" | "trait" | "type" => true,
            "fn" | "const" | "static" | "mod" => is_public,
            _ => false,
        };
        if counts {
            names.push((first_word(name).to_owned(), matches!(kind, "fn" | "mod")));
        }
        if kind == "enum" && rest.trim_end().ends_with('{') {
            enum_indent = Some(indent);
        }
    }
    names.retain(|(name, _)| !name.is_empty() && name != "_");
    names
}

/// Whether a name holds the word, also in the plural.
fn name_has(name: &str, word: &str) -> bool {
    let name = format!("_{name}_");
    name.contains(&format!("_{word}_")) || name.contains(&format!("_{word}s_"))
}

/// How often a prose holds the word, also in the plural; an identifier with `_` is one word.
fn prose_count(text: &str, word: &str) -> usize {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    let lower = text.to_lowercase();
    let spellings =
        if word.contains('_') { vec![word.replace('_', "-"), word.replace('_', " ")] } else { vec![word.to_owned()] };
    // "to log in" and "log in the file" are different things.
    let spellings: Vec<String> = spellings.into_iter().filter(|spelling| spelling != "log in").collect();
    let mut count = 0;
    for spelling in spellings {
        for (at, _) in lower.match_indices(&spelling) {
            let before = lower[..at].chars().next_back();
            let after = lower[at + spelling.len()..].trim_start_matches('s').chars().next();
            count += usize::from(!before.is_some_and(is_part) && !after.is_some_and(is_part));
        }
    }
    count
}

/// Where each word was found, in names, messages and documentation.
type Found = BTreeMap<&'static str, [Vec<String>; 3]>;

fn find() -> Found {
    let mut found: Found = WORDS.iter().map(|(word, _, _)| (*word, Default::default())).collect();
    let mut note = |word: &'static str, column: usize, place: String, times: usize| {
        let places = &mut found.get_mut(word).unwrap()[column];
        places.extend(std::iter::repeat_n(place, times));
    };
    let without_allowed =
        |text: &str| ALLOWED.iter().fold(text.to_owned(), |text, (allowed, _)| text.replace(allowed, ""));
    for (path, text) in sources() {
        let (code, literals) = split_literals(&text);
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let words_of = |(name, is_function): &(String, bool)| (snake_case(&without_allowed(name)), *is_function);
        let mut names: Vec<(String, bool)> = item_names(&code).iter().map(words_of).collect();
        names.push((stem, true));
        for (word, _, place) in WORDS {
            for (name, is_function) in &names {
                let holds = if place == NamesAlone { name == word && !is_function } else { name_has(name, word) };
                note(word, 0, format!("{}: {name}", path.display()), usize::from(holds));
            }
            if matches!(place, Everywhere | NamesAndMessages) {
                for literal in &literals {
                    let times = prose_count(&without_allowed(literal), word);
                    note(word, 1, format!("{}: {literal:?}", path.display()), times);
                }
            }
        }
    }
    let single = ["README.md", "ARCHITECTURE.md"]
        .map(|name| (PathBuf::from(name), fs::read_to_string(root().join(name)).unwrap()));
    for (path, text) in files("docs", ".md").into_iter().chain(single) {
        for (word, _, place) in WORDS {
            if place == Everywhere {
                for (number, line) in (1..).zip(text.lines()) {
                    note(word, 2, format!("{}:{number}", path.display()), prose_count(&without_allowed(line), word));
                }
            }
        }
    }
    found
}

fn ceilings_file() -> PathBuf {
    root().join("tests/project/names_ceilings.txt")
}

fn ceilings() -> BTreeMap<String, [usize; 3]> {
    let read = |line: &str| {
        let mut parts = line.split_whitespace();
        let word = parts.next().unwrap().to_owned();
        (word, [(); 3].map(|()| parts.next().unwrap().parse().unwrap()))
    };
    let text = fs::read_to_string(ceilings_file()).unwrap_or_default();
    text.lines().filter(|line| !line.starts_with('#')).map(read).collect()
}

/// `NAMES=word` prints where a word is found.
#[test]
fn forbidden_words_do_not_increase() {
    let (found, ceilings) = (find(), ceilings());
    let shown = std::env::var("NAMES").unwrap_or_default();
    let is_updating = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut lines = String::from(
        "# Word, and how often it is found in names, messages and documentation: tests/project/names.rs.\n",
    );
    let mut wrong = Vec::new();
    for (word, instead, _) in WORDS {
        let counts = [0, 1, 2].map(|column: usize| found[word][column].len());
        println!("{word}: {counts:?}");
        if shown == word {
            println!("{}", found[word].concat().join("\n"));
        }
        // A word that is new to the list begins with what is there.
        let held = ceilings.get(word).copied().unwrap_or(if is_updating { [usize::MAX; 3] } else { [0; 3] });
        let mut kept = held;
        for (column, place) in ["names", "messages", "documentation"].into_iter().enumerate() {
            let (count, ceiling) = (counts[column], held[column]);
            if count > ceiling {
                let places = found[word][column].join("\n    ");
                wrong.push(format!("{word:?} is {count} times in {place}, of {ceiling}; use {instead}:\n    {places}"));
            } else if count < ceiling && !is_updating {
                wrong.push(format!(
                    "{word:?} is {count} times in {place}, of {ceiling}: lower the ceiling (UPDATE_GOLDEN=1)"
                ));
            }
            kept[column] = count.min(ceiling);
        }
        if kept != [0; 3] {
            let [names, messages, documentation] = kept;
            writeln!(lines, "{word} {names} {messages} {documentation}").unwrap();
        }
    }
    let unknown: Vec<&String> = ceilings.keys().filter(|word| WORDS.iter().all(|(known, ..)| known != word)).collect();
    assert!(is_updating || unknown.is_empty(), "ceilings of words that are not on the list: {unknown:?}");
    if is_updating {
        fs::write(ceilings_file(), lines).unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A page that is named in the code is one that a reader can open.
#[test]
fn every_page_that_a_source_names_is_in_the_repository() {
    let mut checked = 0;
    for (path, text) in [
        "src",
        "cli",
        "tests/core",
        "tests/e2e",
        "tests/e2e_load",
        "tests/embedded-host",
        "tests/fuzzing",
        "tests/project",
    ]
    .into_iter()
    .flat_map(|folder| files(folder, ".rs"))
    {
        for line in text.lines().filter(|line| line.trim_start().starts_with("//")) {
            let is_end = |one: char| !one.is_alphanumeric() && !"_-./".contains(one);
            for name in line.split(is_end).filter(|name| name.len() > 3 && name.ends_with(".md")) {
                let beside = root().join(&path).parent().unwrap().join(name);
                assert!(root().join(name).exists() || beside.exists(), "{} names {name}", path.display());
                checked += 1;
            }
        }
    }
    assert!(checked >= 8, "only {checked} names were found");
    let is_gone = ["attack ", "list"].concat();
    for (path, text) in sources() {
        assert!(!text.contains(&is_gone), "{}: the {is_gone} is `tests/core/attack_cases.rs`", path.display());
    }
}

#[test]
fn names_and_words_are_extracted_from_source() {
    let code = "pub struct CallDoors;\npub(crate) enum Turn {\n    Ours,\n    Theirs { a: u8 },\n}\nfn told() {}\npub const fn asking() {}\n";
    let names: Vec<String> = item_names(code).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["CallDoors", "Turn", "Ours", "Theirs", "asking"]);
    assert!(
        name_has(&snake_case("CallDoors"), "door") && !name_has("indoor", "door") && name_has("log_in_anew", "log_in")
    );
    let (code, literals) =
        split_literals("let a = \"it is \\\"told\\\"\"; // told\nlet b: &'a str = r#\"x \"y\"#; let c = '\"';");
    assert_eq!(literals, ["it is  told ", "x \"y"]);
    assert!(!code.contains("told"));
    assert_eq!(prose_count("The doors, `door_count`, a door-bell; Indoor", "door"), 2);
    assert_eq!(prose_count("A log-in; look at the log in the file", "log_in"), 1);
}
