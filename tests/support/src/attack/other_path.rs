//! Spellings that a rule does not fold because they are other paths (RFC 3986), and that some backend serves as the same path.
//! A policy that is closed by default does not open them; one that is open to every token does.

use std::collections::BTreeMap;

/// Why a backend takes a path for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OtherPath {
    /// `/Admin` for `/admin`.
    CaseSensitivity,
    /// `/admin.css` for `/admin`: a suffix is a format.
    Suffix,
    /// `/ａdmin` for `/admin`: letters that Unicode calls compatible, or that fold to the same.
    UnicodeFold,
    /// `/admin%20` for `/admin`.
    Blank,
    /// `/%2561dmin` for `/admin`: decoded twice.
    DecodedTwice,
    /// `/admin/x.css` for `/admin`: what follows is handed to the handler (`PATH_INFO`).
    PathInfo,
}

impl OtherPath {
    /// Its name in the documentation.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CaseSensitivity => "letter case",
            Self::Suffix => "suffix",
            Self::UnicodeFold => "Unicode folding",
            Self::Blank => "blank",
            Self::DecodedTwice => "decoded twice",
            Self::PathInfo => "path info",
        }
    }

    /// Which of these explains that a request for `target` executed something at `executed`; `None` if the target
    /// normalised the usual way is that path, or nothing explains it.
    pub fn between(target: &[u8], executed: &str) -> Option<Self> {
        let path = normal(target);
        let executed = executed.trim_end_matches('/').to_owned();
        if path == executed {
            return None;
        }
        if path.to_lowercase() == executed.to_lowercase() && path.is_ascii() {
            return Some(Self::CaseSensitivity);
        }
        if folded(&path) == executed.to_lowercase() {
            return Some(Self::UnicodeFold);
        }
        if path.trim_end() == executed || path.replace(char::is_whitespace, "") == executed {
            return Some(Self::Blank);
        }
        if normal(path.as_bytes()) == executed {
            return Some(Self::DecodedTwice);
        }
        match path.strip_prefix(&executed) {
            Some(rest) if rest.starts_with('.') && !rest.contains('/') => Some(Self::Suffix),
            Some(rest) if rest.starts_with('/') => Some(Self::PathInfo),
            _ => None,
        }
    }
}

/// Decoded once, with dot segments and empty segments removed, without the query and the last slash.
fn normal(target: &[u8]) -> String {
    let text = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let mut decoded = Vec::new();
    let mut rest = text;
    while let [byte, behind @ ..] = rest {
        let digit = |at: usize| behind.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        rest = match (*byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                &behind[2..]
            }
            (byte, ..) => {
                decoded.push(byte);
                behind
            }
        };
    }
    let text = String::from_utf8_lossy(&decoded).into_owned();
    let mut segments: Vec<&str> = Vec::new();
    for segment in text.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    format!("/{}", segments.join("/"))
}

/// Compatible letters as ASCII, and without marks and invisible characters, as far as the generators use them.
fn folded(path: &str) -> String {
    let fold = |letter: char| match letter {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(letter) - 0xfee0),
        'ſ' => Some('s'),
        'K' => Some('k'),
        'ı' | 'İ' => Some('i'),
        'ª' => Some('a'),
        'º' => Some('o'),
        'ⅽ' => Some('c'),
        '٧' => Some('7'),
        '\u{301}' | '\u{ad}' | '\u{200b}' | '\u{feff}' => None,
        other => Some(other),
    };
    path.chars().filter_map(fold).collect::<String>().to_lowercase()
}

/// Which backends take which of these for the same path, each with an example.
pub type Table = BTreeMap<OtherPath, BTreeMap<String, String>>;

/// Each kind and backend of a table that is not in the text of the documentation.
pub fn undocumented(table: &Table, documentation: &str) -> Vec<String> {
    let row_of = |kind: OtherPath| {
        let begin = format!("| {} |", kind.name());
        documentation.lines().find(|line| line.starts_with(&begin)).unwrap_or_default()
    };
    let is_documented = |kind: OtherPath, backend: &str| {
        let cells = row_of(kind).split('|').nth(2).unwrap_or_default();
        cells.split(',').any(|name| name.trim() == backend)
    };
    let seen = table.iter().flat_map(|(kind, examples)| examples.iter().map(move |example| (*kind, example)));
    let missing = seen.filter(|(kind, (backend, _))| !is_documented(*kind, backend));
    missing.map(|(kind, (backend, example))| format!("{} at {backend}: {example}", kind.name())).collect()
}

/// The table as Markdown, as the documentation has it.
pub fn markdown(table: &Table) -> String {
    let mut text = String::from("| Spelling | Backends that serve it as the same path |\n|---|---|\n");
    for (kind, backends) in table {
        let names: Vec<&str> = backends.keys().map(String::as_str).collect();
        text.push_str(&format!("| {} | {} |\n", kind.name(), names.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_missing_from_the_documented_table_is_named() {
        let examples = ["koa", "express4"].map(|backend| (backend.to_owned(), "GET /Admin".to_owned()));
        let table = Table::from([(OtherPath::CaseSensitivity, BTreeMap::from(examples))]);
        assert_eq!(undocumented(&table, &markdown(&table)), [] as [&str; 0]);
        assert_eq!(undocumented(&table, "| letter case | express4, koala |"), ["letter case at koa: GET /Admin"]);
        assert_eq!(undocumented(&table, "").len(), 2);
    }

    #[test]
    fn different_paths_have_a_named_difference_and_equal_paths_have_none() {
        for (target, kind) in [
            ("/admin", None),
            ("/admin/", None),
            ("/x/../%61dmin?x", None),
            ("/public/admin", None),
            ("/admin;/x.css", None),
            ("/Admin", Some(OtherPath::CaseSensitivity)),
            ("/admin.css", Some(OtherPath::Suffix)),
            ("/admin%20", Some(OtherPath::Blank)),
            ("/%2561dmin", Some(OtherPath::DecodedTwice)),
            ("/admin/x.css", Some(OtherPath::PathInfo)),
            ("/%ef%bd%81dmin", Some(OtherPath::UnicodeFold)),
        ] {
            assert_eq!(OtherPath::between(target.as_bytes(), "/admin"), kind, "{target}");
        }
    }
}
