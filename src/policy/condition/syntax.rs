//! The words of an expression -> its syntax tree, of bounded depth.
//!
//! Knows the grammar of CEL and none of its names. Macros (`has`, `exists`, …) are calls here.

use super::fault::{ConditionProblem, FaultAt, fault};
use super::lexer::{Token, Word, words};

/// How deep the tree may be: a bound on the stack of everything that walks it. CEL asks for 12 of everything
/// and 24 of a chain; `&&` and `||` do not count, their chains are one node.
const DEEPEST: usize = 64;

/// What the words may not be: reserved by the CEL specification.
const RESERVED: [&str; 18] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// One node and where it stands.
#[derive(Debug)]
pub(super) struct Syntax {
    pub(super) offset: usize,
    pub(super) form: Form,
    depth: usize,
}

impl Syntax {
    /// Where the text of it begins; `offset` is where its operator or last name stands.
    pub(super) fn start(&self) -> usize {
        if let Form::Member(target, _) | Form::Call { target: Some(target), .. } = &self.form {
            target.start()
        } else if let Form::Index(operands) | Form::Binary(_, operands) = &self.form {
            operands.0.start()
        } else {
            self.offset
        }
    }
}

#[derive(Debug)]
pub(super) enum Form {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    Name(String),
    Member(Box<Syntax>, String),
    Index(Box<(Syntax, Syntax)>),
    Call {
        target: Option<Box<Syntax>>,
        name: String,
        arguments: Vec<Syntax>,
    },
    List(Vec<Syntax>),
    Map(Vec<(Syntax, Syntax)>),
    Not(Box<Syntax>),
    Negate(Box<Syntax>),
    Binary(Operator, Box<(Syntax, Syntax)>),
    /// `&&`, two or more.
    Both(Vec<Syntax>),
    /// `||`, two or more.
    Either(Vec<Syntax>),
    If(Box<(Syntax, Syntax, Syntax)>),
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
    Remainder,
}

/// How tightly the binary operators of one level bind; all to the left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Either,
    Both,
    Relation,
    Sum,
    Product,
}

/// Reads a whole expression.
pub(super) fn read(text: &str) -> Result<Syntax, FaultAt> {
    let mut parser = Parser { tokens: words(text)?, position: 0, nesting: 0 };
    let whole = parser.expression()?;
    match parser.word() {
        Word::End => Ok(whole),
        Word::Name(_) | Word::Integer(_) | Word::Double(_) | Word::Text(_) | Word::Symbol(_) => {
            fault(parser.offset(), ConditionProblem::Syntax("an operator or the end"))
        }
    }
}

struct Parser {
    /// The last one is [`Word::End`].
    tokens: Vec<Token>,
    position: usize,
    nesting: usize,
}

impl Parser {
    fn offset(&self) -> usize {
        self.tokens.get(self.position).or(self.tokens.last()).map_or(0, |token| token.offset)
    }

    fn word(&self) -> &Word {
        self.tokens.get(self.position).map_or(&Word::End, |token| &token.word)
    }

    fn advance(&mut self) {
        self.position = self.position.saturating_add(1);
    }

    fn take(&mut self, symbol: &'static str) -> bool {
        let is_there = *self.word() == Word::Symbol(symbol);
        if is_there {
            self.advance();
        }
        is_there
    }

    fn need(&mut self, symbol: &'static str, expected: &'static str) -> Result<(), FaultAt> {
        if self.take(symbol) { Ok(()) } else { fault(self.offset(), ConditionProblem::Syntax(expected)) }
    }

    fn name(&mut self) -> Result<String, FaultAt> {
        let Word::Name(name) = self.word() else { return fault(self.offset(), ConditionProblem::Syntax("a name")) };
        let name = name.clone();
        self.advance();
        Ok(name)
    }

    /// Every way down leads through here, so that no text makes the parser recurse without end.
    fn expression(&mut self) -> Result<Syntax, FaultAt> {
        if self.nesting >= DEEPEST {
            return fault(self.offset(), ConditionProblem::TooDeep);
        }
        self.nesting = self.nesting.saturating_add(1);
        let offset = self.offset();
        let condition = self.binary(Level::Either)?;
        let whole = if self.take("?") {
            let yes = self.binary(Level::Either)?;
            self.need(":", "`:`, the other half of `?`")?;
            let no = self.expression()?;
            let depth = condition.depth.max(yes.depth).max(no.depth);
            node(offset, depth, Form::If(Box::new((condition, yes, no))))
        } else {
            Ok(condition)
        };
        self.nesting = self.nesting.saturating_sub(1);
        whole
    }

    fn operator(&self, level: Level) -> Option<Operator> {
        let symbol = match self.word() {
            Word::Symbol(symbol) => *symbol,
            Word::Name(name) if name == "in" => "in",
            Word::Name(_) | Word::Integer(_) | Word::Double(_) | Word::Text(_) | Word::End => return None,
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
            (Level::Product, "%") => Some(Operator::Remainder),
            _ => None,
        }
    }

    fn binary(&mut self, level: Level) -> Result<Syntax, FaultAt> {
        match level {
            Level::Either => self.chain("||", Level::Both, Form::Either),
            Level::Both => self.chain("&&", Level::Relation, Form::Both),
            Level::Relation => self.operations(level, |parser| parser.binary(Level::Sum)),
            Level::Sum => self.operations(level, |parser| parser.binary(Level::Product)),
            Level::Product => self.operations(level, Self::unary),
        }
    }

