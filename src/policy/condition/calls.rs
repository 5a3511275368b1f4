//! Calls and macros -> program: which functions there are, and what is compiled of their literal arguments.

use regex_lite::RegexBuilder;

use super::calendar::{TimePart, parse_span, parse_time, parse_zone};
use super::check::{Checked, Checker, Kind, comparable};
use super::fault::{ConditionProblem, FaultAt, fault};
use super::network::Network;
use super::normal_form::never_contains;
use super::program::{Constant, Each, Function, Node, Pattern, Quantifier};
use super::syntax::{Form, Syntax};

/// Bounds on what a regular expression may hold of the stack, of memory and of time.
const LONGEST_PATTERN: usize = 512;
const LARGEST_PATTERN: usize = 64 * 1024;
const DEEPEST_PATTERN: u32 = 32;

pub(super) fn call(
    checker: &mut Checker,
    offset: usize,
    target: Option<&Syntax>,
    name: &str,
    arguments: &[Syntax],
) -> Result<Checked, FaultAt> {
    match (name, target, arguments) {
        ("has", None, [argument]) => has(checker, argument),
        ("all", Some(range), [variable, body]) => each(checker, Quantifier::All, range, variable, (None, body)),
        ("exists", Some(range), [variable, body]) => each(checker, Quantifier::Exists, range, variable, (None, body)),
        ("exists_one" | "existsOne", Some(range), [variable, body]) => {
            each(checker, Quantifier::ExistsOne, range, variable, (None, body))
        }
        ("filter", Some(range), [variable, body]) => each(checker, Quantifier::Filter, range, variable, (None, body)),
        ("map", Some(range), [variable, body]) => each(checker, Quantifier::Map, range, variable, (None, body)),
        ("map", Some(range), [variable, only, body]) => {
            each(checker, Quantifier::Map, range, variable, (Some(only), body))
        }
        ("matches", Some(text), [pattern]) | ("matches", None, [text, pattern]) => matches(checker, text, pattern),
        ("ip_in", None, [address, networks]) => ip_in(checker, address, networks),
        (part, Some(time), zone @ ([] | [_])) if TimePart::named(part).is_some() => {
            let unknown = FaultAt { offset, problem: ConditionProblem::UnknownFunction };
            time_part(checker, TimePart::named(part).ok_or(unknown)?, time, zone.first())
        }
        (_, target, arguments) => function(checker, offset, target, name, arguments),
    }
}

fn has(checker: &mut Checker, argument: &Syntax) -> Result<Checked, FaultAt> {
    if let Form::Member(target, member) = &argument.form {
        checker.has(argument.offset, target, member)
    } else {
        fault(argument.start(), ConditionProblem::Syntax("a member, as in has(claims.tenant)"))
    }
}

fn each(
    checker: &mut Checker,
    quantifier: Quantifier,
    range: &Syntax,
    variable: &Syntax,
    (only, body): (Option<&Syntax>, &Syntax),
) -> Result<Checked, FaultAt> {
    let range = checker.of(range, &[Kind::List, Kind::Map], "a list or a map")?.node;
    let (only, body) = checker.with_variable(variable, |checker| {
        let only = only.map(|only| checker.boolean(only)).transpose()?;
        let body = if quantifier == Quantifier::Map { checker.any(body)?.node } else { checker.boolean(body)? };
        Ok((only, body))
    })?;
    let kind = match quantifier {
        Quantifier::All | Quantifier::Exists | Quantifier::ExistsOne => Kind::Bool,
        Quantifier::Filter | Quantifier::Map => Kind::List,
    };
    Ok(Checked { node: Node::Each(Box::new(Each { quantifier, range, only, body })), kind })
}

