//! Errors of compilation and of evaluation.
//!
//! Neither is printed with a part of the expression or of a request: the source is a value of the operator's document,
//! which is never logged, and the rest is client input. Only the command-line tool shows an [`Excerpt`].

use std::fmt;

#[cfg(not(target_family = "wasm"))]
use super::excerpt::Excerpt;
#[cfg(not(target_family = "wasm"))]
use crate::redacted::Redacted;

/// A compile error and its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    pub kind: CompileErrorKind,
    /// The part of the expression that it is about.
    #[cfg(not(target_family = "wasm"))]
    pub excerpt: Redacted<Excerpt>,
}

/// What is wrong at one position of an expression. The `&'static str`s are hints written in this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompileErrorKind {
    /// The source is too long.
    TooLong,
    /// The expression is nested or chained too deeply.
    TooDeep,
    /// Not CEL; with what was expected.
    Syntax(&'static str),
    /// CEL that is not supported; with what to write instead.
    Unsupported(&'static str),
    /// With the name that may be meant.
    UnknownName(Option<&'static str>),
    /// Undefined field of `request`, `source`, `destination`, `connection` or `token`; with what may be meant.
    UnknownAttribute(Option<&'static str>),
    /// Envoy's name of an attribute that is named `raw_…` here; with what to write instead.
    RawAttribute(&'static str),
    /// No function has this name and number of arguments; with the call that may be meant.
    UnknownFunction(Option<&'static str>),
    /// No overload takes this type; with the types that fit.
    WrongType(&'static str),
    /// Operands of different types, which are never equal.
    NeverEqual,
    /// A literal that the attribute's normal form never has; with the normal form.
    NotNormal(&'static str),
    /// The result is not a boolean.
    NotBoolean,
    /// An unusable regular expression; with the reason.
    Pattern(&'static str),
    /// A string that is neither an address nor a range.
    Network,
    TimeZone,
    /// A spelling that no header name of a request has.
    HeaderName,
    /// A variable that shadows another one.
    NameTaken,
    /// More than two nested comprehensions.
    TooNested,
}

impl fmt::Display for CompileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} at line {}, column {}", self.kind, self.line, self.column)
    }
}

#[cfg(not(target_family = "wasm"))]
impl CompileError {
    /// The message for the tool: with the unknown name, and the line of the expression with carets in place of its position.
    pub fn message_with_excerpt(&self) -> String {
        let excerpt = self.excerpt.reveal();
        let name = excerpt.name();
        let mut message = self.kind.to_string();
        let unknown = ["unknown variable", "unknown attribute", "unknown function"];
        if let Some(unknown) = unknown.into_iter().find(|unknown| message.starts_with(unknown) && !name.is_empty()) {
            message.insert_str(unknown.len(), &format!(" `{name}`"));
        }
        excerpt.to_string().lines().fold(message, |message, line| message + "\n    " + line)
    }
}

impl fmt::Display for CompileErrorKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => formatter.write_str("the condition has more than 4096 bytes"),
            Self::TooDeep => formatter.write_str("nested or chained more than 64 deep"),
            Self::Syntax(expected) => write!(formatter, "not a CEL expression: expected {expected}"),
            Self::Unsupported(hint) => write!(formatter, "not offered here: {hint}"),
            Self::UnknownName(None) => formatter
                .write_str("unknown variable; there are request, source, destination, connection, claims and token"),
            Self::UnknownName(Some(near)) => write!(formatter, "unknown variable; did you mean {near}?"),
            Self::UnknownAttribute(None) => formatter.write_str("unknown attribute"),
            Self::UnknownAttribute(Some(near)) => write!(formatter, "unknown attribute; did you mean {near}?"),
            Self::RawAttribute(wanted) => write!(formatter, "unknown attribute; write {wanted}"),
            Self::UnknownFunction(None) => {
                formatter.write_str("unknown function, or called with another number of arguments")
            }
            Self::UnknownFunction(Some(call)) => {
                write!(formatter, "unknown function, or called in another way; write {call}")
            }
            Self::WrongType(wanted) => write!(formatter, "wrong type: expected {wanted}"),
            Self::NeverEqual => formatter.write_str("compares different types, which are never equal"),
            Self::NotNormal(wanted) => write!(formatter, "never true of the attribute's normal form: {wanted}"),
            Self::NotBoolean => formatter.write_str("the condition is neither true nor false"),
            Self::Pattern(hint) => write!(formatter, "unusable regular expression: {hint}"),
            Self::Network => {
                formatter.write_str("neither an IP address nor a range such as 10.0.0.0/8 without host bits")
            }
            Self::TimeZone => formatter.write_str("unknown time zone; write UTC or an offset such as '+02:00'"),
            Self::HeaderName => formatter.write_str("header names are written in lower case, and without a colon"),
            Self::NameTaken => formatter.write_str("this name is taken; choose another for the variable"),
            Self::TooNested => formatter.write_str("more than two of exists, all, map and filter inside one another"),
        }
    }
}

/// Why an evaluation has no result. The caller rejects the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EvaluationError {
    /// A missing attribute, header, claim or field, or an index out of range.
    Missing,
    /// The request has no token.
    NoToken,
    /// No overload takes a value of this type.
    WrongType,
    /// Bytes of the request that are not UTF-8, or a path segment with control characters or separators when decoded.
    NotText,
    /// The path is used, and servers may read it differently, or it is compared with a string that would have escapes in
    /// a path.
    PathAmbiguous,
    /// The host is used and has no normal form.
    HostMalformed,
    /// The host is used, and the result differs for the host as written.
    HostAmbiguous,
    /// A header is used that is repeated or has a second spelling.
    HeaderAmbiguous,
    /// A number or time out of the range of its type, or a string that is not a number.
    OutOfRange,
    DivisionByZero,
    /// A string that is not an address, or not a range.
    NotAnAddress,
    /// The result is not a boolean.
    NotBoolean,
    /// The cost limit is exceeded.
    CostLimitExceeded,
}

impl EvaluationError {
    pub const ALL: [Self; 13] = [
        Self::Missing,
        Self::NoToken,
        Self::WrongType,
        Self::NotText,
        Self::PathAmbiguous,
        Self::HostMalformed,
        Self::HostAmbiguous,
        Self::HeaderAmbiguous,
        Self::OutOfRange,
        Self::DivisionByZero,
        Self::NotAnAddress,
        Self::NotBoolean,
        Self::CostLimitExceeded,
    ];
}

/// A compile error by its offset, until the source is at hand that tells the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ErrorAt {
    pub(super) offset: usize,
    pub(super) kind: CompileErrorKind,
}

impl ErrorAt {
    pub(super) fn locate(self, source: &str) -> CompileError {
        let before = source.get(..self.offset).unwrap_or(source);
        let line = before.rsplit('\n').next().unwrap_or_default();
        CompileError {
            line: before.matches('\n').count().saturating_add(1),
            column: line.chars().count().saturating_add(1),
            kind: self.kind,
            #[cfg(not(target_family = "wasm"))]
            excerpt: Redacted::new(Excerpt::at(source, self.offset)),
        }
    }
}

pub(super) const fn error_at<T>(offset: usize, kind: CompileErrorKind) -> Result<T, ErrorAt> {
    Err(ErrorAt { offset, kind })
}
