//! The text of an expression -> its words (the lexis of the CEL specification).
//!
//! Bytes literals and unsigned numbers are told apart and refused: nothing that a condition compares is either.

use super::fault::{ConditionProblem, FaultAt, fault};

/// One word and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) offset: usize,
    pub(super) word: Word,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word {
    Name(String),
    /// Without a sign, which is an operator: one more than `i64::MAX` at most.
    Integer(u64),
    Double(f64),
    Text(String),
    Symbol(&'static str),
    End,
}

/// Longer ones first.
const SYMBOLS: [&str; 24] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", "(", ")", "[", "]", "{", "}",
    ",", ".",
];

/// All words, and [`Word::End`] as the last.
pub(super) fn words(text: &str) -> Result<Vec<Token>, FaultAt> {
    let mut lexer = Lexer { text, offset: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blanks();
        let offset = lexer.offset;
        let word = lexer.word()?;
        let is_end = word == Word::End;
        tokens.push(Token { offset, word });
        if is_end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'t> {
    text: &'t str,
    offset: usize,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.offset..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.offset = self.offset.saturating_add(next.len_utf8());
        Some(next)
    }

    fn take(&mut self, wanted: &str) -> bool {
        let is_there = self.rest().starts_with(wanted);
        if is_there {
            self.offset = self.offset.saturating_add(wanted.len());
        }
        is_there
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let taken = rest.split_once(|next| !wanted(next)).map_or(rest, |(taken, _)| taken);
        self.offset = self.offset.saturating_add(taken.len());
        taken
    }

    fn skip_blanks(&mut self) {
        loop {
            self.take_while(|next| matches!(next, ' ' | '\t' | '\n' | '\r' | '\u{c}'));
            if !self.take("//") {
                return;
            }
            self.take_while(|next| next != '\n');
        }
    }

    fn word(&mut self) -> Result<Word, FaultAt> {
        let start = self.offset;
        let Some(first) = self.peek() else { return Ok(Word::End) };
        if first.is_ascii_digit()
            || (first == '.' && self.rest().chars().nth(1).is_some_and(|next| next.is_ascii_digit()))
        {
            return self.number(start);
        }
        if first.is_ascii_alphabetic() || first == '_' {
            let name = self.take_while(|next| next.is_ascii_alphanumeric() || next == '_');
            let opens_text = matches!(self.peek(), Some('"' | '\''));
            return match name {
                "r" | "R" if opens_text => self.text_literal(start, true),
                "b" | "B" | "br" | "bR" | "Br" | "BR" | "rb" | "rB" | "Rb" | "RB" if opens_text => {
                    fault(start, ConditionProblem::Unsupported("bytes; write a text"))
                }
                _ => Ok(Word::Name(name.to_owned())),
            };
        }
        if matches!(first, '"' | '\'') {
            return self.text_literal(start, false);
        }
        if first == '`' {
            return fault(start, ConditionProblem::Unsupported("names in backticks; write ['name']"));
        }
        match SYMBOLS.into_iter().find(|symbol| self.take(symbol)) {
            Some(symbol) => Ok(Word::Symbol(symbol)),
            None => fault(start, ConditionProblem::Syntax("an operator, a name or a value")),
        }
    }

    fn number(&mut self, start: usize) -> Result<Word, FaultAt> {
        const RANGE: ConditionProblem = ConditionProblem::Syntax("a number within the range of 64 bits");
        let out_of_range = FaultAt { offset: start, problem: RANGE };
        let word = if self.take("0x") || self.take("0X") {
            let digits = self.take_while(|next| next.is_ascii_hexdigit());
            Word::Integer(u64::from_str_radix(digits, 16).map_err(|_| out_of_range)?)
        } else {
            self.take_while(|next| next.is_ascii_digit());
            let mut is_whole = true;
            if self.peek() == Some('.') && self.rest().chars().nth(1).is_some_and(|next| next.is_ascii_digit()) {
                is_whole = false;
                self.next();
                self.take_while(|next| next.is_ascii_digit());
            }
            if matches!(self.peek(), Some('e' | 'E')) {
                is_whole = false;
                self.next();
                if matches!(self.peek(), Some('+' | '-')) {
                    self.next();
                }
                if self.take_while(|next| next.is_ascii_digit()).is_empty() {
                    return fault(start, ConditionProblem::Syntax("an exponent"));
                }
            }
            let written = self.text.get(start..self.offset).unwrap_or_default();
            if is_whole {
                Word::Integer(written.parse().map_err(|_| out_of_range)?)
            } else {
                let number: f64 = written.parse().map_err(|_| out_of_range)?;
                if !number.is_finite() {
                    return Err(out_of_range);
                }
                Word::Double(number)
            }
        };
        match self.peek() {
            Some('u' | 'U') => fault(start, ConditionProblem::Unsupported("unsigned numbers; leave the u away")),
            Some(next) if next.is_ascii_alphanumeric() || next == '_' => {
                fault(start, ConditionProblem::Syntax("a number"))
            }
            Some(_) | None => Ok(word),
        }
    }

    /// From its first quote on; the prefix is read.
    fn text_literal(&mut self, start: usize, is_raw: bool) -> Result<Word, FaultAt> {
        let triple = ["\"\"\"", "'''"].into_iter().find(|quotes| self.take(quotes));
        let quotes = match triple {
            Some(quotes) => quotes,
            None if self.take("\"") => "\"",
            None => {
                self.take("'");
                "'"
            }
        };
        let mut text = String::new();
        loop {
            if self.take(quotes) {
                return Ok(Word::Text(text));
            }
            let offset = self.offset;
            match self.next() {
                None => return fault(start, ConditionProblem::Syntax("the closing quote of this text")),
                Some('\n' | '\r') if triple.is_none() => {
                    return fault(start, ConditionProblem::Syntax("the closing quote of this text"));
                }
                Some('\\') if !is_raw => text.push(self.escaped(offset)?),
                Some(other) => text.push(other),
            }
        }
    }

    fn escaped(&mut self, start: usize) -> Result<char, FaultAt> {
        let unknown = FaultAt { offset: start, problem: ConditionProblem::Syntax("an escape sequence of CEL") };
        let (digits, radix) = match self.next() {
            Some('a') => return Ok('\u{7}'),
            Some('b') => return Ok('\u{8}'),
            Some('f') => return Ok('\u{c}'),
            Some('n') => return Ok('\n'),
            Some('r') => return Ok('\r'),
            Some('t') => return Ok('\t'),
            Some('v') => return Ok('\u{b}'),
            Some(same @ ('\\' | '?' | '"' | '\'' | '`')) => return Ok(same),
            Some('x' | 'X') => (2, 16),
            Some('u') => (4, 16),
            Some('U') => (8, 16),
            Some('0'..='3') => {
                self.offset = self.offset.saturating_sub(1);
                (3, 8)
            }
            Some(_) | None => return Err(unknown),
        };
        let written = self.rest().get(..digits).filter(|written| written.chars().all(|digit| digit.is_digit(radix)));
        let written = written.ok_or(unknown)?;
        self.offset = self.offset.saturating_add(digits);
        u32::from_str_radix(written, radix).ok().and_then(char::from_u32).ok_or(unknown)
    }
}