fn matches(checker: &mut Checker, text: &Syntax, pattern: &Syntax) -> Result<Checked, FaultAt> {
    let text = checker.of(text, &[Kind::Text], "a text")?.node;
    let refuse = |hint: &'static str| FaultAt { offset: pattern.start(), problem: ConditionProblem::Pattern(hint) };
    let Form::Text(written) = &pattern.form else {
        return Err(refuse("write it as a text, so that it is known at start"));
    };
    if written.len() > LONGEST_PATTERN {
        return Err(refuse("it has more than 512 bytes"));
    }
    let regex = RegexBuilder::new(written).size_limit(LARGEST_PATTERN).nest_limit(DEEPEST_PATTERN).build();
    let regex =
        regex.map_err(|_| refuse("it is malformed, too large, or of a kind that takes more than linear time"))?;
    let pattern = Pattern { regex, weight: weight(written) };
    Ok(Checked { node: Node::Matches(Box::new(text), pattern), kind: Kind::Bool })
}

/// What each byte of text may cost: the states of the expression, of which a counted repetition has more than it
/// shows, and one inside another their product.
fn weight(pattern: &str) -> usize {
    let largest = |counts: &str| {
        let counts = counts.split('}').next().unwrap_or_default();
        counts.split(',').filter_map(|count| count.trim().parse::<usize>().ok()).max().unwrap_or(1).max(1)
    };
    let repeated = pattern.split('{').skip(1).map(largest).fold(1, usize::saturating_mul);
    pattern.len().saturating_add(1).saturating_mul(repeated)
}

fn ip_in(checker: &mut Checker, address: &Syntax, networks: &Syntax) -> Result<Checked, FaultAt> {
    let address = checker.of(address, &[Kind::Text], "an address")?.node;
    let listed = if let Form::List(items) = &networks.form {
        items.iter().map(network).collect::<Option<Result<Vec<_>, _>>>()
    } else {
        None
    };
    let node = match listed {
        Some(networks) => Node::IsInNetworks(Box::new(address), networks?),
        None => {
            let networks = checker.of(networks, &[Kind::List], "a list of ranges such as ['10.0.0.0/8']")?.node;
            Node::IsInListed(Box::new((address, networks)))
        }
    };
    Ok(Checked { node, kind: Kind::Bool })
}

/// `None` when only a request tells.
fn network(item: &Syntax) -> Option<Result<Network, FaultAt>> {
    let unusable = FaultAt { offset: item.offset, problem: ConditionProblem::Network };
    if let Form::Text(text) = &item.form { Some(Network::parse(text).ok_or(unusable)) } else { None }
}

fn time_part(checker: &mut Checker, part: TimePart, time: &Syntax, zone: Option<&Syntax>) -> Result<Checked, FaultAt> {
    let unknown = |offset: usize| FaultAt { offset, problem: ConditionProblem::TimeZone };
    let of_span = zone.is_none() && part.of_span(0).is_some();
    let wanted: &[Kind] = if of_span { &[Kind::Time, Kind::Span] } else { &[Kind::Time] };
    let time = checker.of(time, wanted, "a time, such as request.time")?.node;
    let offset = match zone {
        None => 0,
        Some(Syntax { form: Form::Text(zone), offset, .. }) => parse_zone(zone).ok_or(unknown(*offset))?,
        Some(other) => return Err(unknown(other.start())),
    };
    Ok(Checked { node: Node::TimePart(part, Box::new(time), offset), kind: Kind::Int })
}

