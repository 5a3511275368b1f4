//! The nodes of a checked expression: every name is resolved, every pattern and address range compiled.

use super::activation::Field;
use super::network::Network;
use super::parser::Operator;
use super::timestamp::TimePart;
use super::value::{StringValue, Value};

/// One node. The depth is bounded by that of the syntax.
pub(super) enum Node {
    Constant(Constant),
    Field(Field),
    HasField(Field),
    Claims,
    Headers,
    Header(String),
    HasHeader(String),
    /// A comprehension's variable, by the number of comprehensions around its own.
    Variable(usize),
    Select(Box<Node>, String),
    Has(Box<Node>, String),
    Index(Box<(Node, Node)>),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    Not(Box<Node>),
    Negate(Box<Node>),
    Binary(Operator, Box<(Node, Node)>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Conditional(Box<(Node, Node, Node)>),
    IsNull(Box<Node>),
    IsOneOf(Box<Node>, Vec<Constant>),
    /// A value that is compared with a path: an error where it would have an escape there.
    WithoutEscapes(Box<Node>),
    Matches(Box<Node>, Pattern),
    IsInNetworks(Box<Node>, Vec<Network>),
    /// Ranges that are known at evaluation only.
    IsInComputedNetworks(Box<(Node, Node)>),
    /// With the offset from UTC in milliseconds.
    TimePart(TimePart, Box<Node>, i64),
    Call(Function, Vec<Node>),
    Comprehension(Box<Comprehension>),
}

impl Node {
    /// The nodes that it is computed from.
    pub(super) fn operands(&self) -> Vec<&Self> {
        match self {
            Self::Constant(_)
            | Self::Field(_)
            | Self::HasField(_)
            | Self::Claims
            | Self::Headers
            | Self::Header(_)
            | Self::HasHeader(_)
            | Self::Variable(_) => Vec::new(),
            Self::Select(operand, _)
            | Self::Has(operand, _)
            | Self::Not(operand)
            | Self::Negate(operand)
            | Self::IsNull(operand)
            | Self::IsOneOf(operand, _)
            | Self::WithoutEscapes(operand)
            | Self::Matches(operand, _)
            | Self::IsInNetworks(operand, _)
            | Self::TimePart(_, operand, _) => vec![operand],
            Self::Index(operands) | Self::Binary(_, operands) | Self::IsInComputedNetworks(operands) => {
                vec![&operands.0, &operands.1]
            }
            Self::List(operands) | Self::And(operands) | Self::Or(operands) | Self::Call(_, operands) => {
                operands.iter().collect()
            }
            Self::Map(entries) => entries.iter().flat_map(|(key, value)| [key, value]).collect(),
            Self::Conditional(parts) => vec![&parts.0, &parts.1, &parts.2],
            Self::Comprehension(comprehension) => {
                let Comprehension { range, filter, step, .. } = &**comprehension;
                filter.iter().chain([range, step]).collect()
            }
        }
    }
}

#[derive(Clone)]
pub(super) enum Constant {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    String(String),
    Timestamp(i64),
    Duration(i64),
}

impl Constant {
    pub(super) fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(number) => Value::Int(*number),
            Self::Double(number) => Value::Double(*number),
            Self::String(text) => Value::String(StringValue::Borrowed(text)),
            Self::Timestamp(millis) => Value::Timestamp(*millis),
            Self::Duration(millis) => Value::Duration(*millis),
        }
    }
}

/// A regular expression and its cost for each byte.
pub(super) struct Pattern {
    pub(super) regex: regex_lite::Regex,
    pub(super) weight: usize,
}

impl Pattern {
    /// The cost of a search in so many bytes: the states that each byte may lead to, and the byte itself.
    pub(super) fn cost(&self, length: usize) -> usize {
        (length.saturating_mul(self.weight.saturating_add(4)) / 2).saturating_add(16)
    }
}

/// A function of values alone.
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

/// A macro over the elements of a list or the keys of a map.
pub(super) struct Comprehension {
    pub(super) kind: Macro,
    pub(super) range: Node,
    /// The filter of a `map` with three arguments.
    pub(super) filter: Option<Node>,
    pub(super) step: Node,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Macro {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}

impl Macro {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "all" => Some(Self::All),
            "exists" => Some(Self::Exists),
            "exists_one" | "existsOne" => Some(Self::ExistsOne),
            "filter" => Some(Self::Filter),
            "map" => Some(Self::Map),
            _ => None,
        }
    }
}
