//! Reads YAML 1.2 with the core schema, with aliases and merge keys.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, StrInput, Tag};
use serde_json::{Number, Value};

use super::node::{Kind, Node, Style, SyntaxError};
use crate::positions::Position;

/// More than the filter's limit for a configuration, which stands deep in a host's document.
const MAX_DEPTH: usize = 128;
/// The name of a member whose value has members for the object around it (YAML 1.1).
const MERGE: &str = "<<";
const EXACT_INTEGERS: f64 = 9_007_199_254_740_992.0;

/// Reads all documents, without empty ones.
pub fn read(text: &str) -> Result<Vec<Node>, SyntaxError> {
    let mut reader = Reader { parser: Parser::new_from_str(text), anchors: HashMap::new() };
    let mut documents = Vec::new();
    loop {
        let (event, at) = reader.next()?;
        match event {
            Event::StreamEnd => return Ok(documents),
            Event::DocumentStart(_) => {
                reader.anchors.clear();
                let first = reader.next()?;
                let node = reader.node(first, 0)?;
                documents.extend(Rc::into_inner(node));
                reader.anchors.clear();
            }
            Event::Nothing | Event::StreamStart | Event::DocumentEnd => {}
            Event::Alias(_)
            | Event::Scalar(..)
            | Event::SequenceStart(..)
            | Event::SequenceEnd
            | Event::MappingStart(..)
            | Event::MappingEnd => return Err(SyntaxError::new("a document is expected", Some(at))),
        }
    }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Rc<Node>>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Position), SyntaxError> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, position(&span.start))),
            Some(Err(fault)) => Err(syntax_error(&fault)),
            None => Ok((Event::StreamEnd, Position { line: 1, column: 1 })),
        }
    }

    /// The node that begins with this event.
    fn node(&mut self, (event, position): (Event<'a>, Position), depth: usize) -> Result<Rc<Node>, SyntaxError> {
        if depth > MAX_DEPTH {
            return Err(SyntaxError::new(format!("nested more than {MAX_DEPTH} deep"), Some(position)));
        }
        let (kind, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => (scalar(&text, style, tag.as_deref()), anchor),
            Event::SequenceStart(anchor, _) => (Kind::List(self.items(depth)?), anchor),
            Event::MappingStart(anchor, _) => (Kind::Object(self.members(depth)?), anchor),
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).cloned();
                return known.ok_or_else(|| SyntaxError::new("an alias inside of its own anchor", Some(position)));
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => return Err(SyntaxError::new("a value is expected", Some(position))),
        };
        let node = Rc::new(Node { position, kind });
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        Ok(node)
    }

    fn items(&mut self, depth: usize) -> Result<Vec<Rc<Node>>, SyntaxError> {
        let mut items = Vec::new();
        loop {
            let next = self.next()?;
            if matches!(next.0, Event::SequenceEnd) {
                return Ok(items);
            }
            items.push(self.node(next, depth + 1)?);
        }
    }

    fn members(&mut self, depth: usize) -> Result<Vec<(String, Position, Rc<Node>)>, SyntaxError> {
        let mut members: Vec<(String, Position, Rc<Node>)> = Vec::new();
        let mut merged = Vec::new();
        loop {
            let (event, at) = self.next()?;
            let (name, is_plain) = match event {
                Event::MappingEnd => break,
                Event::Scalar(text, style, ..) => (text.into_owned(), style == ScalarStyle::Plain),
                Event::Nothing
                | Event::StreamStart
                | Event::StreamEnd
                | Event::DocumentStart(_)
                | Event::DocumentEnd
                | Event::Alias(_)
                | Event::SequenceStart(..)
                | Event::SequenceEnd
                | Event::MappingStart(..) => {
                    return Err(SyntaxError::new("the name of a member is not a scalar", Some(at)));
                }
            };
            let next = self.next()?;
            let value = self.node(next, depth + 1)?;
            if is_plain && name == MERGE {
                merged.push((at, value));
            } else {
                members.push((name, at, value));
            }
        }
        for (at, value) in merged {
            merge(&mut members, &value, at)?;
        }
        Ok(members)
    }
}

/// Adds the members of another object, or of a list of objects, that are not there.
fn merge(members: &mut Vec<(String, Position, Rc<Node>)>, from: &Node, at: Position) -> Result<(), SyntaxError> {
    match &from.kind {
        Kind::Object(others) => {
            for (name, position, value) in others {
                if !members.iter().any(|(known, ..)| known == name) {
                    members.push((name.clone(), *position, Rc::clone(value)));
                }
            }
            Ok(())
        }
        Kind::List(items) if items.iter().all(|item| matches!(item.kind, Kind::Object(_))) => {
            items.iter().try_for_each(|item| merge(members, item, at))
        }
        Kind::List(_) | Kind::Scalar(..) => Err(SyntaxError::new(
            format!("the value of `{MERGE}` is neither an object nor a list of objects"),
            Some(at),
        )),
    }
}

fn position(marker: &Marker) -> Position {
    Position { line: marker.line(), column: marker.col() + 1 }
}

fn syntax_error(fault: &ScanError) -> SyntaxError {
    SyntaxError::new(fault.info(), Some(position(fault.marker())))
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Kind {
    let written = match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted => Style::SingleQuoted,
        ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
        ScalarStyle::Literal => Style::Literal,
        ScalarStyle::Folded => Style::Folded,
    };
    let core = tag.filter(|tag| tag.is_yaml_core_schema()).map(|tag| tag.suffix.as_str());
    let is_non_specific = tag.is_some_and(|tag| tag.handle.is_empty() && tag.suffix == "!");
    let value = match (core, written) {
        (Some("null"), _) => Value::Null,
        (Some("int" | "float" | "bool"), _) => resolved(text),
        (Some(_), _) => Value::String(text.to_owned()),
        (None, Style::Plain) if !is_non_specific => resolved(text),
        (None, _) => Value::String(text.to_owned()),
    };
    Kind::Scalar(value, written)
}

/// The value of a plain scalar in the core schema (YAML 1.2.2, section 10.3.2).
fn resolved(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => integer(text).or_else(|| float(text)).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    }
}

fn integer(text: &str) -> Option<Number> {
    let all = |digits: &str, radix| !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
    if let Some(digits) = text.strip_prefix("0o") {
        return all(digits, 8).then(|| u64::from_str_radix(digits, 8).ok()).flatten().map(Number::from);
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return all(digits, 16).then(|| u64::from_str_radix(digits, 16).ok()).flatten().map(Number::from);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !all(digits, 10) {
        return None;
    }
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    unsigned.parse::<u64>().map(Number::from).or_else(|_| unsigned.parse::<i64>().map(Number::from)).ok()
}

/// `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`. JSON has neither infinity nor NaN: they stay
/// strings.
fn float(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let has_digits = !whole.is_empty() || !fraction.is_empty();
    let is_float =
        has_digits && digits(whole) && digits(fraction) && exponent.is_none_or(|it| !it.is_empty() && digits(it));
    let value = if is_float { text.parse::<f64>().ok()? } else { return None };
    // Istio passes `1.0` and `1e3` to the filter as `1` and `1000`.
    if value.fract() == 0.0 && value.abs() < EXACT_INTEGERS {
        return format!("{value:.0}").parse::<i64>().ok().map(Number::from);
    }
    Number::from_f64(value)
}
