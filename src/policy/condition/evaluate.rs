//! Program and facts -> a value, in a bounded number of steps and never a panic.
//!
//! `&&`, `||`, `all` and `exists` are CEL's: an error on one side gives way to a `false`, or `true`, on the other that
//! settles the matter anyway. All other errors are the whole's. Unlike CEL's, a comparison of values of different types
//! is an error.

use std::cmp::Ordering;
use std::rc::Rc;

use super::budget::Steps;
use super::facts::{ADDRESS, Facts};
use super::fault::ConditionError;
use super::functions::{self, ALLOCATION};
use super::network::{Network, is_in};
use super::program::{Constant, Each, Node, Pattern, Quantifier};
use super::syntax::Operator;
use super::value::{List, Map, Value};

type Evaluated<T> = Result<T, ConditionError>;

pub(super) struct Evaluation<'a> {
    facts: &'a Facts<'a>,
    steps: &'a mut Steps,
    /// Of the macros around, outermost first.
    variables: Vec<Value<'a>>,
}

impl<'a> Evaluation<'a> {
    pub(super) const fn new(facts: &'a Facts<'a>, steps: &'a mut Steps) -> Self {
        Self { facts, steps, variables: Vec::new() }
    }

    pub(super) fn boolean(&mut self, node: &'a Node) -> Evaluated<bool> {
        if let Value::Bool(value) = self.value(node)? { Ok(value) } else { Err(ConditionError::WrongType) }
    }

