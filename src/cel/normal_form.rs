//! Comparisons of attributes in normal form (`request.host`, `request.url_path`, `request.method`).
//!
//! A literal that the normal form never has makes `!=` always true: it is a compile error. Paths are escaped and claims are
//! not: a claim is compared with a path only where it is the same in both forms.

use super::activation::Field;
use super::parser::Operator;
use super::program::{Constant, Function, Node};
use crate::authority::read_host;
use crate::encoding::{is_pchar, needs_no_escape, percent_escape};

const HOST: &str = "a host in lower case, without port and without a dot at its end (request.raw_host has these)";
const PATH: &str = "a path in normal form such as '/a%20b', without the query and without a slash at its end (request.raw_path has these)";
const METHOD: &str = "a method in capitals";

/// The hint for an attribute that is compared with a literal which it never equals.
pub(super) fn never_equal(left: &Node, right: &Node) -> Option<&'static str> {
    match (left, right) {
        (Node::Field(field), Node::Constant(Constant::String(text)))
        | (Node::Constant(Constant::String(text)), Node::Field(field)) => not_a_value(*field, text),
        (Node::Field(_), Node::List(items)) => items.iter().find_map(|item| never_equal(left, item)),
        _ => None,
    }
}

fn not_a_value(field: Field, text: &str) -> Option<&'static str> {
    if field == Field::Host {
        (read_host(text.as_bytes()).as_deref() != Some(text)).then_some(HOST)
    } else if field == Field::UrlPath {
        (!is_normal_path(text)).then_some(PATH)
    } else if field == Field::Method {
        has_lower_case(text).then_some(METHOD)
    } else {
        None
    }
}

/// The hint for an attribute that is searched for a literal which it never contains.
pub(super) fn never_contains(attribute: &Node, part: &Node) -> Option<&'static str> {
    let (Node::Field(field), Node::Constant(Constant::String(part))) = (attribute, part) else { return None };
    let has_upper_case = || part.bytes().any(|byte| byte.is_ascii_uppercase());
    if *field == Field::Host {
        (has_upper_case() || (part.contains(':') && !part.contains(['[', ']']))).then_some(HOST)
    } else if *field == Field::UrlPath {
        (!needs_no_escape(&part.replace('%', ""))).then_some(PATH)
    } else if *field == Field::Method {
        has_lower_case(part).then_some(METHOD)
    } else {
        None
    }
}

/// Whether some request's `request.url_path` is this text: no empty and no dot segments, and only bytes that need it are
/// escaped, in upper case.
fn is_normal_path(text: &str) -> bool {
    let Some(segments) = text.strip_prefix('/') else { return false };
    segments.is_empty() || segments.split('/').all(|segment| !matches!(segment, "" | "." | "..") && is_normal(segment))
}

fn is_normal(segment: &str) -> bool {
    let mut parts = segment.split('%');
    parts.next().unwrap_or_default().bytes().all(is_pchar)
        && parts.all(|part| {
            percent_escape(part.as_bytes()).is_some_and(|(byte, rest)| {
                let has_lower_case_digit = part.bytes().take(2).any(|digit| digit.is_ascii_lowercase());
                !is_pchar(byte) && !has_lower_case_digit && rest.iter().copied().all(is_pchar)
            })
        })
}

fn has_lower_case(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_lowercase())
}

/// An operand that is compared with a path, with a check of all that is known at evaluation only.
pub(super) fn beside_path(node: Node) -> Node {
    if matches!(node, Node::Constant(_) | Node::Field(Field::UrlPath)) {
        node
    } else if let Node::List(items) = node {
        Node::List(items.into_iter().map(beside_path).collect())
    } else if let Node::Binary(Operator::Add, operands) = node {
        let (left, right) = *operands;
        Node::Binary(Operator::Add, Box::new((beside_path(left), beside_path(right))))
    } else if let Node::Call(function @ (Function::LowerAscii | Function::String), operands) = node {
        Node::Call(function, operands.into_iter().map(beside_path).collect())
    } else {
        Node::WithoutEscapes(Box::new(node))
    }
}
