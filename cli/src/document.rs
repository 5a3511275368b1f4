//! Reads JSON, JSON with comments and YAML, with the line and column of each value. Every command reads its files with it.

mod json;
mod node;
mod yaml;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use serde_json::Value;

use crate::failure::Failure;
use crate::input;
use crate::positions::{Lines, Origin, Position, Positions};
use node::{Node, Parts};
pub use node::{Style, SyntaxError};

const BYTE_ORDER_MARK: char = '\u{feff}';

/// The text of a file, without a byte-order mark.
#[derive(Debug)]
pub struct Text {
    pub text: Rc<str>,
    pub has_byte_order_mark: bool,
}

/// One document of a file.
#[derive(Debug)]
pub struct Document {
    pub value: Value,
    pub positions: Positions,
    scalars: BTreeMap<String, (Position, Style)>,
    /// The plain scalars that are strings, with their paths.
    pub plain_strings: Vec<(String, String)>,
    text: Rc<str>,
}

impl Text {
    /// Reads a UTF-8 file.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        Ok(Self::of(&input::read_text(path)?))
    }

    pub fn of(text: &str) -> Self {
        let rest = text.strip_prefix(BYTE_ORDER_MARK);
        Self { text: rest.unwrap_or(text).into(), has_byte_order_mark: rest.is_some() }
    }

    /// The text as it is in the file.
    pub fn with_byte_order_mark(&self) -> Cow<'_, str> {
        if self.has_byte_order_mark {
            Cow::Owned(format!("{BYTE_ORDER_MARK}{}", self.text))
        } else {
            Cow::Borrowed(&self.text)
        }
    }

    /// Whether the text begins as a JSON object or list, perhaps after comments.
    pub fn is_json(&self) -> bool {
        let mut rest = self.text.trim_start();
        loop {
            let comment = match rest {
                line if line.starts_with("//") => line.split_once('\n'),
                block if block.starts_with("/*") => block.split_once("*/"),
                _ => return rest.starts_with(['{', '[']),
            };
            rest = comment.map_or("", |(_, after)| after).trim_start();
        }
    }

    /// The text without comments, trailing commas and byte-order mark, all other bytes at their positions; `None` if this is
    /// not JSON with these extensions.
    pub fn as_strict_json(&self) -> Option<String> {
        json::without_extensions(&self.text)
    }

    /// Reads all documents. `path` distinguishes JSON and YAML.
    pub fn documents(&self, path: &Path) -> Result<Vec<Document>, Failure> {
        let error = |SyntaxError { message, position }| {
            let position = position.map(|Position { line, column }| format!("{line}:{column}: ")).unwrap_or_default();
            let format = if self.is_json() { "JSON" } else { "YAML" };
            Failure(format!("{}:{position}not valid {format}: {message}", path.display()))
        };
        let read = if self.is_json() {
            let json = json::read(&self.text).map(|node| vec![node]);
            // A flow mapping of YAML, or several documents.
            let is_only_json = has_ending(path, &["json", "jsonc"]);
            json.or_else(|fault| match yaml::read(&self.text) {
                Ok(nodes) if !is_only_json => Ok(nodes),
                Err(of_yaml) if has_ending(path, &["yaml", "yml"]) => Err(of_yaml),
                Ok(_) | Err(_) => Err(fault),
            })
        } else {
            yaml::read(&self.text)
        };
        let documents =
            read.and_then(|nodes| nodes.iter().map(|node| self.document(node)).collect::<Result<Vec<_>, _>>());
        let documents = documents.map_err(error)?;
        Ok(documents.into_iter().filter(|document| !document.value.is_null()).collect())
    }

    fn document(&self, node: &Node) -> Result<Document, SyntaxError> {
        let mut parts = Parts::default();
        let value = parts.add("$", node)?;
        let Parts { positions, scalars, plain_strings, .. } = parts;
        Ok(Document { value, positions, scalars, plain_strings, text: Rc::clone(&self.text) })
    }
}

