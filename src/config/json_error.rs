//! The faults of a document that is not valid JSON.

use std::fmt;

use crate::jose::JsonFault;

/// A position in the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextPosition {
    /// The offset in bytes.
    pub offset: usize,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl TextPosition {
    /// The position of an offset, also in a text that is not UTF-8.
    pub(super) fn of_offset(text: &[u8], offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        Self {
            offset,
            line: before.iter().filter(|byte| **byte == b'\n').count().saturating_add(1),
            column: String::from_utf8_lossy(line).chars().count().saturating_add(1),
        }
    }
}

/// A fault of the JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonError {
    pub cause: JsonCause,
    pub position: TextPosition,
    /// The bracket that is not closed, or the first of two members with one name.
    pub related: Option<TextPosition>,
}

/// What is wrong at one position of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonCause {
    NotUtf8,
    ByteOrderMark,
    Comment,
    /// A character that looks like a space and is none in JSON.
    Blank,
    TrailingComma,
    ExtraComma,
    MissingComma,
    MissingColon,
    MissingValue,
    MissingName,
    UnquotedName,
    UnquotedString,
    SmartQuote,
    SingleQuote,
    UnclosedString,
    /// A quotation mark inside a string that ends it.
    UnescapedQuote,
    ControlCharacter,
    InvalidEscape,
    /// A constant of another language; with the one of JSON.
    Constant(&'static str),
    NotFinite,
    InvalidNumber,
    NumberOutOfRange,
    UnclosedObject,
    UnclosedArray,
    UnopenedBracket,
    SecondDocument,
    TextBehind,
    Unexpected,
    DuplicateMember,
    TooDeep,
    TooManyMembers,
}

impl JsonCause {
    const fn summary(self) -> &'static str {
        if matches!(self, Self::DuplicateMember) {
            "duplicate member"
        } else if matches!(self, Self::TooDeep) {
            "nested too deeply"
        } else if matches!(self, Self::TooManyMembers) {
            "too many members in one object"
        } else {
            "not valid JSON"
        }
    }

    const fn hint(self) -> &'static str {
        match self {
            Self::NotUtf8 => "not UTF-8; save the file in that encoding",
            Self::ByteOrderMark => "a byte-order mark; save the file as UTF-8 without it",
            Self::Comment => "a comment, which JSON does not have; remove it",
            Self::Blank => "an invisible character, or a space of another kind; replace it by a plain space",
            Self::TrailingComma => "a trailing comma; remove it",
            Self::ExtraComma => "a comma without a value before it; remove it",
            Self::MissingComma => "missing comma",
            Self::MissingColon => "missing colon after the name",
            Self::MissingValue => "missing value",
            Self::MissingName => "expected the name of a member in double quotes",
            Self::UnquotedName => "a name without quotes; write it in double quotes",
            Self::UnquotedString => "a value without quotes; write it in double quotes",
            Self::SmartQuote => "a typographic quotation mark; write a plain \" in its place",
            Self::SingleQuote => "a single quote; strings and names are written in double quotes",
            Self::UnclosedString => "this string has no closing quote on its line",
            Self::UnescapedQuote => {
                "this quote ends the string; write a quote inside a string as \\\", or add the missing one"
            }
            Self::ControlCharacter => "a control character in a string; write it as an escape, such as \\t for a tab",
            Self::InvalidEscape => "an invalid escape; write a backslash as \\\\",
            Self::Constant(constant) => match constant.as_bytes() {
                b"true" => "this constant is written true",
                b"false" => "this constant is written false",
                _ => "this constant is written null",
            },
            Self::NotFinite => "JSON has neither NaN nor infinity; write a number",
            Self::InvalidNumber => "not a number; write it in decimal digits without leading zeros",
            Self::NumberOutOfRange => "a number out of range",
            Self::UnclosedObject => "missing }",
            Self::UnclosedArray => "missing ]",
            Self::UnopenedBracket => "this bracket closes nothing; remove it, or add the one that opens it",
            Self::SecondDocument => "a second document behind the first; write one object",
            Self::TextBehind => "text behind the end of the document; remove it",
            Self::Unexpected => "unexpected character",
            Self::DuplicateMember => "remove one of the two",
            Self::TooDeep => "at most 64 levels",
            Self::TooManyMembers => "at most 4096",
        }
    }
}

impl JsonError {
    /// The fault as the parser tells it, with nothing but the position.
    pub(super) const fn of_parser(fault: JsonFault) -> Self {
        let (line, column) = if let JsonFault::Syntax { line, column } = fault { (line, column) } else { (1, 1) };
        Self { cause: JsonCause::Unexpected, position: TextPosition { offset: 0, line, column }, related: None }
    }

    /// Writes the fault. A position is left out where the caller shows it, and the related one is then of the caller's.
    pub(super) fn write(
        &self,
        formatter: &mut impl fmt::Write,
        position: Option<(usize, usize)>,
        related: Option<(usize, usize)>,
    ) -> fmt::Result {
        formatter.write_str(self.cause.summary())?;
        if let Some((line, column)) = position {
            write!(formatter, " at line {line}, column {column}")?;
        }
        write!(formatter, ": {}", self.cause.hint())?;
        let Some((line, column)) = related else { return Ok(()) };
        if self.cause == JsonCause::DuplicateMember {
            write!(formatter, "; the first one is at line {line}, column {column}")
        } else {
            write!(formatter, "; the bracket at line {line}, column {column} is not closed")
        }
    }
}
