//! Program and facts -> a value, in a bounded number of steps and never a panic.
//!
//! `&&`, `||`, `all` and `exists` are CEL's: an error on one side gives way to a `false`, or `true`, on the other that
//! settles the matter anyway. All other errors are the whole's. Unlike CEL's, a comparison of values of different types
//! is an error.

use std::cmp::Ordering;
use std::rc::Rc;

use super::facts::Facts;
use super::fault::ConditionError;
use super::functions;
use super::network::{Network, is_in};
use super::program::{Constant, Each, Node, Pattern, Quantifier};
use super::syntax::Operator;
use super::value::{List, Map, Value};

/// How many nodes are looked at for one request; texts and lists count by their length. Most take a few
/// dozen; the costliest of this many take 2 ms in V8, and 5 ms when all of them go into a regular expression.
pub(super) const STEPS: usize = 50_000;

type Evaluated<T> = Result<T, ConditionError>;

pub(super) struct Evaluation<'a> {
    facts: &'a Facts<'a>,
    steps_left: usize,
    /// Of the macros around, outermost first.
    variables: Vec<Value<'a>>,
}

impl<'a> Evaluation<'a> {
    pub(super) const fn new(facts: &'a Facts<'a>, steps: usize) -> Self {
        Self { facts, steps_left: steps, variables: Vec::new() }
    }

    pub(super) const fn steps_left(&self) -> usize {
        self.steps_left
    }

    /// Once spent, every further step is an error as well: none is given way to another value.
    pub(super) fn spend(&mut self, steps: usize) -> Evaluated<()> {
        match self.steps_left.checked_sub(steps) {
            Some(left) => {
                self.steps_left = left;
                Ok(())
            }
            None => {
                self.steps_left = 0;
                Err(ConditionError::TooCostly)
            }
        }
    }

    pub(super) fn boolean(&mut self, node: &'a Node) -> Evaluated<bool> {
        if let Value::Bool(value) = self.value(node)? { Ok(value) } else { Err(ConditionError::WrongType) }
    }

