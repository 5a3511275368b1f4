//! Syntax -> program: names are looked up, types told as far as the text tells them, and everything is compiled that
//! can be. What is refused here is never found out by a request.

use std::collections::BTreeSet;

use super::attribute::{Attribute, AttributeKind};
use super::calls;
use super::facts::Fact;
use super::fault::{ConditionProblem, FaultAt, fault};
use super::normal_form::{beside_path, never_equal};
use super::program::{Constant, Node};
use super::syntax::{Form, Operator, Syntax};
use crate::http::is_token;

/// Variables with members that are known.
const OBJECTS: [&str; 5] = ["request", "source", "destination", "connection", TOKEN];
const TOKEN: &str = "token";
const CLAIMS: &str = "claims";
const DEEPEST_MACRO: usize = 2;

/// What is known of a value before there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A claim, or what was made of one.
    Any,
    Null,
    Bool,
    Int,
    Double,
    Text,
    /// A text: a path, with escapes.
    Path,
    List,
    Map,
    Time,
    Span,
}

impl Kind {
    pub(super) fn may_be(self, wanted: &[Self]) -> bool {
        self == Self::Any || wanted.contains(&self.unescaped())
    }

    const fn unescaped(self) -> Self {
        if matches!(self, Self::Path) { Self::Text } else { self }
    }

    /// Whether two values may be equal.
    fn is_alike(self, other: Self) -> bool {
        let either_is_any = self == Self::Any || other == Self::Any;
        either_is_any || self.unescaped() == other.unescaped() || (self.is_number() && other.is_number())
    }

    const fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Double)
    }
}

/// A node and what it gives.
pub(super) struct Checked {
    pub(super) node: Node,
    pub(super) kind: Kind,
}

/// A condition that is one, and what it asks for.
pub(super) struct Program {
    pub(super) node: Node,
    pub(super) facts: Vec<Fact>,
    pub(super) attributes: Vec<Attribute>,
    pub(super) asks_for_token: bool,
}

/// Checks a whole condition.
pub(super) fn check(syntax: &Syntax) -> Result<Program, FaultAt> {
    let mut checker =
        Checker { facts: Vec::new(), attributes: BTreeSet::new(), asks_for_token: false, variables: Vec::new() };
    let whole = checker.any(syntax)?;
    if !whole.kind.may_be(&[Kind::Bool]) {
        return fault(syntax.start(), ConditionProblem::NotBoolean);
    }
    let Checker { facts, attributes, asks_for_token, .. } = checker;
    Ok(Program { node: whole.node, facts, attributes: attributes.into_iter().collect(), asks_for_token })
}

pub(super) struct Checker {
    facts: Vec<Fact>,
    attributes: BTreeSet<Attribute>,
    asks_for_token: bool,
    /// Of the macros around, outermost first.
    variables: Vec<String>,
}

const fn checked(node: Node, kind: Kind) -> Checked {
    Checked { node, kind }
}

const fn constant(constant: Constant, kind: Kind) -> Checked {
    checked(Node::Constant(constant), kind)
}

impl Checker {
    /// A value of one of these kinds, as far as can be told.
    pub(super) fn of(&mut self, syntax: &Syntax, wanted: &[Kind], hint: &'static str) -> Result<Checked, FaultAt> {
        let value = self.any(syntax)?;
        if value.kind.may_be(wanted) { Ok(value) } else { fault(syntax.start(), ConditionProblem::WrongType(hint)) }
    }

    pub(super) fn boolean(&mut self, syntax: &Syntax) -> Result<Node, FaultAt> {
        Ok(self.of(syntax, &[Kind::Bool], "true or false")?.node)
    }

