//! The evaluator: a checked expression and an activation to a value, within the cost limit and without panics.
//!
//! `&&`, `||`, `all` and `exists` absorb an error where another operand determines the result, as CEL says; every other
//! error is the result. Unlike in CEL, an equality of values of different types is an error.

use std::cmp::Ordering;
use std::rc::Rc;

use super::activation::{ADDRESS, Activation};
use super::cost::CostLimit;
use super::error::EvaluationError;
use super::functions::{self, ALLOCATION};
use super::network::{Network, is_in};
use super::parser::Operator;
use super::program::{Comprehension, Constant, Macro, Node, Pattern};
use super::value::{List, Map, Value};

type Evaluated<T> = Result<T, EvaluationError>;

pub(super) struct Evaluation<'a> {
    activation: &'a Activation<'a>,
    cost: &'a mut CostLimit,
    /// Of the enclosing comprehensions, outermost first.
    variables: Vec<Value<'a>>,
}

impl<'a> Evaluation<'a> {
    pub(super) const fn new(activation: &'a Activation<'a>, cost: &'a mut CostLimit) -> Self {
        Self { activation, cost, variables: Vec::new() }
    }

    pub(super) fn boolean(&mut self, node: &'a Node) -> Evaluated<bool> {
        if let Value::Bool(value) = self.value(node)? { Ok(value) } else { Err(EvaluationError::WrongType) }
    }

