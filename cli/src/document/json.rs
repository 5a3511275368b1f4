//! Reads JSON with comments and trailing commas.

use std::rc::Rc;

use jsonc_parser::ast::{ObjectPropName, Value as Ast};
use jsonc_parser::common::Ranged as _;
use jsonc_parser::tokens::Token;
use jsonc_parser::{CollectOptions, CommentCollectionStrategy, ParseOptions, parse_to_ast};
use serde_json::Value;

use super::node::{Kind, Node, Style, SyntaxError};
use crate::positions::{Lines, Position};

/// Comments and trailing commas, and nothing else that JSON does not have.
const OPTIONS: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// Replaces comments and trailing commas by spaces, so that all other text keeps its position. `None` for other text than
/// JSON with comments and trailing commas.
pub fn without_extensions(text: &str) -> Option<String> {
    let collect = CollectOptions { comments: CommentCollectionStrategy::Separate, tokens: true };
    let parsed = parse_to_ast(text, &collect, &OPTIONS).ok()?;
    parsed.value?;
    let comments = parsed.comments?;
    let comments = comments
        .values()
        .flat_map(|comments| comments.iter())
        .map(|comment| comment.range().start..comment.range().end);
    let tokens = parsed.tokens?;
    let trailing = tokens.windows(2).filter_map(|pair| match pair {
        [comma, end]
            if matches!((&comma.token, &end.token), (Token::Comma, Token::CloseBrace | Token::CloseBracket)) =>
        {
            Some(comma.range.start..comma.range.end)
        }
        _ => None,
    });
    let mut bytes = text.as_bytes().to_vec();
    for range in comments.chain(trailing) {
        for byte in bytes.get_mut(range)? {
            if !matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }
    String::from_utf8(bytes).ok()
}

/// Reads one JSON document, with comments and trailing commas.
pub fn read(text: &str) -> Result<Node, SyntaxError> {
    let lines = Lines::of(text);
    let error = |message: String, at: usize| SyntaxError::new(message, lines.position(at));
    let parsed = parse_to_ast(text, &CollectOptions::default(), &OPTIONS)
        .map_err(|fault| error(fault.kind().to_string(), fault.range().start))?;
    match parsed.value {
        Some(value) => node(&value, &lines),
        None => Err(error(String::from("no value"), 0)),
    }
}

fn node(ast: &Ast<'_>, lines: &Lines<'_>) -> Result<Node, SyntaxError> {
    let at = |offset: usize| lines.position(offset).unwrap_or(Position { line: 1, column: 1 });
    let position = at(ast.range().start);
    let kind = match ast {
        Ast::NullKeyword(_) => Kind::Scalar(Value::Null, Style::Plain),
        Ast::BooleanLit(literal) => Kind::Scalar(Value::Bool(literal.value), Style::Plain),
        Ast::StringLit(literal) => Kind::Scalar(Value::String(literal.value.clone().into_owned()), Style::DoubleQuoted),
        Ast::NumberLit(literal) => {
            let number = serde_json::from_str(literal.value);
            let number = number.map_err(|_| SyntaxError::new("not a number of JSON", Some(position)))?;
            Kind::Scalar(Value::Number(number), Style::Plain)
        }
        Ast::Array(array) => {
            let items = array.elements.iter().map(|item| node(item, lines).map(Rc::new));
            Kind::List(items.collect::<Result<_, _>>()?)
        }
        Ast::Object(object) => {
            let mut members = Vec::new();
            for member in &object.properties {
                let name = match &member.name {
                    ObjectPropName::String(name) => name.value.clone().into_owned(),
                    ObjectPropName::Word(name) => name.value.to_owned(),
                };
                members.push((name, at(member.range.start), Rc::new(node(&member.value, lines)?)));
            }
            Kind::Object(members)
        }
    };
    Ok(Node { position, kind })
}
