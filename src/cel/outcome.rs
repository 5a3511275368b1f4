//! Which results a program can have, without a request: finds conditions that are constant or always an error.

use serde_json::Map as JsonMap;

use super::Program;
use super::activation::{Activation, Field, TokenAttributes};
use super::attribute::AttributeValues;
use super::cost::{COST_LIMIT, CostLimit};
use super::error::EvaluationError;
use super::evaluate::Evaluation;
use super::program::{Constant, Function, Node};
use super::value::Value;
use crate::http::RequestHead;
use crate::unix_time::UnixTime;

/// What is known of all tokens of a provider.
#[derive(Clone, Copy, Debug)]
pub struct ProviderFacts<'a> {
    /// `token.provider`.
    pub name: &'a str,
    /// The path of the claim with the groups, which is a list.
    pub groups: &'a [String],
    /// Whether the claim `scp` is a list.
    pub has_scope_list: bool,
}

/// The results that a program can have. A program with neither is always an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub can_be_true: bool,
    pub can_be_false: bool,
    /// Whether it may be an error or, for a part of a program, another value.
    can_be_other: bool,
}

impl Outcome {
    const UNKNOWN: Self = Self { can_be_true: true, can_be_false: true, can_be_other: true };
    const ERROR: Self = Self { can_be_true: false, can_be_false: false, can_be_other: true };

    /// Whether it is the same for every request: true, false or an error.
    pub const fn is_constant(self) -> bool {
        matches!((self.can_be_true, self.can_be_false, self.can_be_other), (true, false, false) | (false, true, false))
            || !(self.can_be_true || self.can_be_false)
    }
}

/// A part of a program: its outcome, and whether it is certainly an error.
#[derive(Clone, Copy)]
struct Part {
    outcome: Outcome,
    is_error: bool,
}

impl Part {
    const UNKNOWN: Self = Self { outcome: Outcome::UNKNOWN, is_error: false };
    const ERROR: Self = Self { outcome: Outcome::ERROR, is_error: true };

    const fn of(outcome: Outcome) -> Self {
        Self { outcome, is_error: false }
    }
}

impl Program {
    /// The results that it can have with tokens of a provider, as far as they are known; `None` without a token.
    pub fn outcome(&self, provider: Option<&ProviderFacts<'_>>) -> Outcome {
        let outcome = Analyzer { provider }.part(&self.expr.node).outcome;
        if outcome == Outcome::ERROR || outcome.can_be_true || outcome.can_be_false { outcome } else { Outcome::ERROR }
    }
}

struct Analyzer<'a> {
    provider: Option<&'a ProviderFacts<'a>>,
}