    pub(super) fn value(&mut self, node: &'a Node) -> Evaluated<Value<'a>> {
        self.cost.charge(1)?;
        match node {
            Node::Constant(constant) => Ok(constant.value()),
            Node::Field(field) => self.activation.read(*field, self.cost),
            Node::HasField(field) => is_there(self.activation.read(*field, self.cost)),
            Node::Claims => Ok(Value::Map(Map::Json(self.activation.token()?.claims))),
            Node::Headers => Ok(Value::Map(Map::Headers(self.activation.head))),
            Node::Header(name) => self.activation.header(name, self.cost),
            Node::HasHeader(name) => self.activation.has_header(name, self.cost).map(Value::Bool),
            Node::Variable(depth) => self.variables.get(*depth).cloned().ok_or(EvaluationError::Missing),
            Node::Select(target, name) => {
                let target = self.value(target)?;
                self.member(&target, name)
            }
            Node::Has(target, name) => {
                let target = self.value(target)?;
                is_there(self.member(&target, name))
            }
            Node::Index(target_and_key) => {
                let target = self.value(&target_and_key.0)?;
                let key = self.value(&target_and_key.1)?;
                self.index(&target, &key)
            }
            Node::List(items) => {
                self.cost.charge(2 * ALLOCATION)?;
                let items: Evaluated<Rc<[_]>> = items.iter().map(|item| self.value(item)).collect();
                Ok(Value::List(List::Computed(items?)))
            }
            Node::Map(entries) => self.map(entries),
            Node::Not(operand) => Ok(Value::Bool(!self.boolean(operand)?)),
            Node::Negate(operand) => functions::negate(&self.value(operand)?),
            Node::Binary(operator, operands) => {
                let left = self.value(&operands.0)?;
                let right = self.value(&operands.1)?;
                self.binary(*operator, &left, &right)
            }
            Node::And(terms) => self.logical(terms, false),
            Node::Or(terms) => self.logical(terms, true),
            Node::Conditional(parts) => {
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
                functions::check_without_escapes(self.cost, &operand)?;
                Ok(operand)
            }
            Node::Matches(text, pattern) => {
                let text = self.value(text)?;
                self.matches(&text, pattern).map(Value::Bool)
            }
            Node::IsInNetworks(address, networks) => {
                let address = self.value(address)?;
                self.cost.charge(ADDRESS.saturating_add(networks.len() / 8))?;
                is_in(functions::string(&address)?, networks).map(Value::Bool).ok_or(EvaluationError::NotAnAddress)
            }
            Node::IsInComputedNetworks(operands) => {
                let address = self.value(&operands.0)?;
                let Value::List(listed) = self.value(&operands.1)? else { return Err(EvaluationError::WrongType) };
                self.cost.charge(ADDRESS)?;
                let mut networks: Vec<Network> = Vec::new();
                for place in 0..listed.len() {
                    let item = listed.item(place)?;
                    let text = functions::string(&item)?;
                    self.cost.charge(ADDRESS)?;
                    self.cost.charge_bytes(text.len())?;
                    networks.push(Network::parse(text).ok_or(EvaluationError::NotAnAddress)?);
                }
                is_in(functions::string(&address)?, &networks).map(Value::Bool).ok_or(EvaluationError::NotAnAddress)
            }
            Node::TimePart(part, time, offset) => {
                self.cost.charge(1)?;
                functions::time_part(*part, &self.value(time)?, *offset)
            }
            Node::Call(function, operands) => {
                let operands: Evaluated<Vec<Value<'a>>> = operands.iter().map(|operand| self.value(operand)).collect();
                functions::apply(self.cost, *function, &operands?)
            }
            Node::Comprehension(comprehension) => self.comprehension(comprehension),
        }
    }

    /// `&&` is absorbed by `false` and `||` by `true`, at any position; otherwise the first error is the result.
    fn logical(&mut self, terms: &'a [Node], absorbing: bool) -> Evaluated<Value<'a>> {
        let mut first_error = None;
        for term in terms {
            match self.boolean(term) {
                Ok(value) if value == absorbing => return Ok(Value::Bool(absorbing)),
                Ok(_) => {}
                Err(EvaluationError::CostLimitExceeded) => return Err(EvaluationError::CostLimitExceeded),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        first_error.map_or(Ok(Value::Bool(!absorbing)), Err)
    }

    fn comprehension(&mut self, comprehension: &'a Comprehension) -> Evaluated<Value<'a>> {
        let items = self.items(&comprehension.range)?;
        let (mut kept, mut count, mut first_error) = (Vec::new(), 0_usize, None);
        for place in 0..items.len() {
            let item = items.item(place);
            let outcome = match (comprehension.kind, self.evaluate_item(comprehension, &item)) {
                (Macro::All, Ok(Some(Value::Bool(false)))) => return Ok(Value::Bool(false)),
                (Macro::Exists, Ok(Some(Value::Bool(true)))) => return Ok(Value::Bool(true)),
                (Macro::All | Macro::Exists, Err(error)) if error != EvaluationError::CostLimitExceeded => {
                    first_error = first_error.or(Some(error));
                    continue;
                }
                (_, outcome) => outcome?,
            };
            match (comprehension.kind, outcome) {
                (Macro::ExistsOne, Some(Value::Bool(true))) => count = count.saturating_add(1),
                (Macro::Filter, Some(Value::Bool(true))) => kept.push(item?),
                (Macro::Map, Some(value)) => kept.push(value),
                _ => {}
            }
        }
        if let Some(error) = first_error {
            return Err(error);
        }
        Ok(match comprehension.kind {
            Macro::All => Value::Bool(true),
            Macro::Exists => Value::Bool(false),
            Macro::ExistsOne => Value::Bool(count == 1),
            Macro::Filter | Macro::Map => Value::List(List::Computed(kept.into())),
        })
    }

    /// The range of a comprehension: the elements of a list or the keys of a map.
    fn items(&mut self, range: &'a Node) -> Evaluated<List<'a>> {
        let range = self.value(range)?;
        if let Value::List(list) = range {
            Ok(list)
        } else if let Value::Map(map) = range {
            map.keys(self.cost).map(List::Computed)
        } else {
            Err(EvaluationError::WrongType)
        }
    }

    /// The step of one element; `None` for one that the filter drops. Boolean for all but `map`.
    fn evaluate_item(
        &mut self,
        comprehension: &'a Comprehension,
        item: &Evaluated<Value<'a>>,
    ) -> Evaluated<Option<Value<'a>>> {
        self.cost.charge(1)?;
        self.variables.push(item.clone()?);
        let result = self.evaluate_step(comprehension);
        self.variables.pop();
        result
    }

    fn evaluate_step(&mut self, comprehension: &'a Comprehension) -> Evaluated<Option<Value<'a>>> {
        if let Some(filter) = &comprehension.filter
            && !self.boolean(filter)?
        {
            return Ok(None);
        }
        if comprehension.kind == Macro::Map {
            self.value(&comprehension.step).map(Some)
        } else {
            self.boolean(&comprehension.step).map(|value| Some(Value::Bool(value)))
        }
    }

    fn map(&mut self, entries: &'a [(Node, Node)]) -> Evaluated<Value<'a>> {
        self.cost.charge(3 * ALLOCATION)?;
        let mut made: Vec<(Value<'a>, Value<'a>)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let key = self.value(key)?;
            let is_key = matches!(key, Value::String(_) | Value::Int(_) | Value::Bool(_));
            if !is_key || self.entry(&made, &key)?.is_some() {
                return Err(EvaluationError::WrongType);
            }
            made.push((key, self.value(value)?));
        }
        Ok(Value::Map(Map::Computed(made.into())))
    }

    fn entry<'e, 'v>(
        &mut self,
        entries: &'e [(Value<'v>, Value<'v>)],
        key: &Value<'_>,
    ) -> Evaluated<Option<&'e Value<'v>>> {
        for (other, value) in entries {
            self.cost.charge(1)?;
            self.cost.charge_bytes(other.compared_bytes(key))?;
            if other.is_key(key) {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn member(&mut self, target: &Value<'a>, name: &str) -> Evaluated<Value<'a>> {
        let Value::Map(map) = target else { return Err(EvaluationError::WrongType) };
        match map {
            Map::Json(members) => {
                self.cost.charge_bytes(name.len())?;
                Value::of(members.get(name).ok_or(EvaluationError::Missing)?)
            }
            Map::Headers(_) => self.activation.header(name, self.cost),
            Map::Computed(entries) => {
                let found = self.entry(entries, &Value::String(name.into()))?;
                found.cloned().ok_or(EvaluationError::Missing)
            }
        }
    }

    fn index(&mut self, target: &Value<'a>, key: &Value<'a>) -> Evaluated<Value<'a>> {
        match (target, key) {
            (Value::Map(_), Value::String(name)) => self.member(target, name),
            (Value::Map(Map::Computed(entries)), Value::Int(_) | Value::Bool(_)) => {
                self.entry(entries, key)?.cloned().ok_or(EvaluationError::Missing)
            }
            (Value::List(list), Value::Int(place)) => {
                list.item(usize::try_from(*place).map_err(|_| EvaluationError::Missing)?)
            }
            _ => Err(EvaluationError::WrongType),
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
            Operator::Add => functions::add(self.cost, left, right),
            Operator::Subtract => functions::subtract(left, right),
            Operator::Multiply => functions::multiply(left, right),
            Operator::Divide => functions::divide(left, right),
            Operator::Modulo => functions::modulo(left, right),
        }
    }

    fn ordered(&mut self, left: &Value<'a>, right: &Value<'a>, accepted: fn(Ordering) -> bool) -> Evaluated<Value<'a>> {
        self.cost.charge_bytes(left.compared_bytes(right))?;
        left.order(right).map(|order| Value::Bool(order.is_some_and(accepted)))
    }

    /// A literal list may have several types; the value must be of one of them.
    fn is_one_of(&mut self, wanted: &Value<'_>, constants: &[Constant]) -> Evaluated<bool> {
        let is_null = |constant: &Constant| matches!(constant, Constant::Null);
        let mut is_comparable = constants.iter().all(is_null);
        for constant in constants {
            self.cost.charge(1)?;
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
        if is_comparable { Ok(false) } else { Err(EvaluationError::WrongType) }
    }

    /// An element, or all keys, of another type are an error, found or not.
    fn contains(&mut self, container: &Value<'a>, wanted: &Value<'a>) -> Evaluated<bool> {
        match (container, wanted) {
            (Value::List(list), _) => {
                let mut is_found = false;
                for place in 0..list.len() {
                    is_found |= self.equal(&list.item(place)?, wanted)?;
                }
                Ok(is_found)
            }
            (Value::Map(Map::Json(members)), Value::String(name)) => {
                self.cost.charge_bytes(name.len())?;
                Ok(members.contains_key(&**name))
            }
            (Value::Map(Map::Headers(_)), Value::String(name)) => self.activation.has_header(name, self.cost),
            (Value::Map(Map::Computed(entries)), _) => {
                let is_found = self.entry(entries, wanted)?.is_some();
                let is_comparable = entries.is_empty() || entries.iter().any(|(key, _)| key.is_of_type(wanted));
                if is_comparable { Ok(is_found) } else { Err(EvaluationError::WrongType) }
            }
            _ => Err(EvaluationError::WrongType),
        }
    }

    /// Values of different types are an error at any depth. Numbers are equal when their values are. The recursion is as
    /// deep as the token's JSON and the expression.
    fn equal(&mut self, left: &Value<'_>, right: &Value<'_>) -> Evaluated<bool> {
        self.cost.charge(1)?;
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
                self.cost.charge_bytes(left.compared_bytes(right))?;
                Ok(left.order(right)? == Some(Ordering::Equal))
            }
        }
    }

    /// Headers are compared one by one, and never as a whole.
    fn equal_maps(&mut self, left: &Map<'_>, right: &Map<'_>) -> Evaluated<bool> {
        if matches!((left, right), (Map::Headers(_), _) | (_, Map::Headers(_))) {
            return Err(EvaluationError::WrongType);
        }
        let (keys, count) = (left.keys(self.cost)?, right.keys(self.cost)?.len());
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
            (Map::Json(members), Value::String(name)) => {
                self.cost.charge_bytes(name.len())?;
                members.get(&**name).map(Value::of).transpose()
            }
            (Map::Computed(entries), _) => Ok(self.entry(entries, key)?.cloned()),
            (Map::Headers(_), _) => Err(EvaluationError::WrongType),
            (Map::Json(_), _) => Ok(None),
        }
    }

    fn matches(&mut self, text: &Value<'_>, pattern: &Pattern) -> Evaluated<bool> {
        let text = functions::string(text)?;
        self.cost.charge(pattern.cost(text.len()))?;
        Ok(pattern.regex.is_match(text))
    }
}

fn is_there<'a>(read: Evaluated<Value<'a>>) -> Evaluated<Value<'a>> {
    match read {
        Ok(_) => Ok(Value::Bool(true)),
        Err(EvaluationError::Missing) => Ok(Value::Bool(false)),
        Err(error) => Err(error),
    }
}
