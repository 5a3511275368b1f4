//! Checks calls and macros: resolves functions and compiles their literal arguments.

use regex_lite::RegexBuilder;

use super::check::{Checked, Checker, comparable};
use super::error::{CompileErrorKind as Kind, ErrorAt, error_at};
use super::network::Network;
use super::normal_form::never_contains;
use super::parser::{Expr, ExprKind};
use super::program::{Comprehension, Constant, Function, Macro, Node, Pattern};
use super::suggest;
use super::timestamp::{TimePart, parse_duration, parse_timestamp, parse_zone};
use super::types::Type;

/// Bounds on the stack, memory and time of a regular expression.
const MAX_PATTERN_BYTES: usize = 512;
const MAX_PATTERN_SIZE: usize = 64 * 1024;
const MAX_PATTERN_NESTING: u32 = 32;

/// An operand and its permitted types.
type Operand<'s> = (&'s Expr, &'static [Type]);

impl Checker {
    pub(super) fn call(
        &mut self,
        offset: usize,
        target: Option<&Expr>,
        name: &str,
        arguments: &[Expr],
    ) -> Result<Checked, ErrorAt> {
        if let (Some(part), Some(time), [] | [_]) = (TimePart::named(name), target, arguments) {
            return self.time_part(part, time, arguments.first());
        }
        match (Macro::named(name), target, arguments) {
            (Some(kind), Some(range), [variable, step]) => self.comprehension(kind, range, variable, (None, step)),
            (Some(Macro::Map), Some(range), [variable, filter, step]) => {
                self.comprehension(Macro::Map, range, variable, (Some(filter), step))
            }
            _ => match (name, target, arguments) {
                ("has", None, [argument]) => self.has(argument),
                ("matches", Some(text), [pattern]) | ("matches", None, [text, pattern]) => self.matches(text, pattern),
                ("ip_in", None, [address, networks]) => self.ip_in(address, networks),
                (_, target, arguments) => self.function(offset, target, name, arguments),
            },
        }
    }

    fn comprehension(
        &mut self,
        kind: Macro,
        range: &Expr,
        variable: &Expr,
        (filter, step): (Option<&Expr>, &Expr),
    ) -> Result<Checked, ErrorAt> {
        let range = self.of(range, &[Type::List, Type::Map], "a list or a map").node;
        let (filter, step) = self.with_variable(variable, |checker| {
            let filter = filter.map(|filter| checker.boolean(filter));
            let step = if kind == Macro::Map { checker.any(step).node } else { checker.boolean(step) };
            Ok((filter, step))
        })?;
        let ty = match kind {
            Macro::All | Macro::Exists | Macro::ExistsOne => Type::Bool,
            Macro::Filter | Macro::Map => Type::List,
        };
        Ok(Checked { node: Node::Comprehension(Box::new(Comprehension { kind, range, filter, step })), ty })
    }

    fn matches(&mut self, text: &Expr, pattern: &Expr) -> Result<Checked, ErrorAt> {
        let text = self.of(text, &[Type::String], "a string").node;
        let reject = |hint: &'static str| ErrorAt { offset: pattern.start(), kind: Kind::Pattern(hint) };
        let ExprKind::String(written) = &pattern.kind else {
            return Err(reject("write it as a string literal, so that it is known at start"));
        };
        if written.len() > MAX_PATTERN_BYTES {
            return Err(reject("it has more than 512 bytes"));
        }
        let regex = RegexBuilder::new(written).size_limit(MAX_PATTERN_SIZE).nest_limit(MAX_PATTERN_NESTING).build();
        let regex =
            regex.map_err(|_| reject("it is malformed, too large, or of a kind that takes more than linear time"))?;
        let pattern = Pattern { regex, weight: weight(written) };
        Ok(Checked { node: Node::Matches(Box::new(text), pattern), ty: Type::Bool })
    }