    pub(super) fn value(&mut self, node: &'a Node) -> Evaluated<Value<'a>> {
        self.spend(1)?;
        match node {
            Node::Constant(constant) => Ok(constant.value()),
            Node::Fact(fact) => self.facts.read(*fact),
            Node::HasFact(fact) => is_there(self.facts.read(*fact)),
            Node::Claims => Ok(Value::Map(Map::Json(self.facts.token()?.claims.members()))),
            Node::Headers => Ok(Value::Map(Map::Headers(self.facts.head))),
            Node::Header(name) => self.facts.header(name),
            Node::HasHeader(name) => self.facts.has_header(name).map(Value::Bool),
            Node::Variable(depth) => self.variables.get(*depth).cloned().ok_or(ConditionError::Missing),
            Node::Member(target, name) => {
                let target = self.value(target)?;
                self.member(&target, name)
            }
            Node::HasMember(target, name) => {
                let target = self.value(target)?;
                is_there(self.member(&target, name))
            }
            Node::Index(target_and_key) => {
                let target = self.value(&target_and_key.0)?;
                let key = self.value(&target_and_key.1)?;
                self.index(&target, &key)
            }
            Node::List(items) => {
                let items: Evaluated<Rc<[_]>> = items.iter().map(|item| self.value(item)).collect();
                Ok(Value::List(List::Made(items?)))
            }
            Node::Map(entries) => self.map(entries),
            Node::Not(operand) => Ok(Value::Bool(!self.boolean(operand)?)),
            Node::Negate(operand) => functions::negate(&self.value(operand)?),
            Node::Binary(operator, operands) => {
                let left = self.value(&operands.0)?;
                let right = self.value(&operands.1)?;
                self.binary(*operator, &left, &right)
            }
            Node::Both(terms) => self.settle(terms, false),
            Node::Either(terms) => self.settle(terms, true),
            Node::If(parts) => {
                let chosen = if self.boolean(&parts.0)? { &parts.1 } else { &parts.2 };
                self.value(chosen)
            }
            Node::IsNull(operand) => Ok(Value::Bool(matches!(self.value(operand)?, Value::Null))),
            Node::IsOneOf(operand, constants) => {
                let operand = self.value(operand)?;
                self.is_one_of(&operand, constants).map(Value::Bool)
            }
            Node::WithoutEscapes(operand) => {
                let operand = self.value(operand)?;
                functions::check_without_escapes(self, &operand)?;
                Ok(operand)
            }
            Node::Matches(text, pattern) => {
                let text = self.value(text)?;
                self.matches(&text, pattern).map(Value::Bool)
            }
            Node::IsInNetworks(address, networks) => {
                let address = self.value(address)?;
                self.spend(networks.len() / 8)?;
                is_in(functions::text(&address)?, networks).map(Value::Bool).ok_or(ConditionError::NotAnAddress)
            }
            Node::IsInListed(operands) => {
                let address = self.value(&operands.0)?;
                let Value::List(listed) = self.value(&operands.1)? else { return Err(ConditionError::WrongType) };
                self.spend(listed.len())?;
                let network =
                    |place| Network::parse(functions::text(&listed.item(place)?)?).ok_or(ConditionError::NotAnAddress);
                let networks: Vec<Network> = (0..listed.len()).map(network).collect::<Evaluated<_>>()?;
                is_in(functions::text(&address)?, &networks).map(Value::Bool).ok_or(ConditionError::NotAnAddress)
            }
            Node::TimePart(part, time, offset) => functions::time_part(*part, &self.value(time)?, *offset),
            Node::Call(function, operands) => {
                let operands: Evaluated<Vec<Value<'a>>> = operands.iter().map(|operand| self.value(operand)).collect();
                functions::apply(self, *function, &operands?)
            }
            Node::Each(each) => self.each(each),
        }
    }

    /// `&&` with `false`, `||` with `true`: what settles it, wherever it stands; otherwise the first error.
    fn settle(&mut self, terms: &'a [Node], settling: bool) -> Evaluated<Value<'a>> {
        let mut first_error = None;
        for term in terms {
            match self.boolean(term) {
                Ok(value) if value == settling => return Ok(Value::Bool(settling)),
                Ok(_) => {}
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        first_error.map_or(Ok(Value::Bool(!settling)), Err)
    }

    fn each(&mut self, each: &'a Each) -> Evaluated<Value<'a>> {
        let items = self.items(&each.range)?;
        let (mut kept, mut count, mut first_error) = (Vec::new(), 0_usize, None);
        for place in 0..items.len() {
            let item = items.item(place);
            let outcome = match (each.quantifier, self.judge(each, &item)) {
                (Quantifier::All, Ok(Some(Value::Bool(false)))) => return Ok(Value::Bool(false)),
                (Quantifier::Exists, Ok(Some(Value::Bool(true)))) => return Ok(Value::Bool(true)),
                (Quantifier::All | Quantifier::Exists, Err(error)) => {
                    first_error = first_error.or(Some(error));
                    continue;
                }
                (_, outcome) => outcome?,
            };
            match (each.quantifier, outcome) {
                (Quantifier::ExistsOne, Some(Value::Bool(true))) => count = count.saturating_add(1),
                (Quantifier::Filter, Some(Value::Bool(true))) => kept.push(item?),
                (Quantifier::Map, Some(value)) => kept.push(value),
                _ => {}
            }
        }
        if let Some(error) = first_error {
            return Err(error);
        }
        Ok(match each.quantifier {
            Quantifier::All => Value::Bool(true),
            Quantifier::Exists => Value::Bool(false),
            Quantifier::ExistsOne => Value::Bool(count == 1),
            Quantifier::Filter | Quantifier::Map => Value::List(List::Made(kept.into())),
        })
    }

    /// What a macro walks over: the items of a list, the keys of a map.
    fn items(&mut self, range: &'a Node) -> Evaluated<List<'a>> {
        let range = self.value(range)?;
        if let Value::List(list) = range {
            Ok(list)
        } else if let Value::Map(map) = range {
            self.spend(map.len())?;
            Ok(List::Made(map.keys()))
        } else {
            Err(ConditionError::WrongType)
        }
    }

    /// What a macro's body says of one item; `None` of one that is left out. Boolean for all but `map`.
    fn judge(&mut self, each: &'a Each, item: &Evaluated<Value<'a>>) -> Evaluated<Option<Value<'a>>> {
        self.spend(1)?;
        self.variables.push(item.clone()?);
        let judged = self.judge_body(each);
        self.variables.pop();
        judged
    }

    fn judge_body(&mut self, each: &'a Each) -> Evaluated<Option<Value<'a>>> {
        if let Some(only) = &each.only
            && !self.boolean(only)?
        {
            return Ok(None);
        }
        if each.quantifier == Quantifier::Map {
            self.value(&each.body).map(Some)
        } else {
            self.boolean(&each.body).map(|value| Some(Value::Bool(value)))
        }
    }

    fn map(&mut self, entries: &'a [(Node, Node)]) -> Evaluated<Value<'a>> {
        let mut made: Vec<(Value<'a>, Value<'a>)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let key = self.value(key)?;
            let is_key = matches!(key, Value::Text(_) | Value::Int(_) | Value::Bool(_));
            if !is_key || self.entry(&made, &key)?.is_some() {
                return Err(ConditionError::WrongType);
            }
            made.push((key, self.value(value)?));
        }
        Ok(Value::Map(Map::Made(made.into())))
    }

    fn entry<'e>(
        &mut self,
        entries: &'e [(Value<'a>, Value<'a>)],
        key: &Value<'_>,
    ) -> Evaluated<Option<&'e Value<'a>>> {
        self.spend(entries.len())?;
        Ok(entries.iter().find(|(other, _)| other.is_key(key)).map(|(_, value)| value))
    }

    fn member(&mut self, target: &Value<'a>, name: &str) -> Evaluated<Value<'a>> {
        let Value::Map(map) = target else { return Err(ConditionError::WrongType) };
        match map {
            Map::Json(members) => Value::of(members.get(name).ok_or(ConditionError::Missing)?),
            Map::Headers(_) => self.facts.header(name),
            Map::Made(entries) => {
                let found = self.entry(entries, &Value::Text(name.into()))?;
                found.cloned().ok_or(ConditionError::Missing)
            }
        }
    }

    fn index(&mut self, target: &Value<'a>, key: &Value<'a>) -> Evaluated<Value<'a>> {
        match (target, key) {
            (Value::Map(_), Value::Text(name)) => self.member(target, name),
            (Value::Map(Map::Made(entries)), Value::Int(_) | Value::Bool(_)) => {
                self.entry(entries, key)?.cloned().ok_or(ConditionError::Missing)
            }
            (Value::List(list), Value::Int(place)) => {
                list.item(usize::try_from(*place).map_err(|_| ConditionError::Missing)?)
            }
            _ => Err(ConditionError::WrongType),
        }
    }

    fn binary(&mut self, operator: Operator, left: &Value<'a>, right: &Value<'a>) -> Evaluated<Value<'a>> {
        let ordered =
            |accepted: fn(Ordering) -> bool| left.order(right).map(|order| Value::Bool(order.is_some_and(accepted)));
        match operator {
            Operator::Equal => self.equal(left, right).map(Value::Bool),
            Operator::NotEqual => self.equal(left, right).map(|equal| Value::Bool(!equal)),
            Operator::Less => ordered(Ordering::is_lt),
            Operator::LessOrEqual => ordered(Ordering::is_le),
            Operator::Greater => ordered(Ordering::is_gt),
            Operator::GreaterOrEqual => ordered(Ordering::is_ge),
            Operator::In => self.contains(right, left).map(Value::Bool),
            Operator::Add => functions::add(self, left, right),
            Operator::Subtract => functions::subtract(left, right),
            Operator::Multiply => functions::multiply(left, right),
            Operator::Divide => functions::divide(left, right),
            Operator::Remainder => functions::remainder(left, right),
        }
    }

    /// A list that the operator wrote may have several types; the value must be of one of them.
    fn is_one_of(&mut self, wanted: &Value<'_>, constants: &[Constant]) -> Evaluated<bool> {
        let is_null = |constant: &Constant| matches!(constant, Constant::Null);
        let mut is_comparable = constants.iter().all(is_null);
        for constant in constants {
            self.spend(1)?;
            let value = constant.value();
            if is_null(constant) && matches!(wanted, Value::Null) {
                return Ok(true);
            }
            if !is_null(constant) && wanted.is_of_type(&value) {
                is_comparable = true;
                if self.equal(wanted, &value)? {
                    return Ok(true);
                }
            }
        }
        if is_comparable { Ok(false) } else { Err(ConditionError::WrongType) }
    }

    /// An item, or all keys, of another type are an error, found or not.
    fn contains(&mut self, container: &Value<'a>, wanted: &Value<'a>) -> Evaluated<bool> {
        match (container, wanted) {
            (Value::List(list), _) => {
                let mut is_found = false;
                for place in 0..list.len() {
                    is_found |= self.equal(&list.item(place)?, wanted)?;
                }
                Ok(is_found)
            }
            (Value::Map(Map::Json(members)), Value::Text(name)) => Ok(members.contains_key(name.as_ref())),
            (Value::Map(Map::Headers(_)), Value::Text(name)) => self.facts.has_header(name),
            (Value::Map(Map::Made(entries)), _) => {
                let is_found = self.entry(entries, wanted)?.is_some();
                let is_comparable = entries.is_empty() || entries.iter().any(|(key, _)| key.is_of_type(wanted));
                if is_comparable { Ok(is_found) } else { Err(ConditionError::WrongType) }
            }
            _ => Err(ConditionError::WrongType),
        }
    }

    /// Values of different types are an error, wherever they stand. Numbers are equal when their values are. As deep as
    /// the token's JSON and the expression are.
    fn equal(&mut self, left: &Value<'_>, right: &Value<'_>) -> Evaluated<bool> {
        self.spend(1)?;
        match (left, right) {
            (Value::Null, Value::Null) => Ok(true),
            (Value::List(left), Value::List(right)) => {
                let mut are_equal = left.len() == right.len();
                for place in 0..left.len().min(right.len()) {
                    are_equal &= self.equal(&left.item(place)?, &right.item(place)?)?;
                }
                Ok(are_equal)
            }
            (Value::Map(left), Value::Map(right)) => self.equal_maps(left, right),
            _ => Ok(left.order(right)? == Some(Ordering::Equal)),
        }
    }

    fn equal_maps(&mut self, left: &Map<'_>, right: &Map<'_>) -> Evaluated<bool> {
        self.spend(left.len())?;
        let mut are_equal = left.len() == right.len();
        for key in left.keys().iter() {
            are_equal &= match (entry_of(left, key)?, entry_of(right, key)?) {
                (Some(left), Some(right)) => self.equal(&left, &right)?,
                _ => false,
            };
        }
        Ok(are_equal)
    }

    fn matches(&mut self, text: &Value<'_>, pattern: &Pattern) -> Evaluated<bool> {
        let text = functions::text(text)?;
        self.spend(text.len().saturating_mul(pattern.weight) / 4)?;
        Ok(pattern.regex.is_match(text))
    }
}

fn is_there<'a>(read: Evaluated<Value<'a>>) -> Evaluated<Value<'a>> {
    match read {
        Ok(_) => Ok(Value::Bool(true)),
        Err(ConditionError::Missing) => Ok(Value::Bool(false)),
        Err(error) => Err(error),
    }
}

/// Headers are compared one by one, and never as a whole.
fn entry_of<'m>(map: &Map<'m>, key: &Value<'_>) -> Evaluated<Option<Value<'m>>> {
    match (map, key) {
        (Map::Json(members), Value::Text(name)) => members.get(name.as_ref()).map(Value::of).transpose(),
        (Map::Made(entries), _) => {
            Ok(entries.iter().find(|(other, _)| other.is_key(key)).map(|(_, value)| value.clone()))
        }
        (Map::Headers(_), _) => Err(ConditionError::WrongType),
        (Map::Json(_), _) => Ok(None),
    }
}
