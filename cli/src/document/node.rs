//! A value with the positions of its parts. Aliases of YAML share nodes.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::positions::{Position, Positions, member_path};

/// More values than any configuration has. Aliases can refer to aliases, and so a short text can have very many.
const MAX_VALUES: usize = 500_000;

/// A text that is not a document.
#[derive(Debug, PartialEq, Eq)]
pub struct SyntaxError {
    pub message: String,
    pub position: Option<Position>,
}

impl SyntaxError {
    pub fn new(message: impl Into<String>, position: Option<Position>) -> Self {
        Self { message: message.into(), position }
    }
}

/// How a string is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes.
    Plain,
    SingleQuoted,
    DoubleQuoted,
    /// After `|`.
    Literal,
    /// After `>`.
    Folded,
}

#[derive(Debug)]
pub struct Node {
    pub position: Position,
    pub kind: Kind,
}

#[derive(Debug)]
pub enum Kind {
    Scalar(Value, Style),
    List(Vec<Rc<Node>>),
    Object(Vec<(String, Position, Rc<Node>)>),
}

/// A value, with the positions of its parts and the styles of its scalars by path.
#[derive(Debug, Default)]
pub struct Parts {
    pub positions: Positions,
    pub scalars: BTreeMap<String, (Position, Style)>,
    pub plain_strings: Vec<(String, String)>,
    count: usize,
}

impl Parts {
    /// Converts a node to its value. A name that occurs twice is an error.
    pub fn add(&mut self, path: &str, node: &Node) -> Result<Value, SyntaxError> {
        self.count += 1;
        if self.count > MAX_VALUES {
            return Err(SyntaxError::new(
                format!("more than {MAX_VALUES} values, with those of aliases"),
                Some(node.position),
            ));
        }
        self.positions.insert(path, node.position);
        match &node.kind {
            Kind::Scalar(value, style) => {
                if let Value::String(text) = value {
                    self.scalars.insert(path.to_owned(), (node.position, *style));
                    if *style == Style::Plain {
                        self.plain_strings.push((path.to_owned(), text.clone()));
                    }
                }
                Ok(value.clone())
            }
            Kind::List(items) => {
                let items = items.iter().enumerate().map(|(index, item)| self.add(&format!("{path}[{index}]"), item));
                items.collect::<Result<_, _>>().map(Value::Array)
            }
            Kind::Object(members) => {
                let mut object = Map::new();
                for (name, position, member) in members {
                    let at = member_path(path, name);
                    if object.contains_key(name) {
                        return Err(SyntaxError::new(format!("duplicate member {name:?}"), Some(*position)));
                    }
                    self.positions.insert(&at, *position);
                    let value = self.add(&at, member)?;
                    object.insert(name.clone(), value);
                }
                Ok(Value::Object(object))
            }
        }
    }
}