    pub(super) fn any(&mut self, syntax: &Syntax) -> Result<Checked, FaultAt> {
        let offset = syntax.offset;
        match &syntax.form {
            Form::Null => Ok(constant(Constant::Null, Kind::Null)),
            Form::Bool(value) => Ok(constant(Constant::Bool(*value), Kind::Bool)),
            Form::Int(number) => Ok(constant(Constant::Int(*number), Kind::Int)),
            Form::Double(number) => Ok(constant(Constant::Double(*number), Kind::Double)),
            Form::Text(text) => Ok(constant(Constant::Text(text.clone()), Kind::Text)),
            Form::Name(name) => self.name(offset, name),
            Form::Member(target, name) => self.member(offset, target, name),
            Form::Index(target_and_index) => {
                let (target, index) = &**target_and_index;
                self.index(target, index)
            }
            Form::Call { target, name, arguments } => calls::call(self, offset, target.as_deref(), name, arguments),
            Form::List(items) => {
                let items: Result<_, _> = items.iter().map(|item| Ok(self.any(item)?.node)).collect();
                Ok(checked(Node::List(items?), Kind::List))
            }
            Form::Map(entries) => {
                const KEYS: [Kind; 3] = [Kind::Text, Kind::Int, Kind::Bool];
                let entry = |(key, value): &(Syntax, Syntax)| {
                    Ok((self.of(key, &KEYS, "a text, a whole number or a boolean")?.node, self.any(value)?.node))
                };
                let entries: Result<_, _> = entries.iter().map(entry).collect();
                Ok(checked(Node::Map(entries?), Kind::Map))
            }
            Form::Not(operand) => Ok(checked(Node::Not(Box::new(self.boolean(operand)?)), Kind::Bool)),
            Form::Negate(operand) => {
                let operand = self.of(operand, &[Kind::Int, Kind::Double, Kind::Span], "a number")?;
                Ok(checked(Node::Negate(Box::new(operand.node)), operand.kind))
            }
            Form::Binary(operator, operands) => self.binary(offset, *operator, &operands.0, &operands.1),
            Form::Both(terms) => Ok(checked(Node::Both(self.booleans(terms)?), Kind::Bool)),
            Form::Either(terms) => Ok(checked(Node::Either(self.booleans(terms)?), Kind::Bool)),
            Form::If(parts) => {
                let (condition, yes, no) = &**parts;
                let condition = self.boolean(condition)?;
                let (yes, no) = (self.any(yes)?, self.any(no)?);
                let kind = match (yes.kind, no.kind) {
                    (yes, no) if yes == no => yes,
                    (yes, no) if yes.is_alike(no) && (yes == Kind::Path || no == Kind::Path) => Kind::Path,
                    _ => Kind::Any,
                };
                Ok(checked(Node::If(Box::new((condition, yes.node, no.node))), kind))
            }
        }
    }

    fn booleans(&mut self, terms: &[Syntax]) -> Result<Vec<Node>, FaultAt> {
        terms.iter().map(|term| self.boolean(term)).collect()
    }

    fn name(&mut self, offset: usize, name: &str) -> Result<Checked, FaultAt> {
        if let Some(depth) = self.variables.iter().position(|variable| variable == name) {
            Ok(checked(Node::Variable(depth), Kind::Any))
        } else if name == CLAIMS {
            self.asks_for_token = true;
            Ok(checked(Node::Claims, Kind::Map))
        } else if OBJECTS.contains(&name) {
            fault(offset, ConditionProblem::WrongType("one of its attributes, such as request.method"))
        } else {
            fault(offset, ConditionProblem::UnknownName)
        }
    }

    /// A variable for what `within` checks.
    pub(super) fn with_variable<T>(
        &mut self,
        syntax: &Syntax,
        within: impl FnOnce(&mut Self) -> Result<T, FaultAt>,
    ) -> Result<T, FaultAt> {
        let Form::Name(name) = &syntax.form else {
            return fault(syntax.offset, ConditionProblem::Syntax("the name of a variable"));
        };
        if OBJECTS.contains(&name.as_str()) || name == CLAIMS || self.variables.contains(name) {
            return fault(syntax.offset, ConditionProblem::NameTaken);
        }
        if self.variables.len() >= DEEPEST_MACRO {
            return fault(syntax.offset, ConditionProblem::TooNested);
        }
        self.variables.push(name.clone());
        let result = within(self);
        self.variables.pop();
        result
    }

    fn fact(&mut self, offset: usize, object: &str, name: &str) -> Result<Fact, FaultAt> {
        let problem = match (object, name) {
            ("request", "path") => ConditionProblem::RawAttribute(
                "request.url_path (in normal form, without the query) or request.raw_path (as received)",
            ),
            ("request", "query") => ConditionProblem::RawAttribute("request.raw_query (as received)"),
            _ => ConditionProblem::UnknownAttribute,
        };
        let fact = Fact::named(object, name).ok_or(FaultAt { offset, problem })?;
        self.facts.push(fact);
        if let Fact::OfHost(attribute) = fact {
            self.attributes.insert(attribute);
        }
        self.asks_for_token |= object == TOKEN;
        Ok(fact)
    }