fn function(
    checker: &mut Checker,
    offset: usize,
    target: Option<&Syntax>,
    name: &str,
    arguments: &[Syntax],
) -> Result<Checked, FaultAt> {
    const TEXT: &[Kind] = &[Kind::Text];
    const SIZED: &[Kind] = &[Kind::Text, Kind::List, Kind::Map];
    const TO_INT: &[Kind] = &[Kind::Int, Kind::Double, Kind::Text, Kind::Time];
    const TO_DOUBLE: &[Kind] = &[Kind::Int, Kind::Double, Kind::Text];
    // Not of doubles, which every implementation writes in its own way.
    const TO_TEXT: &[Kind] = &[Kind::Int, Kind::Text, Kind::Bool];
    const TO_TIME: &[Kind] = &[Kind::Int, Kind::Text, Kind::Time];
    const TO_SPAN: &[Kind] = &[Kind::Text, Kind::Span];
    let (function, kind, operands): (_, _, Vec<Operand<'_>>) = match (name, target, arguments) {
        ("size", Some(of), []) | ("size", None, [of]) => (Function::Size, Kind::Int, vec![(of, SIZED)]),
        ("startsWith", Some(text), [start]) => (Function::StartsWith, Kind::Bool, vec![(text, TEXT), (start, TEXT)]),
        ("endsWith", Some(text), [end]) => (Function::EndsWith, Kind::Bool, vec![(text, TEXT), (end, TEXT)]),
        ("contains", Some(text), [part]) => (Function::Contains, Kind::Bool, vec![(text, TEXT), (part, TEXT)]),
        ("lowerAscii", Some(text), []) => (Function::LowerAscii, Kind::Text, vec![(text, TEXT)]),
        ("path_segment", None, [path, place]) => {
            (Function::PathSegment, Kind::Text, vec![(path, TEXT), (place, &[Kind::Int])])
        }
        ("int", None, [of]) => (Function::Int, Kind::Int, vec![(of, TO_INT)]),
        ("double", None, [of]) => (Function::Double, Kind::Double, vec![(of, TO_DOUBLE)]),
        ("string", None, [of]) => (Function::String, Kind::Text, vec![(of, TO_TEXT)]),
        ("timestamp", None, [of]) => {
            return literal(of, parse_time, Constant::Time, Kind::Time)
                .unwrap_or_else(|| plain(checker, Function::Timestamp, Kind::Time, &[(of, TO_TIME)]));
        }
        ("duration", None, [of]) => {
            return literal(of, parse_span, Constant::Span, Kind::Span)
                .unwrap_or_else(|| plain(checker, Function::Duration, Kind::Span, &[(of, TO_SPAN)]));
        }
        _ => return fault(offset, ConditionProblem::UnknownFunction),
    };
    plain(checker, function, kind, &operands)
}

/// An operand and what it may be.
type Operand<'s> = (&'s Syntax, &'static [Kind]);

fn plain(checker: &mut Checker, function: Function, kind: Kind, operands: &[Operand<'_>]) -> Result<Checked, FaultAt> {
    const HINT: &str = "a type that this function takes";
    let searches = matches!(function, Function::StartsWith | Function::EndsWith | Function::Contains);
    if let ([(of, texts), (part, _)], true) = (operands, searches) {
        let (of, checked) = (checker.of(of, texts, HINT)?, checker.of(part, texts, HINT)?);
        if let Some(form) = never_contains(&of.node, &checked.node) {
            return fault(part.start(), ConditionProblem::NotNormal(form));
        }
        return Ok(Checked { node: Node::Call(function, comparable(of, checked).into()), kind });
    }
    let operand = |(operand, wanted): &Operand<'_>| checker.of(operand, wanted, HINT);
    let operands: Vec<Checked> = operands.iter().map(operand).collect::<Result<_, FaultAt>>()?;
    let is_path = matches!(operands.as_slice(), [Checked { kind: Kind::Path, .. }]);
    let keeps_path = is_path && matches!(function, Function::LowerAscii | Function::String);
    let kind = if keeps_path { Kind::Path } else { kind };
    let operands = operands.into_iter().map(|operand| operand.node).collect();
    Ok(Checked { node: Node::Call(function, operands), kind })
}

/// A conversion of a text that stands in the expression is done once, and faults there.
fn literal(
    syntax: &Syntax,
    parse: fn(&str) -> Option<i64>,
    constant: fn(i64) -> Constant,
    kind: Kind,
) -> Option<Result<Checked, FaultAt>> {
    const HINT: &str = "a time as in '2026-01-31T08:00:00Z', a span as in '1h30m'";
    let Form::Text(text) = &syntax.form else { return None };
    let unusable = FaultAt { offset: syntax.offset, problem: ConditionProblem::WrongType(HINT) };
    let converted = parse(text).ok_or(unusable);
    Some(converted.map(|millis| Checked { node: Node::Constant(constant(millis)), kind }))
}