/// Reads a file with a single document.
pub fn read_one(path: &Path) -> Result<Document, Failure> {
    let mut documents = Text::read(path)?.documents(path)?;
    match (documents.pop(), documents.len()) {
        (Some(document), 0) => Ok(document),
        (None, _) => Err(Failure::of_file(path, "empty")),
        (Some(_), others) => {
            Err(Failure::of_file(path, format!("{} documents in this file instead of one", others + 1)))
        }
    }
}

/// The bytes of a response that a file holds. An object that is written as YAML or with comments is converted to JSON, and
/// all other bytes are as they are: the filter reads them.
pub fn read_response(path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = input::read(path)?;
    let Ok(text) = String::from_utf8(bytes.clone()) else { return Ok(bytes) };
    let text = Text::of(&text);
    if let Some(json) = text.as_strict_json() {
        return Ok(json.into_bytes());
    }
    let documents = text.documents(path).unwrap_or_default();
    match documents.as_slice() {
        [document] if document.value.is_object() => Ok(document.value.to_string().into_bytes()),
        _ => Ok(bytes),
    }
}

pub fn has_ending(path: &Path, endings: &[&str]) -> bool {
    path.extension().is_some_and(|found| endings.iter().any(|ending| found.eq_ignore_ascii_case(ending)))
}

/// The positions of the values of a JSON text; none if this is no JSON.
pub fn positions_of_json(text: &str) -> Positions {
    let mut parts = Parts::default();
    // Up to a duplicate member, all positions are known.
    let _value_or_duplicate = json::read(text).and_then(|node| parts.add("$", &node));
    parts.positions.insert("$", Position { line: 1, column: 1 });
    parts.positions
}

impl Document {
    /// Reads the text in the string at `path` as a document of this file.
    pub fn embedded(&self, path: &str, content: &str) -> Option<Self> {
        let text = Text::of(content);
        let mut documents = text.documents(Path::new("embedded.yaml")).ok()?;
        let mut document = documents.pop().filter(|_| documents.is_empty())?;
        let layout = self.layout(path, content);
        document.positions = document.positions.map(layout);
        document.scalars.clear();
        Some(document)
    }

    /// Where the string at `path` is in this file.
    pub fn origin_of_text(&self, path: &str, content: &str) -> Origin {
        Origin::new(self.layout(path, content))
    }

    /// Converts positions in the string at `path` to those in the file. In a string whose lines are folded, every position is
    /// that of the string.
    fn layout(&self, path: &str, content: &str) -> impl Fn(Position) -> Option<Position> + use<> {
        // Of another value than a string, or of none, all positions are those of the value or its parent.
        let other = || Some((self.positions.find(path)?, Style::Folded));
        let start = self.scalars.get(path).copied().or_else(other);
        let lines = Lines::of(&self.text);
        let layout = start.map(|(start, style)| match style {
            Style::Literal => indentation(&lines, start.line, content).map_or(Layout::Unknown, Layout::Block),
            Style::Folded => Layout::Unknown,
            Style::Plain | Style::SingleQuoted | Style::DoubleQuoted => {
                positions_of_characters(&lines, start, style, content).map_or(Layout::Unknown, Layout::Characters)
            }
        });
        let content_lines: Vec<usize> = Lines::of(content).lengths();
        move |position| {
            let (start, _) = start?;
            match layout.as_ref()? {
                Layout::Block((first, indentation)) => {
                    Some(Position { line: first + position.line - 1, column: position.column + indentation })
                }
                Layout::Characters(found) => {
                    let before: usize = content_lines.iter().take(position.line - 1).sum();
                    Some(found.get(before + position.column - 1).copied().unwrap_or(start))
                }
                Layout::Unknown => Some(start),
            }
        }
    }
}

/// Where the characters of a string are in the file.
enum Layout {
    /// The line of the first one, and the indentation of all lines.
    Block((usize, usize)),
    /// Of each character.
    Characters(Vec<Position>),
    Unknown,
}

