//! A checked expression: every name resolved, every pattern and range of addresses compiled.

use super::calendar::TimePart;
use super::facts::Fact;
use super::network::Network;
use super::syntax::Operator;
use super::value::{Text, Value};

/// One node. The depth is bounded by that of the syntax.
pub(super) enum Node {
    Constant(Constant),
    Fact(Fact),
    HasFact(Fact),
    Claims,
    Headers,
    Header(String),
    HasHeader(String),
    /// A macro's variable, by how many macros are around its own.
    Variable(usize),
    Member(Box<Node>, String),
    HasMember(Box<Node>, String),
    Index(Box<(Node, Node)>),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    Not(Box<Node>),
    Negate(Box<Node>),
    Binary(Operator, Box<(Node, Node)>),
    Both(Vec<Node>),
    Either(Vec<Node>),
    If(Box<(Node, Node, Node)>),
    IsNull(Box<Node>),
    IsOneOf(Box<Node>, Vec<Constant>),
    /// A value that is compared with a path: an error where it would have an escape there.
    WithoutEscapes(Box<Node>),
    Matches(Box<Node>, Pattern),
    IsInNetworks(Box<Node>, Vec<Network>),
    /// Ranges that only the request tells.
    IsInListed(Box<(Node, Node)>),
    /// Where clocks are ahead of UTC by so many milliseconds.
    TimePart(TimePart, Box<Node>, i64),
    Call(Function, Vec<Node>),
    Each(Box<Each>),
}

/// A value that stands in the expression.
#[derive(Clone)]
pub(super) enum Constant {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    Time(i64),
    Span(i64),
}

impl Constant {
    pub(super) fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(number) => Value::Int(*number),
            Self::Double(number) => Value::Double(*number),
            Self::Text(text) => Value::Text(Text::Borrowed(text)),
            Self::Time(millis) => Value::Time(*millis),
            Self::Span(millis) => Value::Span(*millis),
        }
    }
}

/// A regular expression and what a byte of text costs with it.
pub(super) struct Pattern {
    pub(super) regex: regex_lite::Regex,
    pub(super) weight: usize,
}

impl Pattern {
    /// What a search in a text of that length costs: the states that each byte may lead to, and the byte itself.
    pub(super) fn cost(&self, length: usize) -> usize {
        (length.saturating_mul(self.weight.saturating_add(4)) / 2).saturating_add(16)
    }
}

/// A function whose operands are values and nothing else. As many of them as `arity` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    StartsWith,
    EndsWith,
    Contains,
    LowerAscii,
    PathSegment,
    Int,
    Double,
    String,
    Timestamp,
    Duration,
}

/// A macro over the items of a list or the keys of a map.
pub(super) struct Each {
    pub(super) quantifier: Quantifier,
    pub(super) range: Node,
    /// Which items of `map` are taken, if not all.
    pub(super) only: Option<Node>,
    pub(super) body: Node,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantifier {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}