    pub(super) fn value(&mut self, node: &'a Node) -> Evaluated<Value<'a>> {
        self.steps.spend(1)?;
        match node {
            Node::Constant(constant) => Ok(constant.value()),
            Node::Fact(fact) => self.facts.read(*fact, self.steps),
            Node::HasFact(fact) => is_there(self.facts.read(*fact, self.steps)),
            Node::Claims => Ok(Value::Map(Map::Json(self.facts.token()?.claims.members()))),
            Node::Headers => Ok(Value::Map(Map::Headers(self.facts.head))),
            Node::Header(name) => self.facts.header(name, self.steps),
            Node::HasHeader(name) => self.facts.has_header(name, self.steps).map(Value::Bool),
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
                self.steps.spend(2 * ALLOCATION)?;
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
                functions::check_without_escapes(self.steps, &operand)?;
                Ok(operand)
            }
            Node::Matches(text, pattern) => {
                let text = self.value(text)?;
                self.matches(&text, pattern).map(Value::Bool)
            }
            Node::IsInNetworks(address, networks) => {
                let address = self.value(address)?;
                self.steps.spend(ADDRESS.saturating_add(networks.len() / 8))?;
                is_in(functions::text(&address)?, networks).map(Value::Bool).ok_or(ConditionError::NotAnAddress)
            }
            Node::IsInListed(operands) => {
                let address = self.value(&operands.0)?;
                let Value::List(listed) = self.value(&operands.1)? else { return Err(ConditionError::WrongType) };
                self.steps.spend(ADDRESS)?;
                let mut networks: Vec<Network> = Vec::new();
                for place in 0..listed.len() {
                    let item = listed.item(place)?;
                    let text = functions::text(&item)?;
                    self.steps.spend(ADDRESS)?;
                    self.steps.spend_bytes(text.len())?;
                    networks.push(Network::parse(text).ok_or(ConditionError::NotAnAddress)?);
                }
                is_in(functions::text(&address)?, &networks).map(Value::Bool).ok_or(ConditionError::NotAnAddress)
            }
            Node::TimePart(part, time, offset) => {
                self.steps.spend(1)?;
                functions::time_part(*part, &self.value(time)?, *offset)
            }
            Node::Call(function, operands) => {
                let operands: Evaluated<Vec<Value<'a>>> = operands.iter().map(|operand| self.value(operand)).collect();
                functions::apply(self.steps, *function, &operands?)
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
                Err(ConditionError::TooCostly) => return Err(ConditionError::TooCostly),
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
                (Quantifier::All | Quantifier::Exists, Err(error)) if error != ConditionError::TooCostly => {
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
            map.keys(self.steps).map(List::Made)
        } else {
            Err(ConditionError::WrongType)
        }
    }

    /// What a macro's body says of one item; `None` of one that is left out. Boolean for all but `map`.
    fn judge(&mut self, each: &'a Each, item: &Evaluated<Value<'a>>) -> Evaluated<Option<Value<'a>>> {
        self.steps.spend(1)?;
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
        self.steps.spend(3 * ALLOCATION)?;
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

    fn entry<'e, 'v>(
        &mut self,
        entries: &'e [(Value<'v>, Value<'v>)],
        key: &Value<'_>,
    ) -> Evaluated<Option<&'e Value<'v>>> {
        for (other, value) in entries {
            self.steps.spend(1)?;
            self.steps.spend_bytes(other.compared_bytes(key))?;
            if other.is_key(key) {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn member(&mut self, target: &Value<'a>, name: &str) -> Evaluated<Value<'a>> {
        let Value::Map(map) = target else { return Err(ConditionError::WrongType) };
        match map {
            Map::Json(members) => {
                self.steps.spend_bytes(name.len())?;
                Value::of(members.get(name).ok_or(ConditionError::Missing)?)
            }
            Map::Headers(_) => self.facts.header(name, self.steps),
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
        match operator {
            Operator::Equal => self.equal(left, right).map(Value::Bool),
            Operator::NotEqual => self.equal(left, right).map(|equal| Value::Bool(!equal)),
            Operator::Less => self.ordered(left, right, Ordering::is_lt),
            Operator::LessOrEqual => self.ordered(left, right, Ordering::is_le),
            Operator::Greater => self.ordered(left, right, Ordering::is_gt),
            Operator::GreaterOrEqual => self.ordered(left, right, Ordering::is_ge),
            Operator::In => self.contains(right, left).map(Value::Bool),
            Operator::Add => functions::add(self.steps, left, right),
            Operator::Subtract => functions::subtract(left, right),
            Operator::Multiply => functions::multiply(left, right),
            Operator::Divide => functions::divide(left, right),
            Operator::Remainder => functions::remainder(left, right),
        }
    }

    fn ordered(&mut self, left: &Value<'a>, right: &Value<'a>, accepted: fn(Ordering) -> bool) -> Evaluated<Value<'a>> {
        self.steps.spend_bytes(left.compared_bytes(right))?;
        left.order(right).map(|order| Value::Bool(order.is_some_and(accepted)))
    }

    /// A list that the operator wrote may have several types; the value must be of one of them.
    fn is_one_of(&mut self, wanted: &Value<'_>, constants: &[Constant]) -> Evaluated<bool> {
        let is_null = |constant: &Constant| matches!(constant, Constant::Null);
        let mut is_comparable = constants.iter().all(is_null);
        for constant in constants {
            self.steps.spend(1)?;
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
            (Value::Map(Map::Json(members)), Value::Text(name)) => {
                self.steps.spend_bytes(name.len())?;
                Ok(members.contains_key(&**name))
            }
            (Value::Map(Map::Headers(_)), Value::Text(name)) => self.facts.has_header(name, self.steps),
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
        self.steps.spend(1)?;
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
            (left, right) => {
                self.steps.spend_bytes(left.compared_bytes(right))?;
                Ok(left.order(right)? == Some(Ordering::Equal))
            }
        }
    }

    /// Headers are compared one by one, and never as a whole.
    fn equal_maps(&mut self, left: &Map<'_>, right: &Map<'_>) -> Evaluated<bool> {
        if matches!((left, right), (Map::Headers(_), _) | (_, Map::Headers(_))) {
            return Err(ConditionError::WrongType);
        }
        let (keys, count) = (left.keys(self.steps)?, right.keys(self.steps)?.len());
        let mut are_equal = keys.len() == count;
        for key in keys.iter() {
            are_equal &= match (self.entry_of(left, key)?, self.entry_of(right, key)?) {
                (Some(left), Some(right)) => self.equal(&left, &right)?,
                _ => false,
            };
        }
        Ok(are_equal)
    }

    fn entry_of<'m>(&mut self, map: &Map<'m>, key: &Value<'_>) -> Evaluated<Option<Value<'m>>> {
        match (map, key) {
            (Map::Json(members), Value::Text(name)) => {
                self.steps.spend_bytes(name.len())?;
                members.get(&**name).map(Value::of).transpose()
            }
            (Map::Made(entries), _) => Ok(self.entry(entries, key)?.cloned()),
            (Map::Headers(_), _) => Err(ConditionError::WrongType),
            (Map::Json(_), _) => Ok(None),
        }
    }

    fn matches(&mut self, text: &Value<'_>, pattern: &Pattern) -> Evaluated<bool> {
        let text = functions::text(text)?;
        self.steps.spend(pattern.cost(text.len()))?;
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
