//! The parser: tokens to an expression tree of bounded depth. Knows the grammar of CEL and none of its names: macros (`has`,
//! `exists`, …) are calls here.

use super::error::{CompileErrorKind as Kind, ErrorAt, error_at};
use super::lexer::{Lexeme, Token, tokenize};

/// The depth of the tree, which bounds the stack of everything that walks it. The specification requires 12 levels of
/// nesting and chains of 24; a chain of `&&` or `||` is one node here.
const MAX_DEPTH: usize = 64;

/// Reserved by the CEL specification.
const RESERVED: &str =
    "as break const continue else for function if import in let loop package namespace return var void while";

/// One node and its offset in the source.
#[derive(Debug)]
pub(super) struct Expr {
    pub(super) offset: usize,
    pub(super) kind: ExprKind,
    depth: usize,
}

impl Expr {
    /// Where the expression begins; `offset` is the position of its operator or last name.
    pub(super) fn start(&self) -> usize {
        if let ExprKind::Select(target, _) | ExprKind::Call { target: Some(target), .. } = &self.kind {
            target.start()
        } else if let ExprKind::Index(operands) | ExprKind::Binary(_, operands) = &self.kind {
            operands.0.start()
        } else {
            self.offset
        }
    }
}

#[derive(Debug)]
pub(super) enum ExprKind {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    String(String),
    Ident(String),
    Select(Box<Expr>, String),
    Index(Box<(Expr, Expr)>),
    Call {
        target: Option<Box<Expr>>,
        name: String,
        arguments: Vec<Expr>,
    },
    List(Vec<Expr>),
    Map(Vec<(Expr, Expr)>),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    Binary(Operator, Box<(Expr, Expr)>),
    /// `&&`, two or more.
    And(Vec<Expr>),
    /// `||`, two or more.
    Or(Vec<Expr>),
    Conditional(Box<(Expr, Expr, Expr)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

/// The precedence of binary operators; all are left-associative.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Or,
    And,
    Relation,
    Sum,
    Product,
}

/// Parses a whole expression.
pub(super) fn parse(text: &str) -> Result<Expr, ErrorAt> {
    let mut parser = Parser { lexemes: tokenize(text)?, position: 0, nesting: 0 };
    let whole = parser.expression()?;
    let is_end = *parser.token() == Token::End;
    if is_end { Ok(whole) } else { error_at(parser.offset(), Kind::Syntax("an operator or the end")) }
}

struct Parser {
    /// The last one is [`Token::End`].
    lexemes: Vec<Lexeme>,
    position: usize,
    nesting: usize,
}

impl Parser {
    fn offset(&self) -> usize {
        self.lexemes.get(self.position).or(self.lexemes.last()).map_or(0, |lexeme| lexeme.offset)
    }

    fn token(&self) -> &Token {
        self.lexemes.get(self.position).map_or(&Token::End, |lexeme| &lexeme.token)
    }

    fn advance(&mut self) {
        self.position = self.position.saturating_add(1);
    }

    fn take(&mut self, symbol: &'static str) -> bool {
        let is_there = *self.token() == Token::Symbol(symbol);
        if is_there {
            self.advance();
        }
        is_there
    }

    fn need(&mut self, symbol: &'static str, expected: &'static str) -> Result<(), ErrorAt> {
        if self.take(symbol) { Ok(()) } else { error_at(self.offset(), Kind::Syntax(expected)) }
    }

    fn name(&mut self) -> Result<String, ErrorAt> {
        let Token::Ident(name) = self.token() else {
            return error_at(self.offset(), Kind::Syntax("a name"));
        };
        let name = name.clone();
        self.advance();
        Ok(name)
    }

    /// All recursion goes through here, where its depth is bounded.
    fn expression(&mut self) -> Result<Expr, ErrorAt> {
        if self.nesting >= MAX_DEPTH {
            return error_at(self.offset(), Kind::TooDeep);
        }
        self.nesting = self.nesting.saturating_add(1);
        let offset = self.offset();
        let condition = self.binary(Level::Or)?;
        let whole = if self.take("?") {
            let yes = self.binary(Level::Or)?;
            self.need(":", "`:`, the other half of `?`")?;
            let no = self.expression()?;
            let depth = condition.depth.max(yes.depth).max(no.depth);
            node(offset, depth, ExprKind::Conditional(Box::new((condition, yes, no))))
        } else {
            Ok(condition)
        };
        self.nesting = self.nesting.saturating_sub(1);
        whole
    }

