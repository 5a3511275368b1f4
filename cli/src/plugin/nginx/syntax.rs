//! The syntax of nginx configuration files: directives with arguments and blocks, split as nginx splits them
//! (`ngx_conf_read_token`).

use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use crate::config_diagnostic::FilePosition;
use crate::plugin::diagnostic::{HostCode, HostDiagnostic};
use crate::positions::{Lines, Origin, Position};

/// nginx has no limit; no configuration comes near this one.
const MAX_DEPTH: usize = 64;

/// A configuration file.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) text: Rc<str>,
}

/// A byte of a configuration file.
#[derive(Clone, Debug)]
pub(super) struct Location {
    source: Rc<Source>,
    offset: usize,
}

impl Location {
    pub(super) fn file(&self) -> &str {
        &self.source.name
    }

    pub(super) fn position(&self) -> Option<Position> {
        Position::of_offset(&self.source.text, self.offset)
    }
}

/// `FILE:LINE`.
impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.position().map_or(0, |position| position.line);
        write!(formatter, "{}:{line}", self.source.name)
    }
}

/// The name or an argument of a directive.
#[derive(Debug)]
pub(super) struct Word {
    /// Without quotes and escapes.
    pub(super) value: String,
    pub(super) location: Location,
    raw: Range<usize>,
}

impl Word {
    fn new(source: &Rc<Source>, raw: Range<usize>) -> Self {
        let written = source.text.get(raw.clone()).unwrap_or_default();
        let value = unescaped(written).into_iter().map(|(_, character)| character).collect();
        Self { value, location: Location { source: Rc::clone(source), offset: raw.start }, raw }
    }

    /// The length between the quotes, with the escapes: this is what nginx limits.
    pub(super) fn written_length(&self) -> usize {
        self.raw.len()
    }

    /// Where the text without quotes and escapes is in the file.
    pub(super) fn origin(&self) -> Origin {
        let file = Rc::clone(&self.location.source.text);
        let written = file.get(self.raw.clone()).unwrap_or_default();
        let offsets: Vec<usize> = unescaped(written)
            .into_iter()
            .flat_map(|(offset, character)| (0..character.len_utf8()).map(move |byte| self.raw.start + offset + byte))
            .collect();
        let text = self.value.clone();
        Origin::new(move |position| {
            let offset = Lines::of(&text).offset(position)?;
            Position::of_offset(&file, *offsets.get(offset)?)
        })
    }
}

/// The characters of a word without its escapes, each with its offset. `\` stays before any other character than these.
fn unescaped(written: &str) -> Vec<(usize, char)> {
    let mut characters = written.char_indices().peekable();
    let mut found = Vec::new();
    while let Some((offset, character)) = characters.next() {
        let escaped = match (character, characters.peek().map(|(_, next)| *next)) {
            ('\\', Some(next @ ('"' | '\'' | '\\'))) => Some(next),
            ('\\', Some('t')) => Some('\t'),
            ('\\', Some('r')) => Some('\r'),
            ('\\', Some('n')) => Some('\n'),
            _ => None,
        };
        found.push((offset, escaped.unwrap_or(character)));
        if escaped.is_some() {
            characters.next();
        }
    }
    found
}

/// A directive, with the directives in its block if it has one.
#[derive(Debug)]
pub(super) struct Directive {
    pub(super) name: Word,
    pub(super) arguments: Vec<Word>,
    pub(super) block: Option<Vec<Directive>>,
}

impl Directive {
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.value == name
    }

    /// The argument with this index, from 0; empty if absent.
    pub(super) fn argument(&self, index: usize) -> &str {
        self.arguments.get(index).map_or("", |word| &word.value)
    }

    pub(super) fn last_argument(&self) -> &str {
        self.arguments.last().map_or("", |word| &word.value)
    }

    pub(super) fn location(&self) -> &Location {
        &self.name.location
    }

    /// A fault or a warning about this directive.
    pub(super) fn diagnostic(&self, code: HostCode, message: &str, fix: String) -> HostDiagnostic {
        HostDiagnostic::of_host(code, &self.name.value, message, fix).with_position(self.file_position())
    }

    pub(super) fn file_position(&self) -> Option<FilePosition> {
        let location = self.location();
        location.position().map(|position| (location.file().to_owned(), position))
    }

    pub(super) fn directives(&self) -> &[Self] {
        self.block.as_deref().unwrap_or_default()
    }
}

/// A place where the text is not a configuration.
#[derive(Debug)]
pub(super) struct SyntaxError {
    location: Location,
    message: String,
}

impl SyntaxError {
    pub(super) fn new(location: Location, message: impl Into<String>) -> Self {
        Self { location, message: message.into() }
    }
}

/// `FILE:LINE:COLUMN: message`.
impl fmt::Display for SyntaxError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.location.position().map_or((0, 0), |found| (found.line, found.column));
        write!(formatter, "{}:{line}:{column}: {}", self.location.file(), self.message)
    }
}

/// Reads a file. `include` is a directive like any other.
pub(super) fn parse(source: &Rc<Source>) -> Result<Vec<Directive>, SyntaxError> {
    Reader { source, bytes: source.text.as_bytes(), at: 0 }.block(None, 0)
}

/// What ends the words of a directive.
enum End {
    Semicolon,
    OpeningBrace,
    ClosingBrace,
    File,
}

