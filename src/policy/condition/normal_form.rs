//! Attributes in normal form (`request.host`, `request.url_path`, `request.method`) in comparisons.
//!
//! A constant that the normal form never has makes `!=` always true: it is an error at load. A path is escaped and
//! claims are not: what a token says is compared with a path only where it reads the same in both.

use super::facts::Fact;
use super::program::{Constant, Function, Node};
use super::syntax::Operator;
use crate::policy::request_target::{AmbiguousPaths, RequestTarget, needs_no_escape};
use crate::policy::route::read_host;

const HOST: &str = "a host in lower case, without port and without a dot at its end (request.raw_host has these)";
const PATH: &str = "a path in normal form such as '/a%20b', without the query and without a slash at its end (request.raw_path has these)";
const METHOD: &str = "a method in capitals";

/// The hint for an attribute that is compared with a constant which it never equals.
pub(super) fn never_equal(left: &Node, right: &Node) -> Option<&'static str> {
    match (left, right) {
        (Node::Fact(fact), Node::Constant(Constant::Text(text)))
        | (Node::Constant(Constant::Text(text)), Node::Fact(fact)) => not_a_value(*fact, text),
        (Node::Fact(_), Node::List(items)) => items.iter().find_map(|item| never_equal(left, item)),
        _ => None,
    }
}

fn not_a_value(fact: Fact, text: &str) -> Option<&'static str> {
    match fact {
        Fact::Host => (read_host(text.as_bytes()).as_deref() != Some(text)).then_some(HOST),
        Fact::UrlPath => {
            let target = RequestTarget::read(text.as_bytes(), AmbiguousPaths::InsecureAllow);
            let is_normal = target.is_ok_and(|target| target.path().as_str() == text);
            (!is_normal || (text.ends_with('/') && text != "/")).then_some(PATH)
        }
        Fact::Method => has_lower_case(text).then_some(METHOD),
        Fact::RawPath
        | Fact::RawQuery
        | Fact::RawHost
        | Fact::Scheme
        | Fact::Referer
        | Fact::UserAgent
        | Fact::Id
        | Fact::Time
        | Fact::OfHost(_)
        | Fact::Issuer
        | Fact::Subject
        | Fact::Client
        | Fact::Scopes
        | Fact::Provider => None,
    }
}

/// The hint for an attribute that is searched for a constant which it never contains.
pub(super) fn never_contains(attribute: &Node, part: &Node) -> Option<&'static str> {
    let (Node::Fact(fact), Node::Constant(Constant::Text(part))) = (attribute, part) else { return None };
    let has_upper_case = || part.bytes().any(|byte| byte.is_ascii_uppercase());
    if *fact == Fact::Host {
        (has_upper_case() || (part.contains(':') && !part.contains(['[', ']']))).then_some(HOST)
    } else if *fact == Fact::UrlPath {
        (!needs_no_escape(&part.replace('%', ""))).then_some(PATH)
    } else if *fact == Fact::Method {
        has_lower_case(part).then_some(METHOD)
    } else {
        None
    }
}

fn has_lower_case(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_lowercase())
}

/// An operand that is compared with a path, with a check of what only the request tells. Constants are the operator's own.
pub(super) fn beside_path(node: Node) -> Node {
    if matches!(node, Node::Constant(_) | Node::Fact(Fact::UrlPath)) {
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