/// The first line and the indentation of the literal block whose `|` is on this line, or before its first line.
fn indentation(lines: &Lines<'_>, header: usize, content: &str) -> Option<(usize, usize)> {
    let first = content.lines().position(|line| !line.trim().is_empty())?;
    let wanted = content.lines().nth(first)?;
    // The parser's mark is at the first line of text that is not blank, or at the header.
    [header.saturating_sub(first), header + 1].into_iter().find_map(|start| {
        let written = lines.line(start + first)?;
        let indentation = written.strip_suffix(wanted).filter(|blank| blank.trim().is_empty())?;
        Some((start, indentation.chars().count()))
    })
}

/// The position of each character of a string on one line of the file.
fn positions_of_characters(lines: &Lines<'_>, start: Position, style: Style, content: &str) -> Option<Vec<Position>> {
    let line = lines.line(start.line)?;
    let mut written = line.chars().enumerate().skip(start.column - 1).peekable();
    if style != Style::Plain {
        written.next()?;
    }
    let mut found = Vec::new();
    for wanted in content.chars() {
        let (at, character) = written.next()?;
        found.push(Position { line: start.line, column: at + 1 });
        let read = match (style, character) {
            (Style::SingleQuoted, '\'') => written.next()?.1,
            (Style::DoubleQuoted, '\\') => match written.next()?.1 {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'u' => {
                    let digits: String = written.by_ref().take(4).map(|(_, digit)| digit).collect();
                    char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
                }
                other => other,
            },
            (_, other) => other,
        };
        if read != wanted {
            return None;
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn documents(text: &str) -> Vec<Document> {
        Text::of(text).documents(Path::new("x.yaml")).unwrap_or_else(|failure| panic!("{text}: {failure}"))
    }

    fn value(text: &str) -> Value {
        documents(text).pop().unwrap().value
    }

    fn failure(path: &str, text: &str) -> String {
        Text::of(text).documents(Path::new(path)).map(|found| format!("{found:?}")).unwrap_err().0
    }

    #[test]
    fn scalars_have_the_types_of_the_core_schema() {
        for (text, expected) in [
            ("true", json!(true)),
            ("False", json!(false)),
            ("~", json!(null)),
            ("", json!(null)),
            ("yes", json!("yes")),
            ("on", json!("on")),
            ("'true'", json!("true")),
            ("\"1\"", json!("1")),
            ("!!str 1", json!("1")),
            ("!!int '1'", json!(1)),
            ("! 1", json!("1")),
            ("|-\n  1", json!("1")),
            ("0", json!(0)),
            ("-12", json!(-12)),
            ("+12", json!(12)),
            ("0x1F", json!(31)),
            ("0o17", json!(15)),
            ("010", json!(10)),
            ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
            ("1e3", json!(1000)),
            ("1.0", json!(1)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("-1.5e-1", json!(-0.15)),
            ("1_000", json!("1_000")),
            ("1:30", json!("1:30")),
            (".inf", json!(".inf")),
            ("1e", json!("1e")),
            (".", json!(".")),
            ("0x", json!("0x")),
            ("1.2.3", json!("1.2.3")),
            ("24h", json!("24h")),
        ] {
            assert_eq!(value(&format!("a: {text}\n")), json!({ "a": expected }), "{text}");
        }
    }

    #[test]
    fn aliases_and_merge_keys_are_resolved() {
        let text = "a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\nc: {<<: [{x: 0}, *a]}\nd: *a\ne: {'<<': 1}\n";
        let found = value(text);
        assert_eq!(found["b"], json!({ "x": 1, "y": 3 }));
        assert_eq!(found["c"], json!({ "x": 0, "y": 2 }));
        assert_eq!((&found["d"], &found["e"]), (&json!({ "x": 1, "y": 2 }), &json!({ "<<": 1 })));
        assert!(failure("x.yaml", "a: {<<: 1}").contains("neither an object nor a list of objects"));
        assert!(failure("x.yaml", "a: &a [*a]").starts_with("x.yaml:1:"));
        assert!(failure("x.yaml", "a: *b").starts_with("x.yaml:1:"));
    }

    #[test]
    fn faults_have_their_positions() {
        for (path, text, expected) in [
            ("x.yaml", "a: 1\nb:\n  c: 1\n  c: 2\n", "x.yaml:4:3: not valid YAML: duplicate member \"c\""),
            ("x.yaml", "a: 1\n---\n\nb: 1\n'b': 2\n", "x.yaml:5:1: not valid YAML: duplicate member \"b\""),
            ("x.yaml", "{a: 1, a: 2}", "x.yaml:1:8: not valid"),
            ("x.json", "{\"a\": 1,\n\"a\": 2}", "x.json:2:1: not valid JSON: duplicate member \"a\""),
            ("x.json", "{\"a\": 1 \"b\": 2}", "x.json:1:"),
            ("x.json", "{a: 1}", "x.json:1:2: not valid JSON"),
            ("x.yaml", "? [a]\n: 1\n", "x.yaml:1:3: not valid YAML: the name of a member is not a scalar"),
        ] {
            let found = failure(path, text);
            assert!(found.starts_with(expected), "{text:?}: {found}");
        }
    }

    #[test]
    fn a_file_of_json_has_one_document_and_yaml_has_several() {
        let all = documents("\u{feff}a: 1\n---\n---\nb: [x,\n  y]\n...\n---\n{c: 1}\n");
        let values: Vec<&Value> = all.iter().map(|document| &document.value).collect();
        assert_eq!(values, [&json!({ "a": 1 }), &json!({ "b": ["x", "y"] }), &json!({ "c": 1 })]);
        let line = |index: usize, path: &str| all[index].positions.find(path).map(|found| (found.line, found.column));
        assert_eq!(line(1, "$.b[1]"), Some((5, 3)));
        assert_eq!(line(2, "$.c"), Some((8, 2)));
        assert_eq!(documents("{\"a\": 1}\n---\n{\"b\": 2}\n").len(), 2);
        assert_eq!(value("/* a */ // b\n[1, /* c */ \"//\",]\n"), json!([1, "//"]));
    }

    #[test]
    fn strict_json_has_spaces_in_place_of_extensions() {
        for (text, expected) in [
            ("{\"a\": [1,],} // é", Some("{\"a\": [1 ] }      ")),
            ("/* a\nb */[\"/* \\\" */\"]", Some("    \n    [\"/* \\\" */\"]")),
            ("{\"a\": 1, \"a\": 2}", Some("{\"a\": 1, \"a\": 2}")),
            ("{\"a\": 1,, }", None),
            ("{'a': 1}", None),
            ("[1 2]", None),
            ("", None),
            ("{", None),
        ] {
            assert_eq!(Text::of(text).as_strict_json().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn positions_on_a_long_line_are_counted_once() {
        let text = format!("[{}1]", "1,".repeat(200_000));
        let started = std::time::Instant::now();
        let found = positions_of_json(&text).find("$[200000]");
        assert_eq!(found, Some(Position { line: 1, column: 400_002 }));
        assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    }

    #[test]
    fn characters_of_strings_have_their_positions() {
        for (written, content) in [
            ("'it''s {\"a\": 1}'", "it's {\"a\": 1}"),
            ("\"\\u007b\\\"a\\\":\\t1}\"", "{\"a\":\t1}"),
            ("{\"a\": 1}", "{\"a\": 1}"),
        ] {
            let text = format!("k: {written}");
            let at = text.find('a').unwrap();
            let style = match written.as_bytes() {
                [b'\'', ..] => Style::SingleQuoted,
                [b'"', ..] => Style::DoubleQuoted,
                _ => Style::Plain,
            };
            let found = positions_of_characters(&Lines::of(&text), Position { line: 1, column: 4 }, style, content);
            let index = content.chars().position(|character| character == 'a').unwrap();
            assert_eq!(found.unwrap()[index].column, at + 1, "{written}");
        }
    }
}
