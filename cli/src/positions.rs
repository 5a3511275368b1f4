//! Lines and columns of the values in a document, by their paths.

use std::cell::Cell;
use std::collections::BTreeMap;

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
        Lines::of(text).position(offset)
    }
}

/// The lines of a text, to convert offsets to positions.
#[derive(Debug)]
pub struct Lines<'a> {
    text: &'a str,
    /// The byte offset of each line.
    starts: Vec<usize>,
    /// The last position with its byte offset: offsets that are asked for in order are counted once, also on a long line.
    last: Cell<(usize, Position)>,
}

impl<'a> Lines<'a> {
    pub fn of(text: &'a str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let first = (0, Position { line: 1, column: 1 });
        Self { text, starts: std::iter::once(0).chain(breaks).collect(), last: Cell::new(first) }
    }

    /// The position of a byte offset.
    pub fn position(&self, offset: usize) -> Option<Position> {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = *self.starts.get(line.checked_sub(1)?)?;
        let (known, last) = self.last.get();
        let (from, column) = if last.line == line && known <= offset { (known, last.column) } else { (start, 1) };
        let column = column + self.text.get(from..offset)?.chars().count();
        let position = Position { line, column };
        self.last.set((offset, position));
        Some(position)
    }

    /// The byte offset of a position.
    pub fn offset(&self, position: Position) -> Option<usize> {
        let start = *self.starts.get(position.line.checked_sub(1)?)?;
        let rest = self.text.get(start..)?;
        let before = position.column.checked_sub(1)?;
        rest.char_indices().map(|(at, _)| at).chain([rest.len()]).nth(before).map(|at| start + at)
    }

    /// The number of characters of each line, with its line break.
    pub fn lengths(&self) -> Vec<usize> {
        self.text.split_inclusive('\n').map(|line| line.chars().count()).collect()
    }

    /// The text of a line, from 1, without its line break.
    pub fn line(&self, number: usize) -> Option<&'a str> {
        let start = *self.starts.get(number.checked_sub(1)?)?;
        let end = self.starts.get(number).copied().unwrap_or(self.text.len());
        self.text.get(start..end).map(|line| line.trim_end_matches(['\n', '\r']))
    }
}

/// Where the text that the filter receives is in its file: converts positions in the text to those in the file.
pub struct Origin(Box<dyn Fn(Position) -> Option<Position>>);

impl Origin {
    pub fn new(convert: impl Fn(Position) -> Option<Position> + 'static) -> Self {
        Self(Box::new(convert))
    }

    /// The file is the text.
    pub fn whole() -> Self {
        Self::new(Some)
    }

    /// The host makes the text of an object.
    pub fn unknown() -> Self {
        Self::new(|_| None)
    }

    pub fn position(&self, in_text: Position) -> Option<Position> {
        (self.0)(in_text)
    }
}

/// The positions of a document's values. A member has the position of its name.
#[derive(Clone, Debug, Default)]
pub struct Positions {
    by_path: BTreeMap<String, Position>,
}

impl Positions {
    /// The first position of a path is kept.
    pub fn insert(&mut self, path: &str, position: Position) {
        self.by_path.entry(path.to_owned()).or_insert(position);
    }

    /// The position of the path, or of its closest existing parent: a missing member has none.
    pub fn find(&self, path: &str) -> Option<Position> {
        let mut path = path;
        loop {
            if let Some(position) = self.by_path.get(path) {
                return Some(*position);
            }
            path = path.get(..path.rfind(['.', '['])?)?;
        }
    }

    /// The positions of the value at `path`, with paths from there. A missing value has the position of its parent.
    pub fn below(&self, path: &str) -> Self {
        let rest = |(whole, position): (&String, &Position)| {
            let rest = whole.strip_prefix(path)?;
            (rest.is_empty() || rest.starts_with(['.', '['])).then(|| (format!("${rest}"), *position))
        };
        let mut below = Self { by_path: self.by_path.iter().filter_map(rest).collect() };
        if let Some(position) = self.find(path) {
            below.insert("$", position);
        }
        below
    }

    /// The positions of a document that is the value at `path`.
    pub fn under(&self, path: &str) -> Self {
        let moved = |(whole, position): (&String, &Position)| (whole.replacen('$', path, 1), *position);
        Self { by_path: self.by_path.iter().map(moved).collect() }
    }

    /// Changes each position; those without a new one are removed.
    pub fn map(self, convert: impl Fn(Position) -> Option<Position>) -> Self {
        let converted = self.by_path.into_iter().filter_map(|(path, at)| Some((path, convert(at)?)));
        Self { by_path: converted.collect() }
    }

    /// With one spelling for `http_filters` and `httpFilters`, both of which proto3 JSON accepts.
    pub fn folded(&self) -> FoldedPositions {
        let folded = self.by_path.iter().map(|(path, position)| (folded(path), *position));
        FoldedPositions(Self { by_path: folded.collect() })
    }
}

/// Positions by paths in snake case or camel case.
#[derive(Clone, Debug, Default)]
pub struct FoldedPositions(Positions);

impl FoldedPositions {
    pub fn find(&self, path: &str) -> Option<Position> {
        self.0.find(&folded(path))
    }
}

fn folded(path: &str) -> String {
    path.chars().filter(|character| *character != '_').map(|character| character.to_ascii_lowercase()).collect()
}

/// The path of a member of the value at `at`.
pub fn member_path(at: &str, name: &str) -> String {
    let relative = Path::root().member(name);
    format!("{at}{}", relative.as_str().trim_start_matches('$'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_and_positions_convert_into_each_other() {
        let text = "a\né\"x\r\n\nz";
        let lines = Lines::of(text);
        for (offset, line, column) in [(0, 1, 1), (1, 1, 2), (2, 2, 1), (4, 2, 2), (8, 3, 1), (9, 4, 1), (10, 4, 2)] {
            assert_eq!(lines.position(offset), Some(Position { line, column }), "{offset}");
            assert_eq!(lines.offset(Position { line, column }), Some(offset), "{line}:{column}");
        }
        assert_eq!((lines.line(2), lines.line(4), lines.line(5)), (Some("é\"x"), Some("z"), None));
        // Out of order.
        assert_eq!(lines.position(1), Some(Position { line: 1, column: 2 }));
        // In the middle of a character, and after the text.
        assert_eq!((lines.position(3), lines.position(11)), (None, None));
    }

    #[test]
    fn a_missing_path_has_the_position_of_its_parent() {
        let mut positions = Positions::default();
        for (path, line) in [("$", 1), ("$.a_b", 2), ("$.a_b[0]", 3), ("$.a_b[0][\"x.y\"]", 4), ("$.a_bc", 5)] {
            positions.insert(path, Position { line, column: 1 });
        }
        let line = |path: &str| positions.find(path).map(|position| position.line);
        assert_eq!(line("$.a_b[0][\"x.y\"]"), Some(4));
        assert_eq!(line("$.a_b[0][\"x.z\"]"), Some(3));
        assert_eq!(line("$.missing.further"), Some(1));
        let below = positions.below("$.a_b");
        assert_eq!(below.find("$[0]").map(|position| position.line), Some(3));
        assert_eq!(positions.folded().find("$.aB[0]").map(|position| position.line), Some(3));
    }
}