    fn ip_in(&mut self, address: &Expr, networks: &Expr) -> Result<Checked, ErrorAt> {
        let address = self.of(address, &[Type::String], "an address").node;
        let listed =
            if let ExprKind::List(items) = &networks.kind { items.iter().map(network).collect() } else { None };
        let listed: Option<Vec<Result<Network, ErrorAt>>> = listed;
        let node = match listed {
            Some(networks) => {
                let valid = |network: Result<_, _>| network.map_err(|error| self.errors.push(error)).ok();
                Node::IsInNetworks(Box::new(address), networks.into_iter().filter_map(valid).collect())
            }
            None => {
                let networks = self.of(networks, &[Type::List], "a list of ranges such as ['10.0.0.0/8']").node;
                Node::IsInComputedNetworks(Box::new((address, networks)))
            }
        };
        Ok(Checked { node, ty: Type::Bool })
    }

    fn time_part(&mut self, part: TimePart, time: &Expr, zone: Option<&Expr>) -> Result<Checked, ErrorAt> {
        let unknown = |offset: usize| ErrorAt { offset, kind: Kind::TimeZone };
        let of_duration = zone.is_none() && part.of_duration(0).is_some();
        let types: &[Type] = if of_duration { &[Type::Timestamp, Type::Duration] } else { &[Type::Timestamp] };
        let time = self.of(time, types, "a timestamp such as request.time").node;
        let offset = match zone {
            None => 0,
            Some(Expr { kind: ExprKind::String(zone), offset, .. }) => parse_zone(zone).ok_or(unknown(*offset))?,
            Some(other) => return Err(unknown(other.start())),
        };
        Ok(Checked { node: Node::TimePart(part, Box::new(time), offset), ty: Type::Int })
    }

    fn function(
        &mut self,
        offset: usize,
        target: Option<&Expr>,
        name: &str,
        arguments: &[Expr],
    ) -> Result<Checked, ErrorAt> {
        const TEXT: &[Type] = &[Type::String];
        const SIZED: &[Type] = &[Type::String, Type::List, Type::Map];
        const TO_INT: &[Type] = &[Type::Int, Type::Double, Type::String, Type::Timestamp];
        const TO_DOUBLE: &[Type] = &[Type::Int, Type::Double, Type::String];
        // No doubles: implementations format them differently.
        const TO_STRING: &[Type] = &[Type::Int, Type::String, Type::Bool];
        const TO_TIMESTAMP: &[Type] = &[Type::Int, Type::String, Type::Timestamp];
        const TO_DURATION: &[Type] = &[Type::String, Type::Duration];
        let (function, ty, operands): (_, _, Vec<Operand<'_>>) = match (name, target, arguments) {
            ("size", Some(of), []) | ("size", None, [of]) => (Function::Size, Type::Int, vec![(of, SIZED)]),
            ("startsWith", Some(text), [start]) => {
                (Function::StartsWith, Type::Bool, vec![(text, TEXT), (start, TEXT)])
            }
            ("endsWith", Some(text), [end]) => (Function::EndsWith, Type::Bool, vec![(text, TEXT), (end, TEXT)]),
            ("contains", Some(text), [part]) => (Function::Contains, Type::Bool, vec![(text, TEXT), (part, TEXT)]),
            ("lowerAscii", Some(text), []) => (Function::LowerAscii, Type::String, vec![(text, TEXT)]),
            ("path_segment", None, [path, number]) => {
                (Function::PathSegment, Type::String, vec![(path, TEXT), (number, &[Type::Int])])
            }
            ("int", None, [of]) => (Function::Int, Type::Int, vec![(of, TO_INT)]),
            ("double", None, [of]) => (Function::Double, Type::Double, vec![(of, TO_DOUBLE)]),
            ("string", None, [of]) => (Function::String, Type::String, vec![(of, TO_STRING)]),
            ("timestamp", None, [of]) => match literal(of, parse_timestamp, Constant::Timestamp, Type::Timestamp) {
                Some(converted) => return converted,
                None => (Function::Timestamp, Type::Timestamp, vec![(of, TO_TIMESTAMP)]),
            },
            ("duration", None, [of]) => match literal(of, parse_duration, Constant::Duration, Type::Duration) {
                Some(converted) => return converted,
                None => (Function::Duration, Type::Duration, vec![(of, TO_DURATION)]),
            },
            _ => return self.unknown_function(offset, target, name, arguments),
        };
        self.plain(function, ty, &operands)
    }

