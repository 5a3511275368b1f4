//! Checks a parsed expression: resolves names, infers types as far as the source determines them, and compiles patterns,
//! timestamps and address ranges. An error found here never depends on a request.

use std::collections::BTreeSet;

use super::activation::Field;
use super::attribute::Attribute;
use super::error::{CompileErrorKind as Kind, ErrorAt, error_at};
use super::normal_form::{beside_path, never_equal};
use super::parser::{Expr, ExprKind, Operator};
use super::program::{Constant, Node};
use super::suggest;
use super::types::{Type, result_type, type_of, type_of_constant};
use crate::http::is_token;

/// Variables with declared fields.
const MESSAGES: [&str; 5] = ["request", "source", "destination", "connection", TOKEN];
const TOKEN: &str = "token";
const CLAIMS: &str = "claims";
const MAX_COMPREHENSION_DEPTH: usize = 2;
/// How many errors of one expression are reported.
const MAX_ERRORS: usize = 16;

/// A node and its type.
pub(super) struct Checked {
    pub(super) node: Node,
    pub(super) ty: Type,
}

/// A checked expression with a boolean result, and what it uses.
pub(super) struct CheckedExpr {
    pub(super) node: Node,
    pub(super) fields: Vec<Field>,
    pub(super) attributes: Vec<Attribute>,
    pub(super) uses_token: bool,
}

/// Checks a whole expression; all errors in the order of the source.
pub(super) fn check(expr: &Expr) -> Result<CheckedExpr, Vec<ErrorAt>> {
    let mut checker = Checker::default();
    let whole = checker.any(expr);
    if !whole.ty.may_be(&[Type::Bool]) {
        checker.errors.push(ErrorAt { offset: expr.start(), kind: Kind::NotBoolean });
    }
    let Checker { fields, attributes, uses_token, mut errors, .. } = checker;
    if !errors.is_empty() {
        errors.sort_by_key(|error| error.offset);
        errors.truncate(MAX_ERRORS);
        return Err(errors);
    }
    Ok(CheckedExpr { node: whole.node, fields, attributes: attributes.into_iter().collect(), uses_token })
}

#[derive(Default)]
pub(super) struct Checker {
    pub(super) errors: Vec<ErrorAt>,
    fields: Vec<Field>,
    attributes: BTreeSet<Attribute>,
    uses_token: bool,
    /// Of the enclosing comprehensions, outermost first.
    variables: Vec<String>,
}

const fn checked(node: Node, ty: Type) -> Checked {
    Checked { node, ty }
}

const fn constant(constant: Constant, ty: Type) -> Checked {
    checked(Node::Constant(constant), ty)
}

impl Checker {
    /// An expression of one of these types, as far as it is known. One with an error may have any type, so that no other
    /// error follows from it.
    pub(super) fn of(&mut self, expr: &Expr, wanted: &[Type], hint: &'static str) -> Checked {
        let mut value = self.any(expr);
        if !value.ty.may_be(wanted) {
            self.errors.push(ErrorAt { offset: expr.start(), kind: Kind::WrongType(hint) });
            value.ty = Type::Dyn;
        }
        value
    }

    pub(super) fn boolean(&mut self, expr: &Expr) -> Node {
        self.of(expr, &[Type::Bool], "true or false").node
    }

    pub(super) fn any(&mut self, expr: &Expr) -> Checked {
        self.checked(expr).unwrap_or_else(|error| {
            self.errors.push(error);
            checked(Node::Claims, Type::Dyn)
        })
    }

    fn checked(&mut self, expr: &Expr) -> Result<Checked, ErrorAt> {
        let offset = expr.offset;
        match &expr.kind {
            ExprKind::Null => Ok(constant(Constant::Null, Type::Null)),
            ExprKind::Bool(value) => Ok(constant(Constant::Bool(*value), Type::Bool)),
            ExprKind::Int(number) => Ok(constant(Constant::Int(*number), Type::Int)),
            ExprKind::Double(number) => Ok(constant(Constant::Double(*number), Type::Double)),
            ExprKind::String(text) => Ok(constant(Constant::String(text.clone()), Type::String)),
            ExprKind::Ident(name) => self.ident(offset, name),
            ExprKind::Select(target, name) => self.select(offset, target, name),
            ExprKind::Index(target_and_index) => {
                let (target, index) = &**target_and_index;
                self.index(target, index)
            }
            ExprKind::Call { target, name, arguments } => self.call(offset, target.as_deref(), name, arguments),
            ExprKind::List(items) => {
                let items = items.iter().map(|item| self.any(item).node).collect();
                Ok(checked(Node::List(items), Type::List))
            }
            ExprKind::Map(entries) => {
                const KEYS: [Type; 3] = [Type::String, Type::Int, Type::Bool];
                let entry = |(key, value): &(Expr, Expr)| {
                    (self.of(key, &KEYS, "a string, an integer or a boolean").node, self.any(value).node)
                };
                Ok(checked(Node::Map(entries.iter().map(entry).collect()), Type::Map))
            }
            ExprKind::Not(operand) => Ok(checked(Node::Not(Box::new(self.boolean(operand))), Type::Bool)),
            ExprKind::Negate(operand) => {
                let operand = self.of(operand, &[Type::Int, Type::Double, Type::Duration], "a number");
                Ok(checked(Node::Negate(Box::new(operand.node)), operand.ty))
            }
            ExprKind::Binary(operator, operands) => self.binary(offset, *operator, &operands.0, &operands.1),
            ExprKind::And(terms) => Ok(checked(Node::And(self.booleans(terms)), Type::Bool)),
            ExprKind::Or(terms) => Ok(checked(Node::Or(self.booleans(terms)), Type::Bool)),
            ExprKind::Conditional(parts) => {
                let (condition, yes, no) = &**parts;
                let condition = self.boolean(condition);
                let (yes, no) = (self.any(yes), self.any(no));
                let ty = match (yes.ty, no.ty) {
                    (yes, no) if yes == no => yes,
                    (yes, no) if yes.is_alike(no) && (yes == Type::Path || no == Type::Path) => Type::Path,
                    _ => Type::Dyn,
                };
                Ok(checked(Node::Conditional(Box::new((condition, yes.node, no.node))), ty))
            }
        }
    }

