//! What can be wrong with a condition when it is read, and when it is judged.
//!
//! Neither says a word of the expression or of a request: the text of a condition is a value of the operator's
//! document, which is never logged, and the rest is what clients sent.

use std::fmt;

/// Why an expression is no condition, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConditionFault {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub problem: ConditionProblem,
}

/// What is wrong at one place of an expression. The `&'static str`s are hints written in this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionProblem {
    /// More bytes than a condition may have.
    TooLong,
    /// Nested, or chained, too deeply.
    TooDeep,
    /// Not CEL; what was expected.
    Syntax(&'static str),
    /// CEL, but of a kind that is not offered here; what to write instead.
    Unsupported(&'static str),
    /// No variable of that name.
    UnknownName,
    /// No such member of `request`, `source`, `destination`, `connection` or `token`.
    UnknownAttribute,
    /// An attribute under the name that Envoy gives it, whose name here says that it is raw; what to write instead.
    RawAttribute(&'static str),
    /// No function of that name that is called like this.
    UnknownFunction,
    /// Another type than what stands here; what would do.
    WrongType(&'static str),
    /// Operands that can never be equal, because they are of different types.
    NeverEqual,
    /// A constant that the attribute's normal form never has; what the normal form is.
    NotNormal(&'static str),
    /// The whole is not true or false.
    NotBoolean,
    /// A regular expression that cannot be used; why.
    Pattern(&'static str),
    /// A text that is no address and no range.
    Network,
    /// A time zone that is not known here.
    TimeZone,
    /// A header name in a spelling that no request has.
    HeaderName,
    /// A name that is taken already.
    NameTaken,
    /// `exists`, `all`, `map` or `filter` inside one another more often than twice.
    TooNested,
}

impl fmt::Display for ConditionFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} at line {}, column {}", self.problem, self.line, self.column)
    }
}

impl fmt::Display for ConditionProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => formatter.write_str("the condition has more than 4096 bytes"),
            Self::TooDeep => formatter.write_str("nested or chained more than 64 deep"),
            Self::Syntax(expected) => write!(formatter, "not a CEL expression: expected {expected}"),
            Self::Unsupported(hint) => write!(formatter, "not offered here: {hint}"),
            Self::UnknownName => formatter
                .write_str("unknown variable; there are request, source, destination, connection, claims and token"),
            Self::UnknownAttribute => formatter.write_str("unknown attribute"),
            Self::RawAttribute(wanted) => write!(formatter, "unknown attribute; write {wanted}"),
            Self::UnknownFunction => {
                formatter.write_str("unknown function, or called with another number of arguments")
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

/// Why a condition could not be judged for a request. Whoever asked refuses the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionError {
    /// An attribute, header, claim or member that is not there, or an index outside a list.
    Missing,
    /// The token is asked for and there is none.
    NoToken,
    /// A value of another type than the operation needs.
    WrongType,
    /// Bytes of the request that are not UTF-8, or a path segment that is not plain text when decoded.
    NotText,
    /// The path is asked for, and servers may read it differently, or it is compared with a text that would have
    /// escapes in a path.
    PathAmbiguous,
    /// The host is asked for and has no normal form.
    HostMalformed,
    /// The host is asked for, and the condition has another value for the host as written.
    HostAmbiguous,
    /// A header is asked for that is repeated or has a second spelling.
    HeaderAmbiguous,
    /// A number or time outside the range of its type, or a text that is no number.
    OutOfRange,
    /// A division by zero.
    DivisionByZero,
    /// An address, or range of addresses, that is none.
    NotAnAddress,
    /// The whole is neither true nor false.
    NotBoolean,
    /// It takes more steps than a condition may.
    TooCostly,
}

impl ConditionError {
    /// All of them.
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
        Self::TooCostly,
    ];
}

/// A fault by its offset, until the text is at hand that tells the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FaultAt {
    pub(super) offset: usize,
    pub(super) problem: ConditionProblem,
}

impl FaultAt {
    pub(super) fn locate(self, text: &str) -> ConditionFault {
        let before = text.get(..self.offset).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        ConditionFault {
            line: before.matches('\n').count().saturating_add(1),
            column: line.chars().count().saturating_add(1),
            problem: self.problem,
        }
    }
}

pub(super) const fn fault<T>(offset: usize, problem: ConditionProblem) -> Result<T, FaultAt> {
    Err(FaultAt { offset, problem })
}