    fn unknown_function(
        &mut self,
        offset: usize,
        target: Option<&Expr>,
        name: &str,
        arguments: &[Expr],
    ) -> Result<Checked, ErrorAt> {
        // The arguments of what may be a macro have a variable of their own.
        let arguments = if target.is_none() { arguments } else { &[] };
        for operand in target.into_iter().chain(arguments) {
            self.any(operand);
        }
        error_at(offset, Kind::UnknownFunction(suggest::function(name)))
    }

    fn plain(&mut self, function: Function, ty: Type, operands: &[Operand<'_>]) -> Result<Checked, ErrorAt> {
        const HINT: &str = "a type that this function takes";
        let searches = matches!(function, Function::StartsWith | Function::EndsWith | Function::Contains);
        if let ([(of, texts), (part, _)], true) = (operands, searches) {
            let (of, checked) = (self.of(of, texts, HINT), self.of(part, texts, HINT));
            if let Some(kind) = never_contains(&of.node, &checked.node) {
                return error_at(part.start(), Kind::NotNormal(kind));
            }
            return Ok(Checked { node: Node::Call(function, comparable(of, checked).into()), ty });
        }
        let operand = |(operand, types): &Operand<'_>| self.of(operand, types, HINT);
        let operands: Vec<Checked> = operands.iter().map(operand).collect();
        let is_path = matches!(operands.as_slice(), [Checked { ty: Type::Path, .. }]);
        let keeps_path = is_path && matches!(function, Function::LowerAscii | Function::String);
        let ty = if keeps_path { Type::Path } else { ty };
        let operands = operands.into_iter().map(|operand| operand.node).collect();
        Ok(Checked { node: Node::Call(function, operands), ty })
    }
}

/// The cost of each byte: the states of the expression. A counted repetition multiplies them, and a nested one
/// multiplies again.
fn weight(pattern: &str) -> usize {
    let largest = |counts: &str| {
        let counts = counts.split('}').next().unwrap_or_default();
        counts.split(',').filter_map(|count| count.trim().parse::<usize>().ok()).max().unwrap_or(1).max(1)
    };
    let repeated = pattern.split('{').skip(1).map(largest).fold(1, usize::saturating_mul);
    pattern.len().saturating_add(1).saturating_mul(repeated)
}

/// `None` where the range is known at evaluation only.
fn network(item: &Expr) -> Option<Result<Network, ErrorAt>> {
    let invalid = ErrorAt { offset: item.offset, kind: Kind::Network };
    if let ExprKind::String(text) = &item.kind { Some(Network::parse(text).ok_or(invalid)) } else { None }
}

/// Converts a literal once; a conversion that fails is a compile error.
fn literal(
    expr: &Expr,
    parse: fn(&str) -> Option<i64>,
    constant: fn(i64) -> Constant,
    ty: Type,
) -> Option<Result<Checked, ErrorAt>> {
    const HINT: &str = "a timestamp such as '2026-01-31T08:00:00Z' or a duration such as '1h30m'";
    let ExprKind::String(text) = &expr.kind else { return None };
    let invalid = ErrorAt { offset: expr.offset, kind: Kind::WrongType(HINT) };
    let converted = parse(text).ok_or(invalid);
    Some(converted.map(|millis| Checked { node: Node::Constant(constant(millis)), ty }))
}