    fn booleans(&mut self, terms: &[Expr]) -> Vec<Node> {
        terms.iter().map(|term| self.boolean(term)).collect()
    }

    fn ident(&mut self, offset: usize, name: &str) -> Result<Checked, ErrorAt> {
        if let Some(depth) = self.variables.iter().position(|variable| variable == name) {
            Ok(checked(Node::Variable(depth), Type::Dyn))
        } else if name == CLAIMS {
            self.uses_token = true;
            Ok(checked(Node::Claims, Type::Map))
        } else if MESSAGES.contains(&name) {
            error_at(offset, Kind::WrongType("one of its attributes, such as request.method"))
        } else {
            error_at(offset, Kind::UnknownName(suggest::variable(name)))
        }
    }

    /// A variable for what `within` checks.
    pub(super) fn with_variable<T>(
        &mut self,
        expr: &Expr,
        within: impl FnOnce(&mut Self) -> Result<T, ErrorAt>,
    ) -> Result<T, ErrorAt> {
        let ExprKind::Ident(name) = &expr.kind else {
            return error_at(expr.offset, Kind::Syntax("the name of a variable"));
        };
        if MESSAGES.contains(&name.as_str()) || name == CLAIMS || self.variables.contains(name) {
            return error_at(expr.offset, Kind::NameTaken);
        }
        if self.variables.len() >= MAX_COMPREHENSION_DEPTH {
            return error_at(expr.offset, Kind::TooNested);
        }
        self.variables.push(name.clone());
        let result = within(self);
        self.variables.pop();
        result
    }