struct Reader<'a> {
    source: &'a Rc<Source>,
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn error(&self, offset: usize, message: impl Into<String>) -> SyntaxError {
        // An escape may be the end of the file.
        let offset = offset.min(self.bytes.len());
        SyntaxError::new(Location { source: Rc::clone(self.source), offset }, message)
    }

    fn unexpected(&self, why: &str) -> SyntaxError {
        let character = self.source.text.get(self.at..).and_then(|rest| rest.chars().next()).unwrap_or_default();
        self.error(self.at, format!("unexpected `{character}`: {why}"))
    }

    /// The directives up to the end of the block that `start` opens, or of the file.
    fn block(&mut self, start: Option<usize>, depth: usize) -> Result<Vec<Directive>, SyntaxError> {
        let mut directives = Vec::new();
        loop {
            let (words, end) = self.words()?;
            let mut words = words.into_iter();
            let block = match (end, start) {
                (End::File, None) | (End::ClosingBrace, Some(_)) => return Ok(directives),
                (End::File, Some(start)) => return Err(self.error(start, "no `}` closes this block")),
                (End::ClosingBrace, None) => {
                    self.at -= 1;
                    return Err(self.unexpected("no block is open here"));
                }
                (End::Semicolon, _) => None,
                (End::OpeningBrace, _) => Some(self.at - 1),
            };
            // `words` ends with `;` or `{` only after a word.
            let Some(name) = words.next() else { continue };
            let block = match block {
                None => None,
                Some(start) if name.value.ends_with("_by_lua_block") => {
                    self.skip_lua(start)?;
                    None
                }
                Some(start) if depth == MAX_DEPTH => return Err(self.error(start, "the blocks are nested too deeply")),
                Some(start) => Some(self.block(Some(start), depth + 1)?),
            };
            directives.push(Directive { name, arguments: words.collect(), block });
        }
    }

    /// The words up to `;`, `{`, `}` or the end of the file.
    fn words(&mut self) -> Result<(Vec<Word>, End), SyntaxError> {
        let mut words = Vec::new();
        loop {
            match (self.peek(), words.is_empty()) {
                (None, true) => return Ok((words, End::File)),
                (None, false) => return Err(self.error(self.at, "the file ends here: expected `;` or `{`")),
                (Some(b' ' | b'\t' | b'\r' | b'\n'), _) => self.at += 1,
                (Some(b'#'), _) => self.skip_line(),
                (Some(b';' | b'{'), true) => return Err(self.unexpected("expected a directive")),
                (Some(b'}'), false) => return Err(self.unexpected("expected `;` after the directive before it")),
                (Some(b';'), false) => return Ok((words, self.end(End::Semicolon))),
                (Some(b'{'), false) => return Ok((words, self.end(End::OpeningBrace))),
                (Some(b'}'), true) => return Ok((words, self.end(End::ClosingBrace))),
                (Some(quote @ (b'"' | b'\'')), _) => words.push(self.quoted(quote)?),
                (Some(_), _) => words.push(self.unquoted()),
            }
        }
    }

    fn end(&mut self, end: End) -> End {
        self.at += 1;
        end
    }

    fn skip_line(&mut self) {
        while self.peek().is_some_and(|byte| byte != b'\n') {
            self.at += 1;
        }
    }

    fn quoted(&mut self, quote: u8) -> Result<Word, SyntaxError> {
        let opened = self.at;
        self.at += 1;
        while let Some(byte) = self.peek() {
            if byte == quote {
                let word = Word::new(self.source, opened + 1..self.at);
                self.at += 1;
                return match self.peek() {
                    None | Some(b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{' | b')') => Ok(word),
                    Some(_) => Err(self.unexpected("expected a space or `;` after the closing quote")),
                };
            }
            self.at += if byte == b'\\' { 2 } else { 1 };
        }
        Err(self.error(opened, "no quote closes this text"))
    }

    fn unquoted(&mut self) -> Word {
        let start = self.at;
        // `{` after `$` is a part of a variable: `${name}`.
        let mut is_variable = false;
        while let Some(byte) = self.peek() {
            match byte {
                b'{' if is_variable => self.at += 1,
                b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{' => break,
                b'\\' => {
                    self.at += 2;
                    is_variable = false;
                }
                _ => {
                    self.at += 1;
                    is_variable = byte == b'$';
                }
            }
        }
        self.at = self.at.min(self.bytes.len());
        Word::new(self.source, start..self.at)
    }

    /// Skips Lua up to the `}` that closes the block. Braces in strings and comments do not count.
    fn skip_lua(&mut self, start: usize) -> Result<(), SyntaxError> {
        let mut depth = 1;
        while let Some(byte) = self.peek() {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            match byte {
                b'"' | b'\'' => {
                    self.at += 1;
                    while let Some(inner) = self.peek().filter(|inner| *inner != byte && *inner != b'\n') {
                        self.at += if inner == b'\\' { 2 } else { 1 };
                    }
                    self.at += 1;
                }
                b'-' if rest.starts_with(b"--") => {
                    self.at += 2;
                    if !self.skip_long_bracket() {
                        self.skip_line();
                    }
                }
                b'[' => {
                    if !self.skip_long_bracket() {
                        self.at += 1;
                    }
                }
                b'{' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' => {
                    depth -= 1;
                    self.at += 1;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                _ => self.at += 1,
            }
        }
        Err(self.error(start, "no `}` closes this block"))
    }

    /// Skips `[[ … ]]` or `[=[ … ]=]`, if one begins here.
    fn skip_long_bracket(&mut self) -> bool {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(inner) = rest.strip_prefix(b"[") else { return false };
        let level = inner.iter().take_while(|byte| **byte == b'=').count();
        if inner.get(level) != Some(&b'[') {
            return false;
        }
        let closing = [&b"]"[..], &vec![b'='; level], b"]"].concat();
        let length = rest.windows(closing.len()).position(|window| window == closing);
        self.at += length.map_or(rest.len(), |length| length + closing.len());
        true
    }
}

#[cfg(test)]
#[path = "syntax_tests.rs"]
mod tests;