impl Analyzer<'_> {
    fn part(&self, node: &Node) -> Part {
        if self.is_constant(node) {
            return self.evaluated(node);
        }
        if let Node::And(terms) = node {
            self.logical(terms, false)
        } else if let Node::Or(terms) = node {
            self.logical(terms, true)
        } else if let Node::Not(operand) = node {
            let Part { outcome, is_error } = self.part(operand);
            let (can_be_true, can_be_false) = (outcome.can_be_false, outcome.can_be_true);
            Part { outcome: Outcome { can_be_true, can_be_false, ..outcome }, is_error }
        } else if let Node::Conditional(parts) = node {
            self.conditional(&parts.0, [&parts.1, &parts.2])
        } else if let Node::Comprehension(comprehension) = node {
            // The step is evaluated for some values only.
            self.strict(&[&comprehension.range])
        } else if self.is_always_an_error(node) {
            Part::ERROR
        } else {
            self.strict(&node.operands())
        }
    }

    /// A part that is an error if one of its operands is.
    fn strict(&self, operands: &[&Node]) -> Part {
        if operands.iter().any(|operand| self.part(operand).is_error) { Part::ERROR } else { Part::UNKNOWN }
    }

    /// `&&` is absorbed by `false`, `||` by `true`.
    fn logical(&self, terms: &[Node], absorbing: bool) -> Part {
        let parts: Vec<Part> = terms.iter().map(|term| self.part(term)).collect();
        let can_be = |outcome: Outcome, value: bool| if value { outcome.can_be_true } else { outcome.can_be_false };
        let is_always = |part: &Part| {
            can_be(part.outcome, absorbing) && !can_be(part.outcome, !absorbing) && !part.outcome.can_be_other
        };
        let is_absorbed = parts.iter().any(is_always);
        let can_absorb = parts.iter().any(|part| can_be(part.outcome, absorbing));
        let can_pass = parts.iter().all(|part| can_be(part.outcome, !absorbing));
        let can_be_other = !is_absorbed && parts.iter().any(|part| part.outcome.can_be_other);
        let outcome = if absorbing {
            Outcome { can_be_true: can_absorb, can_be_false: can_pass, can_be_other }
        } else {
            Outcome { can_be_true: can_pass, can_be_false: can_absorb, can_be_other }
        };
        Part { outcome, is_error: !can_absorb && !can_pass }
    }

    fn conditional(&self, condition: &Node, branches: [&Node; 2]) -> Part {
        let condition = self.part(condition);
        if condition.is_error {
            return Part::ERROR;
        }
        let [yes, no] = branches.map(|branch| self.part(branch));
        let chosen: Vec<Part> = [(condition.outcome.can_be_true, yes), (condition.outcome.can_be_false, no)]
            .into_iter()
            .filter_map(|(can_be, branch)| can_be.then_some(branch))
            .collect();
        let any = |test: fn(&Part) -> bool| chosen.iter().any(test);
        Part {
            outcome: Outcome {
                can_be_true: any(|part| part.outcome.can_be_true),
                can_be_false: any(|part| part.outcome.can_be_false),
                can_be_other: condition.outcome.can_be_other || any(|part| part.outcome.can_be_other),
            },
            is_error: chosen.iter().all(|part| part.is_error),
        }
    }

    fn is_always_an_error(&self, node: &Node) -> bool {
        if let Node::Matches(text, _) = node {
            return self.is_list(text);
        }
        let Node::Call(function, operands) = node else { return false };
        match (function, operands.as_slice()) {
            (Function::PathSegment, [_, place]) => {
                matches!(place, Node::Constant(Constant::Int(place)) if *place < 1)
            }
            (Function::StartsWith | Function::EndsWith | Function::Contains | Function::LowerAscii, [of, ..]) => {
                self.is_list(of)
            }
            _ => false,
        }
    }

    /// Whether it is a claim that is a list, if it is there.
    fn is_list(&self, node: &Node) -> bool {
        let mut path: Vec<&str> = Vec::new();
        let mut node = node;
        while let Node::Select(target, name) = node {
            path.insert(0, name);
            node = target;
        }
        let Some(provider) = self.provider.filter(|_| matches!(node, Node::Claims)) else { return false };
        path == provider.groups || path == ["amr"] || (provider.has_scope_list && path == ["scp"])
    }

    /// Whether it reads neither the request nor the token, except the name of the provider.
    fn is_constant(&self, node: &Node) -> bool {
        let reads_provider = matches!(node, Node::Field(Field::Provider)) && self.provider.is_some();
        let reads = matches!(
            node,
            Node::Field(_) | Node::HasField(_) | Node::Claims | Node::Headers | Node::Header(_) | Node::HasHeader(_)
        );
        reads_provider || (!reads && node.operands().iter().all(|operand| self.is_constant(operand)))
    }

    fn evaluated(&self, node: &Node) -> Part {
        let (head, attributes, claims) = (RequestHead::new(Vec::new()), AttributeValues::default(), JsonMap::new());
        let token = self.provider.map(|provider| TokenAttributes {
            claims: &claims,
            subject: None,
            client_id: None,
            scopes: &[],
            provider: provider.name,
        });
        let activation = Activation::new(&head, None, UnixTime::from_secs(0), &attributes, token);
        let mut cost = CostLimit::new(COST_LIMIT);
        let value = Evaluation::new(&activation, &mut cost).value(node);
        match value {
            Ok(Value::Bool(value)) => {
                Part::of(Outcome { can_be_true: value, can_be_false: !value, can_be_other: false })
            }
            Ok(_) => Part::of(Outcome::ERROR),
            Err(EvaluationError::CostLimitExceeded) => Part::UNKNOWN,
            Err(_) => Part::ERROR,
        }
    }
}