    fn member(&mut self, offset: usize, target: &Syntax, name: &str) -> Result<Checked, FaultAt> {
        if let Some(object) = object(target) {
            if (object, name) == ("request", "headers") {
                return Ok(checked(Node::Headers, Kind::Map));
            }
            let fact = self.fact(offset, object, name)?;
            return Ok(checked(Node::Fact(fact), kind_of(fact)));
        }
        let target = self.of(target, &[Kind::Map], "something with members")?;
        if matches!(target.node, Node::Headers) {
            return Ok(checked(Node::Header(header_name(offset, name)?), Kind::Text));
        }
        Ok(checked(Node::Member(Box::new(target.node), name.to_owned()), Kind::Any))
    }

    /// `has(target.name)`.
    pub(super) fn has(&mut self, offset: usize, target: &Syntax, name: &str) -> Result<Checked, FaultAt> {
        if let Some(object) = object(target) {
            let node = match (object, name) {
                // There always are some.
                ("request", "headers") => Node::Constant(Constant::Bool(true)),
                _ => Node::HasFact(self.fact(offset, object, name)?),
            };
            return Ok(checked(node, Kind::Bool));
        }
        let target = self.of(target, &[Kind::Map], "something with members")?;
        let node = if matches!(target.node, Node::Headers) {
            Node::HasHeader(header_name(offset, name)?)
        } else {
            Node::HasMember(Box::new(target.node), name.to_owned())
        };
        Ok(checked(node, Kind::Bool))
    }

    fn index(&mut self, target: &Syntax, index: &Syntax) -> Result<Checked, FaultAt> {
        let target = self.of(target, &[Kind::List, Kind::Map], "a list or a map")?;
        let wanted: &[Kind] = match (&target.node, target.kind) {
            (Node::Headers, _) => &[Kind::Text],
            (_, Kind::List) => &[Kind::Int],
            _ => &[Kind::Int, Kind::Text, Kind::Bool],
        };
        let key = self.of(index, wanted, "a key of the map, or a place in the list")?;
        match (target.node, key.node) {
            (Node::Headers, Node::Constant(Constant::Text(name))) => {
                Ok(checked(Node::Header(header_name(index.offset, &name)?), Kind::Text))
            }
            (Node::Headers, key) => Ok(checked(Node::Index(Box::new((Node::Headers, key))), Kind::Text)),
            // A literal name is a member, which needs no comparison of keys.
            (target, Node::Constant(Constant::Text(name))) => {
                Ok(checked(Node::Member(Box::new(target), name), Kind::Any))
            }
            (target, node) if key.kind == Kind::Path => {
                let key = Node::WithoutEscapes(Box::new(node));
                Ok(checked(Node::Index(Box::new((target, key))), Kind::Any))
            }
            (target, key) => Ok(checked(Node::Index(Box::new((target, key))), Kind::Any)),
        }
    }

    fn binary(&mut self, offset: usize, operator: Operator, left: &Syntax, right: &Syntax) -> Result<Checked, FaultAt> {
        let (left, right) = (self.any(left)?, self.any(right)?);
        let compares = matches!(operator, Operator::Equal | Operator::NotEqual | Operator::In);
        let kind = match result_kind(operator, left.kind, right.kind) {
            Some(kind) => kind,
            None if matches!(operator, Operator::Equal | Operator::NotEqual) => {
                return fault(offset, ConditionProblem::NeverEqual);
            }
            None => return fault(offset, ConditionProblem::WrongType("operands that go together with this operator")),
        };
        if let Some(form) = never_equal(&left.node, &right.node).filter(|_| compares) {
            return fault(offset, ConditionProblem::NotNormal(form));
        }
        let left_kind = left.kind;
        let [left, right] = if compares { comparable(left, right) } else { [left.node, right.node] };
        let node = match (operator, left, right) {
            (Operator::In, Node::Constant(Constant::Text(name)), Node::Headers) => {
                Node::HasHeader(header_name(offset, &name)?)
            }
            (Operator::Equal, node, Node::Constant(Constant::Null))
            | (Operator::Equal, Node::Constant(Constant::Null), node) => Node::IsNull(Box::new(node)),
            (Operator::NotEqual, node, Node::Constant(Constant::Null))
            | (Operator::NotEqual, Node::Constant(Constant::Null), node) => {
                Node::Not(Box::new(Node::IsNull(Box::new(node))))
            }
            (Operator::In, left, Node::List(items)) => match constants(&items) {
                Some(constants)
                    if !constants.is_empty()
                        && !constants.iter().any(|one| left_kind.is_alike(kind_of_constant(one))) =>
                {
                    return fault(offset, ConditionProblem::NeverEqual);
                }
                Some(constants) => Node::IsOneOf(Box::new(left), constants),
                None => Node::Binary(operator, Box::new((left, Node::List(items)))),
            },
            (operator, left, right) => Node::Binary(operator, Box::new((left, right))),
        };
        Ok(checked(node, kind))
    }
}