    fn chain(&mut self, symbol: &'static str, below: Level, form: fn(Vec<Syntax>) -> Form) -> Result<Syntax, FaultAt> {
        let first = self.binary(below)?;
        if !self.take(symbol) {
            return Ok(first);
        }
        let offset = first.offset;
        let mut terms = vec![first, self.binary(below)?];
        while self.take(symbol) {
            terms.push(self.binary(below)?);
        }
        node(offset, deepest(&terms), form(terms))
    }

    fn operations(
        &mut self,
        level: Level,
        below: impl Fn(&mut Self) -> Result<Syntax, FaultAt>,
    ) -> Result<Syntax, FaultAt> {
        let mut left = below(self)?;
        while let Some(operator) = self.operator(level) {
            let offset = self.offset();
            self.advance();
            let right = below(self)?;
            let depth = left.depth.max(right.depth);
            left = node(offset, depth, Form::Binary(operator, Box::new((left, right))))?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Syntax, FaultAt> {
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
        let mut operand = match *self.word() {
            // The magnitude of the least integer exists only with its sign.
            Word::Integer(magnitude) if negative => {
                signs.pop();
                self.advance();
                let number = 0_i64.checked_sub_unsigned(magnitude);
                let number = number.ok_or(FaultAt { offset, problem: OUT_OF_RANGE })?;
                let literal = node(offset, 0, Form::Int(number))?;
                self.selections(literal)?
            }
            Word::Integer(_) | Word::Double(_) | Word::Text(_) | Word::Name(_) | Word::Symbol(_) | Word::End => {
                let primary = self.primary()?;
                self.selections(primary)?
            }
        };
        for sign in signs.into_iter().rev() {
            let depth = operand.depth;
            let operand_is = Box::new(operand);
            operand = node(offset, depth, if sign == '!' { Form::Not(operand_is) } else { Form::Negate(operand_is) })?;
        }
        Ok(operand)
    }

    fn selections(&mut self, first: Syntax) -> Result<Syntax, FaultAt> {
        let mut whole = first;
        loop {
            let offset = self.offset();
            if self.take(".") {
                if *self.word() == Word::Symbol("?") {
                    return fault(offset, ConditionProblem::Unsupported("optional values; write has(…)"));
                }
                let offset = self.offset();
                let name = self.name()?;
                if self.take("(") {
                    let arguments = self.list(")")?;
                    let depth = whole.depth.max(deepest(&arguments));
                    whole = node(offset, depth, Form::Call { target: Some(Box::new(whole)), name, arguments })?;
                } else {
                    let depth = whole.depth;
                    whole = node(offset, depth, Form::Member(Box::new(whole), name))?;
                }
            } else if self.take("[") {
                let index = self.expression()?;
                self.need("]", "`]`")?;
                let depth = whole.depth.max(index.depth);
                whole = node(offset, depth, Form::Index(Box::new((whole, index))))?;
            } else if *self.word() == Word::Symbol("{") {
                return fault(offset, ConditionProblem::Unsupported("messages; write a map"));
            } else {
                return Ok(whole);
            }
        }
    }

    fn primary(&mut self) -> Result<Syntax, FaultAt> {
        let offset = self.offset();
        let word = self.word().clone();
        self.advance();
        match word {
            Word::Integer(number) => match i64::try_from(number) {
                Ok(number) => node(offset, 0, Form::Int(number)),
                Err(_) => fault(offset, OUT_OF_RANGE),
            },
            Word::Double(number) => node(offset, 0, Form::Double(number)),
            Word::Text(text) => node(offset, 0, Form::Text(text)),
            Word::Name(name) => match name.as_str() {
                "null" => node(offset, 0, Form::Null),
                "true" => node(offset, 0, Form::Bool(true)),
                "false" => node(offset, 0, Form::Bool(false)),
                reserved if RESERVED.contains(&reserved) => {
                    fault(offset, ConditionProblem::Syntax("a value; this word is reserved"))
                }
                _ if self.take("(") => {
                    let arguments = self.list(")")?;
                    node(offset, deepest(&arguments), Form::Call { target: None, name, arguments })
                }
                _ => node(offset, 0, Form::Name(name)),
            },
            Word::Symbol("(") => {
                let inner = self.expression()?;
                self.need(")", "`)`")?;
                Ok(inner)
            }
            Word::Symbol("[") => {
                let items = self.list("]")?;
                node(offset, deepest(&items), Form::List(items))
            }
            Word::Symbol("{") => self.map(offset),
            Word::Symbol(".") => fault(offset, ConditionProblem::Unsupported("a leading dot; write the name alone")),
            Word::Symbol(_) | Word::End => fault(offset, ConditionProblem::Syntax("a value")),
        }
    }

    /// Expressions with commas between them, one perhaps after the last, up to `end`.
    fn list(&mut self, end: &'static str) -> Result<Vec<Syntax>, FaultAt> {
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

    fn map(&mut self, offset: usize) -> Result<Syntax, FaultAt> {
        let mut entries: Vec<(Syntax, Syntax)> = Vec::new();
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
        node(offset, depth, Form::Map(entries))
    }
}

const OUT_OF_RANGE: ConditionProblem = ConditionProblem::Syntax("a number within the range of 64 bits");

fn deepest(items: &[Syntax]) -> usize {
    items.iter().map(|item| item.depth).max().unwrap_or_default()
}

/// A node over children of that depth.
fn node(offset: usize, depth: usize, form: Form) -> Result<Syntax, FaultAt> {
    let depth = depth.saturating_add(1);
    if depth > DEEPEST { fault(offset, ConditionProblem::TooDeep) } else { Ok(Syntax { offset, form, depth }) }
}
