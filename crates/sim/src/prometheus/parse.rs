//! The part of `PromQL` that controllers use: selectors with windows, rates, sums, quantiles and arithmetic.

use regex::Regex;
use std::time::Duration;

/// A parsed query.
#[derive(Clone, Debug)]
pub(super) enum Expression {
    Number(f64),
    Select(Selector),
    Call(String, Vec<Self>),
    Aggregate {
        function: String,
        by: Vec<String>,
        inner: Box<Self>,
    },
    Binary {
        operator: Operator,
        left: Box<Self>,
        right: Box<Self>,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Selector {
    pub(super) metric: String,
    pub(super) matchers: Vec<Matcher>,
    pub(super) window: Option<Duration>,
}

#[derive(Clone, Debug)]
pub(super) struct Matcher {
    pub(super) label: String,
    pub(super) test: Test,
}

#[derive(Clone, Debug)]
pub(super) enum Test {
    Equal(String),
    Different(String),
    Matches(Regex),
    MatchesNot(Regex),
}

impl Matcher {
    /// A label that is absent is empty.
    pub(super) fn holds(&self, value: &str) -> bool {
        match &self.test {
            Test::Equal(wanted) => value == wanted,
            Test::Different(unwanted) => value != unwanted,
            Test::Matches(expression) => expression.is_match(value),
            Test::MatchesNot(expression) => !expression.is_match(value),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    Different,
    Or,
}

const AGGREGATES: [&str; 5] = ["sum", "avg", "min", "max", "count"];

/// # Errors
/// What is wrong, and where.
pub(super) fn parse(query: &str) -> Result<Expression, String> {
    let tokens = tokens(query)?;
    let mut parser = Parser { tokens: &tokens };
    let parsed = parser.binary(0)?;
    match parser.tokens {
        [] => Ok(parsed),
        [rest, ..] => Err(format!("parse error: unexpected {rest:?} in {query:?}")),
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Number(f64),
    Text(String),
    Sign(String),
}

fn tokens(query: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = query.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '"' | '\'' | '`' => quoted(rest, first)?,
            letter if letter.is_alphabetic() || letter == '_' => {
                let length = rest
                    .find(|it: char| !(it.is_alphanumeric() || it == '_' || it == ':'))
                    .unwrap_or(rest.len());
                (Token::Word(head(rest, length)), length)
            }
            digit if digit.is_ascii_digit() || digit == '.' => number_or_duration(rest)?,
            _ => {
                let signs = ["!=", "=~", "!~", "==", "<=", ">="];
                let sign = signs.into_iter().find(|sign| rest.starts_with(sign));
                let length = sign.map_or_else(|| first.len_utf8(), str::len);
                (Token::Sign(head(rest, length)), length)
            }
        };
        tokens.push(token);
        rest = rest.get(length..).unwrap_or_default().trim_start();
    }
    Ok(tokens)
}

fn head(text: &str, length: usize) -> String {
    text.get(..length).unwrap_or_default().to_owned()
}

fn quoted(rest: &str, quote: char) -> Result<(Token, usize), String> {
    let mut text = String::new();
    let mut letters = rest.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            it if it == quote => return Ok((Token::Text(text), at + 1)),
            '\\' if quote != '`' => match letters.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, escaped)) => text.push(escaped),
                None => break,
            },
            other => text.push(other),
        }
    }
    Err(format!("parse error: unterminated quoted string {rest:?}"))
}

/// `0.99`, `1e3`, or `1m30s` as a word.
fn number_or_duration(rest: &str) -> Result<(Token, usize), String> {
    let length = rest
        .find(|it: char| !(it.is_ascii_alphanumeric() || it == '.'))
        .unwrap_or(rest.len());
    let text = head(rest, length);
    match text.parse() {
        Ok(number) => Ok((Token::Number(number), length)),
        Err(_) if duration(&text).is_some() => Ok((Token::Word(text), length)),
        Err(_) => Err(format!(
            "parse error: bad number or duration syntax: {text:?}"
        )),
    }
}

fn duration(text: &str) -> Option<Duration> {
    let mut whole = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|it: char| !it.is_ascii_digit())?;
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        let after = rest.get(digits..)?;
        let (millis, unit) = [
            ("ms", 1),
            ("s", 1000),
            ("m", 60_000),
            ("h", 3_600_000),
            ("d", 86_400_000),
            ("w", 604_800_000),
        ]
        .into_iter()
        .find_map(|(unit, millis)| after.starts_with(unit).then_some((millis, unit)))?;
        whole += Duration::from_millis(number.checked_mul(millis)?);
        rest = after.strip_prefix(unit)?;
    }
    (!text.is_empty()).then_some(whole)
}

struct Parser<'a> {
    tokens: &'a [Token],
}