    /// The variable with declared fields; of a misspelt one the fields are checked all the same.
    fn object<'e>(&mut self, target: &'e Expr) -> Option<&'e str> {
        let ExprKind::Ident(name) = &target.kind else { return None };
        if MESSAGES.contains(&name.as_str()) {
            return Some(name);
        }
        if name == CLAIMS || self.variables.contains(name) {
            return None;
        }
        let meant = suggest::variable(name);
        let object = MESSAGES.into_iter().find(|message| Some(*message) == meant)?;
        self.errors.push(ErrorAt { offset: target.offset, kind: Kind::UnknownName(meant) });
        Some(object)
    }

    fn field(&mut self, offset: usize, object: &str, name: &str) -> Result<Field, ErrorAt> {
        let kind = match (object, name) {
            ("request", "path") => Kind::RawAttribute(
                "request.url_path (in normal form, without the query) or request.raw_path (as received)",
            ),
            ("request", "query") => Kind::RawAttribute("request.raw_query (as received)"),
            _ => Kind::UnknownAttribute(suggest::attribute(object, name)),
        };
        let field = Field::named(object, name).ok_or(ErrorAt { offset, kind })?;
        self.fields.push(field);
        if let Field::Attribute(attribute) = field {
            self.attributes.insert(attribute);
        }
        self.uses_token |= object == TOKEN;
        Ok(field)
    }

    fn select(&mut self, offset: usize, target: &Expr, name: &str) -> Result<Checked, ErrorAt> {
        if let Some(object) = self.object(target) {
            if (object, name) == ("request", "headers") {
                return Ok(checked(Node::Headers, Type::Map));
            }
            let field = self.field(offset, object, name)?;
            return Ok(checked(Node::Field(field), type_of(field)));
        }
        let target = self.of(target, &[Type::Map], "something with members");
        if matches!(target.node, Node::Headers) {
            return Ok(checked(Node::Header(header_name(offset, name)?), Type::String));
        }
        Ok(checked(Node::Select(Box::new(target.node), name.to_owned()), Type::Dyn))
    }

    /// `has(target.name)`.
    pub(super) fn has(&mut self, argument: &Expr) -> Result<Checked, ErrorAt> {
        let offset = argument.offset;
        let ExprKind::Select(target, name) = &argument.kind else {
            return error_at(argument.start(), Kind::Syntax("a member, as in has(claims.tenant)"));
        };
        if let Some(object) = self.object(target) {
            let node = match (object, name.as_str()) {
                // There always are some.
                ("request", "headers") => Node::Constant(Constant::Bool(true)),
                _ => Node::HasField(self.field(offset, object, name)?),
            };
            return Ok(checked(node, Type::Bool));
        }
        let target = self.of(target, &[Type::Map], "something with members");
        let node = if matches!(target.node, Node::Headers) {
            Node::HasHeader(header_name(offset, name)?)
        } else {
            Node::Has(Box::new(target.node), name.to_owned())
        };
        Ok(checked(node, Type::Bool))
    }

    fn index(&mut self, target: &Expr, index: &Expr) -> Result<Checked, ErrorAt> {
        let target = self.of(target, &[Type::List, Type::Map], "a list or a map");
        let wanted: &[Type] = match (&target.node, target.ty) {
            (Node::Headers, _) => &[Type::String],
            (_, Type::List) => &[Type::Int],
            _ => &[Type::Int, Type::String, Type::Bool],
        };
        let key = self.of(index, wanted, "a key of the map, or a place in the list");
        match (target.node, key.node) {
            (Node::Headers, Node::Constant(Constant::String(name))) => {
                Ok(checked(Node::Header(header_name(index.offset, &name)?), Type::String))
            }
            (Node::Headers, key) => Ok(checked(Node::Index(Box::new((Node::Headers, key))), Type::String)),
            // A literal name is a member, which needs no comparison of keys.
            (target, Node::Constant(Constant::String(name))) => {
                Ok(checked(Node::Select(Box::new(target), name), Type::Dyn))
            }
            (target, node) if key.ty == Type::Path => {
                let key = Node::WithoutEscapes(Box::new(node));
                Ok(checked(Node::Index(Box::new((target, key))), Type::Dyn))
            }
            (target, key) => Ok(checked(Node::Index(Box::new((target, key))), Type::Dyn)),
        }
    }

    fn binary(&mut self, offset: usize, operator: Operator, left: &Expr, right: &Expr) -> Result<Checked, ErrorAt> {
        let (left, right) = (self.any(left), self.any(right));
        let compares = matches!(operator, Operator::Equal | Operator::NotEqual | Operator::In);
        let ty = match result_type(operator, left.ty, right.ty) {
            Some(ty) => ty,
            None if matches!(operator, Operator::Equal | Operator::NotEqual) => {
                return error_at(offset, Kind::NeverEqual);
            }
            None => {
                return error_at(offset, Kind::WrongType("operands that go together with this operator"));
            }
        };
        if let Some(hint) = never_equal(&left.node, &right.node).filter(|_| compares) {
            return error_at(offset, Kind::NotNormal(hint));
        }
        let left_kind = left.ty;
        let [left, right] = if compares { comparable(left, right) } else { [left.node, right.node] };
        let node = match (operator, left, right) {
            (Operator::In, Node::Constant(Constant::String(name)), Node::Headers) => {
                Node::HasHeader(header_name(offset, &name)?)
            }
            (Operator::Equal, node, Node::Constant(Constant::Null))
            | (Operator::Equal, Node::Constant(Constant::Null), node) => Node::IsNull(Box::new(node)),
            (Operator::NotEqual, node, Node::Constant(Constant::Null))
            | (Operator::NotEqual, Node::Constant(Constant::Null), node) => {
                Node::Not(Box::new(Node::IsNull(Box::new(node))))
            }
            (Operator::In, left, Node::List(items)) => match constants(&items) {
                Some(constants)
                    if !constants.is_empty()
                        && !constants.iter().any(|one| left_kind.is_alike(type_of_constant(one))) =>
                {
                    return error_at(offset, Kind::NeverEqual);
                }
                Some(constants) => Node::IsOneOf(Box::new(left), constants),
                None => Node::Binary(operator, Box::new((left, Node::List(items)))),
            },
            (operator, left, right) => Node::Binary(operator, Box::new((left, right))),
        };
        Ok(checked(node, ty))
    }
}

fn constants(items: &[Node]) -> Option<Vec<Constant>> {
    let constant = |item: &Node| if let Node::Constant(constant) = item { Some(constant.clone()) } else { None };
    items.iter().map(constant).collect()
}

/// The operands of a comparison. Beside a path, what only the request tells is checked for escapes.
pub(super) fn comparable(left: Checked, right: Checked) -> [Node; 2] {
    let has_path = left.ty == Type::Path || right.ty == Type::Path;
    [left.node, right.node].map(|node| if has_path { beside_path(node) } else { node })
}

/// Requests have header names in lower case only: in another spelling one is never there.
fn header_name(offset: usize, name: &str) -> Result<String, ErrorAt> {
    if is_token(name) && !name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Ok(name.to_owned())
    } else {
        error_at(offset, Kind::HeaderName)
    }
}
