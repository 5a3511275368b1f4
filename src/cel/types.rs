//! The types of expressions, as far as the source determines them.

use super::activation::Field;
use super::attribute::AttributeType;
use super::parser::Operator;
use super::program::Constant;

/// The inferred type of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// Known at evaluation only: a claim, or a value computed from one.
    Dyn,
    Null,
    Bool,
    Int,
    Double,
    String,
    /// A string: a path, with escapes.
    Path,
    List,
    Map,
    Timestamp,
    Duration,
}

impl Type {
    pub(super) fn may_be(self, wanted: &[Self]) -> bool {
        self == Self::Dyn || wanted.contains(&self.unescaped())
    }

    const fn unescaped(self) -> Self {
        if matches!(self, Self::Path) { Self::String } else { self }
    }

    /// Whether two values may be equal.
    pub(super) fn is_alike(self, other: Self) -> bool {
        let either_is_dyn = self == Self::Dyn || other == Self::Dyn;
        either_is_dyn || self.unescaped() == other.unescaped() || (self.is_number() && other.is_number())
    }

    const fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Double)
    }
}

pub(super) const fn type_of_constant(constant: &Constant) -> Type {
    match constant {
        Constant::Null => Type::Null,
        Constant::Bool(_) => Type::Bool,
        Constant::Int(_) => Type::Int,
        Constant::Double(_) => Type::Double,
        Constant::String(_) => Type::String,
        Constant::Timestamp(_) => Type::Timestamp,
        Constant::Duration(_) => Type::Duration,
    }
}

pub(super) const fn type_of(field: Field) -> Type {
    match field {
        Field::Time => Type::Timestamp,
        Field::Scopes => Type::List,
        Field::Attribute(attribute) => match attribute.ty() {
            AttributeType::String | AttributeType::Address | AttributeType::ServerName => Type::String,
            AttributeType::Int => Type::Int,
            AttributeType::Bool => Type::Bool,
        },
        Field::UrlPath => Type::Path,
        Field::RawPath
        | Field::RawQuery
        | Field::Host
        | Field::RawHost
        | Field::Scheme
        | Field::Method
        | Field::Referer
        | Field::UserAgent
        | Field::Id
        | Field::Issuer
        | Field::Subject
        | Field::Client
        | Field::Provider => Type::String,
    }
}

/// What an operator gives; `None` when its operands do not go together, whatever their values.
pub(super) fn result_type(operator: Operator, left: Type, right: Type) -> Option<Type> {
    let are_alike = left.is_alike(right);
    match operator {
        Operator::Equal | Operator::NotEqual => are_alike.then_some(Type::Bool),
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
            let has_order = |ty: Type| {
                ty.may_be(&[Type::Bool, Type::Int, Type::Double, Type::String, Type::Timestamp, Type::Duration])
            };
            (are_alike && has_order(left) && has_order(right)).then_some(Type::Bool)
        }
        Operator::In => right.may_be(&[Type::List, Type::Map]).then_some(Type::Bool),
        Operator::Add => match (left, right) {
            (Type::Timestamp, Type::Duration) | (Type::Duration, Type::Timestamp) => Some(Type::Timestamp),
            _ => {
                same(left, right, &[Type::Int, Type::Double, Type::String, Type::List, Type::Duration, Type::Timestamp])
            }
        }
        .filter(|_| (left, right) != (Type::Timestamp, Type::Timestamp)),
        Operator::Subtract => match (left, right) {
            (Type::Timestamp, Type::Timestamp) => Some(Type::Duration),
            (Type::Timestamp, Type::Duration) => Some(Type::Timestamp),
            _ => same(left, right, &[Type::Int, Type::Double, Type::Duration, Type::Timestamp]),
        },
        Operator::Multiply | Operator::Divide => same(left, right, &[Type::Int, Type::Double]),
        Operator::Modulo => same(left, right, &[Type::Int]),
    }
}

/// Two operands of one type give that type, one of type `dyn` gives `dyn`. A path with more text stays a path.
fn same(left: Type, right: Type, of: &[Type]) -> Option<Type> {
    if !left.may_be(of) || !right.may_be(of) {
        None
    } else if (left == Type::Path || right == Type::Path) && left.is_alike(right) {
        Some(Type::Path)
    } else if left == Type::Dyn || right == Type::Dyn {
        Some(Type::Dyn)
    } else {
        (left == right).then_some(left)
    }
}