    fn operator(&self, level: Level) -> Option<Operator> {
        let symbol = match self.token() {
            Token::Symbol(symbol) => *symbol,
            Token::Ident(name) if name == "in" => "in",
            Token::Ident(_) | Token::Integer(_) | Token::Double(_) | Token::String(_) | Token::End => return None,
        };
        match (level, symbol) {
            (Level::Relation, "==") => Some(Operator::Equal),
            (Level::Relation, "!=") => Some(Operator::NotEqual),
            (Level::Relation, "<") => Some(Operator::Less),
            (Level::Relation, "<=") => Some(Operator::LessOrEqual),
            (Level::Relation, ">") => Some(Operator::Greater),
            (Level::Relation, ">=") => Some(Operator::GreaterOrEqual),
            (Level::Relation, "in") => Some(Operator::In),
            (Level::Sum, "+") => Some(Operator::Add),
            (Level::Sum, "-") => Some(Operator::Subtract),
            (Level::Product, "*") => Some(Operator::Multiply),
            (Level::Product, "/") => Some(Operator::Divide),
            (Level::Product, "%") => Some(Operator::Modulo),
            _ => None,
        }
    }

    fn binary(&mut self, level: Level) -> Result<Expr, ErrorAt> {
        match level {
            Level::Or => self.chain("||", Level::And, ExprKind::Or),
            Level::And => self.chain("&&", Level::Relation, ExprKind::And),
            Level::Relation => self.operations(level, |parser| parser.binary(Level::Sum)),
            Level::Sum => self.operations(level, |parser| parser.binary(Level::Product)),
            Level::Product => self.operations(level, Self::unary),
        }
    }

    fn chain(&mut self, symbol: &'static str, below: Level, kind: fn(Vec<Expr>) -> ExprKind) -> Result<Expr, ErrorAt> {
        let first = self.binary(below)?;
        if !self.take(symbol) {
            return Ok(first);
        }
        let offset = first.offset;
        let mut terms = vec![first, self.binary(below)?];
        while self.take(symbol) {
            terms.push(self.binary(below)?);
        }
        node(offset, deepest(&terms), kind(terms))
    }