fn object(target: &Syntax) -> Option<&str> {
    if let Form::Name(name) = &target.form { Some(name.as_str()).filter(|name| OBJECTS.contains(name)) } else { None }
}

fn constants(items: &[Node]) -> Option<Vec<Constant>> {
    let constant = |item: &Node| if let Node::Constant(constant) = item { Some(constant.clone()) } else { None };
    items.iter().map(constant).collect()
}

/// The operands of a comparison. Beside a path, what only the request tells is checked for escapes.
pub(super) fn comparable(left: Checked, right: Checked) -> [Node; 2] {
    let has_path = left.kind == Kind::Path || right.kind == Kind::Path;
    [left.node, right.node].map(|node| if has_path { beside_path(node) } else { node })
}

const fn kind_of_constant(constant: &Constant) -> Kind {
    match constant {
        Constant::Null => Kind::Null,
        Constant::Bool(_) => Kind::Bool,
        Constant::Int(_) => Kind::Int,
        Constant::Double(_) => Kind::Double,
        Constant::Text(_) => Kind::Text,
        Constant::Time(_) => Kind::Time,
        Constant::Span(_) => Kind::Span,
    }
}

/// Requests have header names in lower case only: in another spelling one is never there.
fn header_name(offset: usize, name: &str) -> Result<String, FaultAt> {
    if is_token(name) && !name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Ok(name.to_owned())
    } else {
        fault(offset, ConditionProblem::HeaderName)
    }
}

const fn kind_of(fact: Fact) -> Kind {
    match fact {
        Fact::Time => Kind::Time,
        Fact::Scopes => Kind::List,
        Fact::OfHost(attribute) => match attribute.kind() {
            AttributeKind::Text | AttributeKind::Address | AttributeKind::ServerName => Kind::Text,
            AttributeKind::Int => Kind::Int,
            AttributeKind::Bool => Kind::Bool,
        },
        Fact::UrlPath => Kind::Path,
        Fact::RawPath
        | Fact::RawQuery
        | Fact::Host
        | Fact::RawHost
        | Fact::Scheme
        | Fact::Method
        | Fact::Referer
        | Fact::UserAgent
        | Fact::Id
        | Fact::Issuer
        | Fact::Subject
        | Fact::Client
        | Fact::Provider => Kind::Text,
    }
}

/// What an operator gives; `None` when its operands do not go together, whatever their values.
fn result_kind(operator: Operator, left: Kind, right: Kind) -> Option<Kind> {
    let are_alike = left.is_alike(right);
    match operator {
        Operator::Equal | Operator::NotEqual => are_alike.then_some(Kind::Bool),
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
            let has_order =
                |kind: Kind| kind.may_be(&[Kind::Bool, Kind::Int, Kind::Double, Kind::Text, Kind::Time, Kind::Span]);
            (are_alike && has_order(left) && has_order(right)).then_some(Kind::Bool)
        }
        Operator::In => right.may_be(&[Kind::List, Kind::Map]).then_some(Kind::Bool),
        Operator::Add => match (left, right) {
            (Kind::Time, Kind::Span) | (Kind::Span, Kind::Time) => Some(Kind::Time),
            _ => same(left, right, &[Kind::Int, Kind::Double, Kind::Text, Kind::List, Kind::Span, Kind::Time]),
        }
        .filter(|_| (left, right) != (Kind::Time, Kind::Time)),
        Operator::Subtract => match (left, right) {
            (Kind::Time, Kind::Time) => Some(Kind::Span),
            (Kind::Time, Kind::Span) => Some(Kind::Time),
            _ => same(left, right, &[Kind::Int, Kind::Double, Kind::Span, Kind::Time]),
        },
        Operator::Multiply | Operator::Divide => same(left, right, &[Kind::Int, Kind::Double]),
        Operator::Remainder => same(left, right, &[Kind::Int]),
    }
}

/// Two of one kind give that kind; with one that is not known, any may come out. A path with more text stays a path.
fn same(left: Kind, right: Kind, of: &[Kind]) -> Option<Kind> {
    if !left.may_be(of) || !right.may_be(of) {
        None
    } else if (left == Kind::Path || right == Kind::Path) && left.is_alike(right) {
        Some(Kind::Path)
    } else if left == Kind::Any || right == Kind::Any {
        Some(Kind::Any)
    } else {
        (left == right).then_some(left)
    }
}
