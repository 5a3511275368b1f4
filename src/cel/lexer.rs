//! The lexer: source to tokens, by the lexis of the CEL specification. `bytes` and `uint` literals are recognised and
//! rejected: no attribute and no claim has one of these types.

use super::error::{CompileErrorKind as Kind, ErrorAt, error_at};

/// A token and its offset in the source.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lexeme {
    pub(super) offset: usize,
    pub(super) token: Token,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Ident(String),
    /// Without a sign, which is an operator: one more than `i64::MAX` at most.
    Integer(u64),
    Double(f64),
    String(String),
    Symbol(&'static str),
    End,
}

/// Longer ones first.
const SYMBOLS: [&str; 24] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", "(", ")", "[", "]", "{", "}",
    ",", ".",
];

/// All tokens; [`Token::End`] is the last.
pub(super) fn tokenize(text: &str) -> Result<Vec<Lexeme>, ErrorAt> {
    let mut lexer = Lexer { text, offset: 0 };
    let mut lexemes = Vec::new();
    loop {
        lexer.skip_whitespace();
        let offset = lexer.offset;
        let token = lexer.token()?;
        let is_end = token == Token::End;
        lexemes.push(Lexeme { offset, token });
        if is_end {
            return Ok(lexemes);
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

    fn skip_whitespace(&mut self) {
        loop {
            self.take_while(|next| matches!(next, ' ' | '\t' | '\n' | '\r' | '\u{c}'));
            if !self.take("//") {
                return;
            }
            self.take_while(|next| next != '\n');
        }
    }

    fn token(&mut self) -> Result<Token, ErrorAt> {
        let start = self.offset;
        let Some(first) = self.peek() else { return Ok(Token::End) };
        if first.is_ascii_digit()
            || (first == '.' && self.rest().chars().nth(1).is_some_and(|next| next.is_ascii_digit()))
        {
            return self.number(start);
        }
        if first.is_ascii_alphabetic() || first == '_' {
            let name = self.take_while(|next| next.is_ascii_alphanumeric() || next == '_');
            let opens_string = matches!(self.peek(), Some('"' | '\''));
            return match name {
                "r" | "R" if opens_string => self.string_literal(start, true),
                "b" | "B" | "br" | "bR" | "Br" | "BR" | "rb" | "rB" | "Rb" | "RB" if opens_string => {
                    error_at(start, Kind::Unsupported("bytes; write a string"))
                }
                _ => Ok(Token::Ident(name.to_owned())),
            };
        }
        if matches!(first, '"' | '\'') {
            return self.string_literal(start, false);
        }
        if first == '`' {
            return error_at(start, Kind::Unsupported("names in backticks; write ['name']"));
        }
        match SYMBOLS.into_iter().find(|symbol| self.take(symbol)) {
            Some(symbol) => Ok(Token::Symbol(symbol)),
            None => error_at(start, Kind::Syntax("an operator, a name or a value")),
        }
    }

    fn number(&mut self, start: usize) -> Result<Token, ErrorAt> {
        const RANGE: Kind = Kind::Syntax("a number within the range of 64 bits");
        let out_of_range = ErrorAt { offset: start, kind: RANGE };
        let token = if self.take("0x") || self.take("0X") {
            let digits = self.take_while(|next| next.is_ascii_hexdigit());
            Token::Integer(u64::from_str_radix(digits, 16).map_err(|_| out_of_range)?)
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
                    return error_at(start, Kind::Syntax("an exponent"));
                }
            }
            let written = self.text.get(start..self.offset).unwrap_or_default();
            if is_whole {
                Token::Integer(written.parse().map_err(|_| out_of_range)?)
            } else {
                let number: f64 = written.parse().map_err(|_| out_of_range)?;
                if !number.is_finite() {
                    return Err(out_of_range);
                }
                Token::Double(number)
            }
        };
        match self.peek() {
            Some('u' | 'U') => error_at(start, Kind::Unsupported("unsigned numbers; leave the u away")),
            Some(next) if next.is_ascii_alphanumeric() || next == '_' => error_at(start, Kind::Syntax("a number")),
            Some(_) | None => Ok(token),
        }
    }

    /// From its first quote on; the prefix is read.
    fn string_literal(&mut self, start: usize, is_raw: bool) -> Result<Token, ErrorAt> {
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
                return Ok(Token::String(text));
            }
            let offset = self.offset;
            match self.next() {
                None => return error_at(start, Kind::Syntax("the closing quote of this string")),
                Some('\n' | '\r') if triple.is_none() => {
                    return error_at(start, Kind::Syntax("the closing quote of this string"));
                }
                Some('\\') if !is_raw => text.push(self.escaped(offset)?),
                Some(other) => text.push(other),
            }
        }
    }

    fn escaped(&mut self, start: usize) -> Result<char, ErrorAt> {
        let unknown = ErrorAt { offset: start, kind: Kind::Syntax("an escape sequence of CEL") };
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
