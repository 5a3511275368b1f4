//! Maps JSON paths of faults to lines and columns.

use std::collections::BTreeMap;
use std::rc::Rc;

use okta_proxy_wasm::config::Path;

/// A line and a column, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl Position {
    /// The position of a byte offset.
    pub fn of_offset(text: &str, offset: usize) -> Option<Self> {
        let before = text.get(..offset)?;
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next()?.chars().count() + 1;
        Some(Self { line, column })
    }
}

/// The position of a document in its file.
#[derive(Clone, Debug)]
pub enum Origin {
    /// The document is a block: the number of lines before it, and its indentation; `None` if unknown.
    Block(Option<(usize, usize)>),
    /// The document has escapes in the file: the file's text, and the offset there of each byte of the document.
    Escaped { file: Rc<str>, offsets: Vec<usize> },
}

impl Origin {
    /// The file is the document.
    pub const fn whole() -> Self {
        Self::Block(Some((0, 0)))
    }

    /// The document is a block of the file with uniform indentation. The first of several equal blocks is used.
    pub fn of_block(file: &str, block: &str) -> Self {
        let file: Vec<&str> = file.lines().collect();
        let block: Vec<&str> = block.lines().collect();
        let first = block.first().copied().unwrap_or_default();
        let indents = |lines: &[&str], indent: usize| {
            lines.iter().zip(&block).all(|(line, wanted)| {
                wanted.trim().is_empty() && line.trim().is_empty() || line.get(indent..) == Some(*wanted)
            })
        };
        let shift = file.windows(block.len().max(1)).enumerate().find_map(|(before, lines)| {
            let indent = lines.first()?.len().checked_sub(first.len())?;
            indents(lines, indent).then_some((before, indent))
        });
        Self::Block(shift)
    }

    /// The position in the file of a byte of the document.
    fn position(&self, document: &str, offset: usize) -> Option<Position> {
        match self {
            Self::Block(shift) => {
                let (lines, columns) = (*shift)?;
                let Position { line, column } = Position::of_offset(document, offset)?;
                Some(Position { line: line + lines, column: column + columns })
            }
            Self::Escaped { file, offsets } => Position::of_offset(file, *offsets.get(offset)?),
        }
    }
}

/// The byte offsets of a JSON document's values by path.
#[derive(Debug, Default)]
pub struct Positions {
    by_path: BTreeMap<String, usize>,
    text: String,
}

impl Positions {
    /// Reads the document as far as it is valid JSON.
    pub fn of(text: &str) -> Self {
        let mut reader = Reader { text, at: 0, by_path: BTreeMap::new() };
        let _whole_or_up_to_the_fault = reader.value(&Path::root());
        Self { by_path: reader.by_path, text: text.to_owned() }
    }

    /// The position of a byte of the document.
    pub fn at(&self, offset: usize, origin: &Origin) -> Option<Position> {
        origin.position(&self.text, offset)
    }

    /// The position of the path, or of its closest existing parent: a missing member has none.
    pub fn find(&self, path: &str, origin: &Origin) -> Option<Position> {
        let mut path = path;
        loop {
            if let Some(at) = self.by_path.get(path) {
                return origin.position(&self.text, *at);
            }
            path = path.get(..path.rfind(['.', '['])?)?;
        }
    }
}

/// A JSON reader; its methods return `None` at invalid JSON.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    by_path: BTreeMap<String, usize>,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<u8> {
        let blank = |byte: &u8| byte.is_ascii_whitespace();
        let rest = self.text.as_bytes().get(self.at..)?;
        self.at += rest.iter().take_while(|byte| blank(byte)).count();
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then(|| self.at += 1)
    }

    fn value(&mut self, path: &Path) -> Option<()> {
        let first = self.next()?;
        self.by_path.entry(path.as_str().to_owned()).or_insert(self.at);
        match first {
            b'{' => self.items(b'}', |reader, _| {
                reader.next()?;
                let start = reader.at;
                let name = reader.string()?;
                let path = path.member(&name);
                reader.by_path.entry(path.as_str().to_owned()).or_insert(start);
                reader.take(b':')?;
                reader.value(&path)
            }),
            b'[' => self.items(b']', |reader, index| reader.value(&path.item(index))),
            b'"' => self.string().map(drop),
            _ => {
                let rest = self.text.as_bytes().get(self.at..)?;
                let length = rest.iter().take_while(|byte| !b",]} \t\r\n".contains(byte)).count();
                self.at += length;
                (length > 0).then_some(())
            }
        }
    }

    fn items(&mut self, end: u8, mut item: impl FnMut(&mut Self, usize) -> Option<()>) -> Option<()> {
        self.at += 1;
        let mut index = 0;
        while self.next()? != end {
            if index > 0 {
                self.take(b',')?;
            }
            item(self, index)?;
            index += 1;
        }
        self.take(end)
    }

    fn string(&mut self) -> Option<String> {
        let rest = self.text.get(self.at..)?;
        let mut escaped = false;
        let end = rest.bytes().enumerate().skip(1).find(|(_, byte)| {
            let ends = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            ends
        });
        let quoted = rest.get(..=end?.0)?;
        self.at += quoted.len();
        serde_json::from_str(quoted).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_of_a_missing_path_is_that_of_its_parent() {
        let text = "{\n  \"a\": { \"b.c\": [1,\n    {\"é\\\"\": 2, \"d\": \"x\\\\\"}] }\n}";
        let positions = Positions::of(text);
        let find = |path: &str| positions.find(path, &Origin::whole()).map(|found| (found.line, found.column));
        assert_eq!(find("$"), Some((1, 1)));
        assert_eq!(find("$.a"), Some((2, 3)));
        assert_eq!(find("$.a[\"b.c\"][0]"), Some((2, 18)));
        assert_eq!(find("$.a[\"b.c\"][1].d"), Some((3, 16)));
        assert_eq!(find("$.a[\"b.c\"][1].missing"), Some((3, 5)));
        assert_eq!(find("$.missing.further"), Some((1, 1)));
    }

    #[test]
    fn a_block_is_found_in_its_file() {
        let file = "x: y\nvalue: |\n    {\n\n      \"a\": 1\n    }\n";
        let block = "{\n\n  \"a\": 1\n}\n";
        let found = Positions::of(block).find("$.a", &Origin::of_block(file, block)).unwrap();
        assert_eq!((found.line, found.column), (5, 7));
        assert_eq!(Positions::of(block).find("$.a", &Origin::of_block("x: y", block)), None);
    }
}