    fn operations(
        &mut self,
        level: Level,
        below: impl Fn(&mut Self) -> Result<Expr, ErrorAt>,
    ) -> Result<Expr, ErrorAt> {
        let mut left = below(self)?;
        while let Some(operator) = self.operator(level) {
            let offset = self.offset();
            self.advance();
            let right = below(self)?;
            let depth = left.depth.max(right.depth);
            left = node(offset, depth, ExprKind::Binary(operator, Box::new((left, right))))?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expr, ErrorAt> {
        let offset = self.offset();
        let mut signs = Vec::new();
        loop {
            if self.take("!") {
                signs.push('!');
            } else if self.take("-") {
                signs.push('-');
            } else {
                break;
            }
        }
        let negative = signs.last() == Some(&'-');
        // The magnitude of the least integer exists only with its sign.
        let primary = if let (Token::Integer(magnitude), true) = (self.token(), negative) {
            let number = 0_i64.checked_sub_unsigned(*magnitude);
            signs.pop();
            self.advance();
            let number = number.ok_or(ErrorAt { offset, kind: OUT_OF_RANGE })?;
            node(offset, 0, ExprKind::Int(number))?
        } else {
            self.primary()?
        };
        let mut operand = self.selections(primary)?;
        for sign in signs.into_iter().rev() {
            let (depth, kind) = (operand.depth, if sign == '!' { ExprKind::Not } else { ExprKind::Negate });
            operand = node(offset, depth, kind(Box::new(operand)))?;
        }
        Ok(operand)
    }

    fn selections(&mut self, first: Expr) -> Result<Expr, ErrorAt> {
        let mut whole = first;
        loop {
            let offset = self.offset();
            if self.take(".") {
                if *self.token() == Token::Symbol("?") {
                    return error_at(offset, Kind::Unsupported("optional values; write has(…)"));
                }
                let offset = self.offset();
                let name = self.name()?;
                if self.take("(") {
                    let arguments = self.list(")")?;
                    let depth = whole.depth.max(deepest(&arguments));
                    whole = node(offset, depth, ExprKind::Call { target: Some(Box::new(whole)), name, arguments })?;
                } else {
                    let depth = whole.depth;
                    whole = node(offset, depth, ExprKind::Select(Box::new(whole), name))?;
                }
            } else if self.take("[") {
                let index = self.expression()?;
                self.need("]", "`]`")?;
                let depth = whole.depth.max(index.depth);
                whole = node(offset, depth, ExprKind::Index(Box::new((whole, index))))?;
            } else if *self.token() == Token::Symbol("{") {
                return error_at(offset, Kind::Unsupported("messages; write a map"));
            } else {
                return Ok(whole);
            }
        }
    }

    fn primary(&mut self) -> Result<Expr, ErrorAt> {
        let offset = self.offset();
        let token = self.token().clone();
        self.advance();
        match token {
            Token::Integer(number) => match i64::try_from(number) {
                Ok(number) => node(offset, 0, ExprKind::Int(number)),
                Err(_) => error_at(offset, OUT_OF_RANGE),
            },
            Token::Double(number) => node(offset, 0, ExprKind::Double(number)),
            Token::String(text) => node(offset, 0, ExprKind::String(text)),
            Token::Ident(name) => match name.as_str() {
                "null" => node(offset, 0, ExprKind::Null),
                "true" => node(offset, 0, ExprKind::Bool(true)),
                "false" => node(offset, 0, ExprKind::Bool(false)),
                reserved if RESERVED.split(' ').any(|word| word == reserved) => {
                    error_at(offset, Kind::Syntax("a value; this word is reserved"))
                }
                _ if self.take("(") => {
                    let arguments = self.list(")")?;
                    node(offset, deepest(&arguments), ExprKind::Call { target: None, name, arguments })
                }
                _ => node(offset, 0, ExprKind::Ident(name)),
            },
            Token::Symbol("(") => {
                let inner = self.expression()?;
                self.need(")", "`)`")?;
                Ok(inner)
            }
            Token::Symbol("[") => {
                let items = self.list("]")?;
                node(offset, deepest(&items), ExprKind::List(items))
            }
            Token::Symbol("{") => self.map(offset),
            Token::Symbol(".") => error_at(offset, Kind::Unsupported("a leading dot; write the name alone")),
            Token::Symbol(_) | Token::End => error_at(offset, Kind::Syntax("a value")),
        }
    }

    /// Expressions separated by commas, up to `end`; lists may have a trailing comma.
    fn list(&mut self, end: &'static str) -> Result<Vec<Expr>, ErrorAt> {
        let mut items = Vec::new();
        while !self.take(end) {
            if !items.is_empty() {
                self.need(",", "`,` or the end of the list")?;
                if end == "]" && self.take(end) {
                    break;
                }
            }
            items.push(self.expression()?);
        }
        Ok(items)
    }

    fn map(&mut self, offset: usize) -> Result<Expr, ErrorAt> {
        let mut entries: Vec<(Expr, Expr)> = Vec::new();
        while !self.take("}") {
            if !entries.is_empty() {
                self.need(",", "`,` or `}`")?;
                if self.take("}") {
                    break;
                }
            }
            let key = self.expression()?;
            self.need(":", "`:` and a value")?;
            entries.push((key, self.expression()?));
        }
        let depth = entries.iter().map(|(key, value)| key.depth.max(value.depth)).max().unwrap_or_default();
        node(offset, depth, ExprKind::Map(entries))
    }
}

const OUT_OF_RANGE: Kind = Kind::Syntax("a number within the range of 64 bits");

fn deepest(items: &[Expr]) -> usize {
    items.iter().map(|item| item.depth).max().unwrap_or_default()
}

/// A node over children of that depth.
fn node(offset: usize, depth: usize, kind: ExprKind) -> Result<Expr, ErrorAt> {
    let depth = depth.saturating_add(1);
    if depth > MAX_DEPTH { error_at(offset, Kind::TooDeep) } else { Ok(Expr { offset, kind, depth }) }
}