impl Parser<'_> {
    fn next(&mut self) -> Option<&Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    fn takes(&mut self, sign: &str) -> bool {
        let is_next = matches!(self.tokens.first(), Some(Token::Sign(found)) if found == sign);
        if is_next {
            self.next();
        }
        is_next
    }

    fn needs(&mut self, sign: &str) -> Result<(), String> {
        if self.takes(sign) {
            return Ok(());
        }
        Err(format!(
            "parse error: expected {sign:?}, found {:?}",
            self.tokens.first()
        ))
    }

    /// Operators from the loosest to the tightest.
    fn binary(&mut self, level: usize) -> Result<Expression, String> {
        const LEVELS: [&[(&str, Operator)]; 4] = [
            &[("or", Operator::Or)],
            &[
                ("<", Operator::Less),
                ("<=", Operator::LessOrEqual),
                (">", Operator::Greater),
                (">=", Operator::GreaterOrEqual),
                ("==", Operator::Equal),
                ("!=", Operator::Different),
            ],
            &[("+", Operator::Add), ("-", Operator::Subtract)],
            &[("*", Operator::Multiply), ("/", Operator::Divide)],
        ];
        let Some(operators) = LEVELS.get(level) else {
            return self.unary();
        };
        let mut left = self.binary(level + 1)?;
        loop {
            let found = match self.tokens.first() {
                Some(Token::Sign(text) | Token::Word(text)) => {
                    operators.iter().find(|(sign, _)| sign == text)
                }
                Some(Token::Number(_) | Token::Text(_)) | None => None,
            };
            let Some((_, operator)) = found else {
                return Ok(left);
            };
            self.next();
            let right = self.binary(level + 1)?;
            left = Expression::Binary {
                operator: *operator,
                left: Box::new(left),
                right: Box::new(right),
            };
        }
    }

    fn unary(&mut self) -> Result<Expression, String> {
        if self.takes("-") {
            let right = Box::new(self.unary()?);
            let left = Box::new(Expression::Number(0.0));
            return Ok(Expression::Binary {
                operator: Operator::Subtract,
                left,
                right,
            });
        }
        if self.takes("(") {
            let inner = self.binary(0)?;
            self.needs(")")?;
            return Ok(inner);
        }
        match self.next().cloned() {
            Some(Token::Number(number)) => Ok(Expression::Number(number)),
            Some(Token::Word(word)) => self.word(word),
            other => Err(format!("parse error: unexpected {other:?}")),
        }
    }

    fn word(&mut self, word: String) -> Result<Expression, String> {
        if AGGREGATES.contains(&word.as_str()) {
            return self.aggregate(word);
        }
        if self.takes("(") {
            return Ok(Expression::Call(word, self.arguments()?));
        }
        self.selector(word).map(Expression::Select)
    }

    fn arguments(&mut self) -> Result<Vec<Expression>, String> {
        let mut arguments = Vec::new();
        while !self.takes(")") {
            arguments.push(self.binary(0)?);
            if !self.takes(",") {
                self.needs(")")?;
                break;
            }
        }
        Ok(arguments)
    }

    fn aggregate(&mut self, function: String) -> Result<Expression, String> {
        let mut by = self.by()?;
        self.needs("(")?;
        let inner = self.binary(0)?;
        self.needs(")")?;
        by.extend(self.by()?);
        Ok(Expression::Aggregate {
            function,
            by,
            inner: Box::new(inner),
        })
    }

    fn by(&mut self) -> Result<Vec<String>, String> {
        let mut labels = Vec::new();
        if self.tokens.first() != Some(&Token::Word("by".to_owned())) {
            return Ok(labels);
        }
        self.next();
        self.needs("(")?;
        while let Some(Token::Word(label)) = self.tokens.first().cloned() {
            self.next();
            labels.push(label);
            self.takes(",");
        }
        self.needs(")")?;
        Ok(labels)
    }

    fn selector(&mut self, metric: String) -> Result<Selector, String> {
        let mut matchers = Vec::new();
        if self.takes("{") {
            while !self.takes("}") {
                matchers.push(self.matcher()?);
                if !self.takes(",") {
                    self.needs("}")?;
                    break;
                }
            }
        }
        let mut window = None;
        if self.takes("[") {
            let text = match self.next() {
                Some(Token::Word(text)) => text.clone(),
                other => return Err(format!("parse error: expected a duration, found {other:?}")),
            };
            window =
                Some(duration(&text).ok_or_else(|| format!("parse error: bad duration {text:?}"))?);
            self.needs("]")?;
        }
        Ok(Selector {
            metric,
            matchers,
            window,
        })
    }

    fn matcher(&mut self) -> Result<Matcher, String> {
        let (label, sign, value) = match (
            self.next().cloned(),
            self.next().cloned(),
            self.next().cloned(),
        ) {
            (Some(Token::Word(label)), Some(Token::Sign(sign)), Some(Token::Text(value))) => {
                (label, sign, value)
            }
            other => return Err(format!("parse error: no label matcher: {other:?}")),
        };
        let whole = |expression: &str| {
            Regex::new(&format!("^(?:{expression})$"))
                .map_err(|error| format!("parse error: {error}"))
        };
        let test = match sign.as_str() {
            "=" => Test::Equal(value),
            "!=" => Test::Different(value),
            "=~" => Test::Matches(whole(&value)?),
            "!~" => Test::MatchesNot(whole(&value)?),
            other => return Err(format!("parse error: no label operator: {other:?}")),
        };
        Ok(Matcher { label, test })
    }
}
