//! From words to nodes.

use std::iter::Peekable;
use std::vec::IntoIter;

use super::Mistake;
use super::lex::{self, Is, Token};

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// Text as it is.
    Text(String),
    /// A value that is written.
    Print(Pipeline),
    /// The first branch whose condition holds, or the other nodes.
    If {
        branches: Vec<(Pipeline, Vec<Self>)>,
        otherwise: Vec<Self>,
    },
}

/// `first | then | then`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pipeline {
    pub(super) at: usize,
    pub(super) first: Term,
    /// Calls only.
    pub(super) then: Vec<Term>,
}

/// A value or a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Term {
    Text(String),
    Bool(bool),
    Variable(Variable),
    Key {
        of: Box<Self>,
        key: String,
        at: usize,
    },
    Pipeline(Box<Pipeline>),
    Call {
        function: Function,
        arguments: Vec<Self>,
        at: usize,
    },
}

/// The values that have a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    Name,
    Namespace,
    Target,
    Service,
    Ingress,
    Route,
    Interval,
    Variables,
}

impl Variable {
    const ALL: [(&'static str, Self); 8] = [
        ("name", Self::Name),
        ("namespace", Self::Namespace),
        ("target", Self::Target),
        ("service", Self::Service),
        ("ingress", Self::Ingress),
        ("route", Self::Route),
        ("interval", Self::Interval),
        ("variables", Self::Variables),
    ];
}

/// The functions that take arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Printf,
    Index,
    Eq,
    Ne,
    And,
    Or,
    Not,
}

impl Function {
    const ALL: [Self; 7] = [
        Self::Printf,
        Self::Index,
        Self::Eq,
        Self::Ne,
        Self::And,
        Self::Or,
        Self::Not,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Printf => "printf",
            Self::Index => "index",
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::And => "and",
            Self::Or => "or",
            Self::Not => "not",
        }
    }

    /// How it is called.
    pub(super) const fn usage(self) -> &'static str {
        match self {
            Self::Printf => "printf \"format\" value …",
            Self::Index => "index variables \"key\"",
            Self::Eq => "eq value value …",
            Self::Ne => "ne value value",
            Self::And => "and value …",
            Self::Or => "or value …",
            Self::Not => "not value",
        }
    }
}

/// How deep conditions and parentheses may stand in one another.
const DEEPEST: usize = 50;

/// The nodes of a template.
pub(super) fn nodes(source: &str) -> Result<Vec<Node>, Mistake> {
    let tokens = lex::tokens(source)?.into_iter().peekable();
    let mut parser = Parser {
        tokens,
        end: source.len(),
        depth: 0,
    };
    match parser.nodes()? {
        (nodes, Ended::Source) => Ok(nodes),
        (_, Ended::Else(at)) => Err(Mistake::new(
            at,
            "{{else}}",
            "an {{if}} must come before it",
        )),
        (_, Ended::End(at)) => Err(Mistake::new(at, "{{end}}", "an {{if}} must come before it")),
    }
}

/// What a list of nodes ended with, and where.
#[derive(Clone, Copy)]
enum Ended {
    Source,
    /// `{{else`, and what follows is still to be read.
    Else(usize),
    End(usize),
}

struct Parser {
    tokens: Peekable<IntoIter<Token>>,
    /// Where the source ends.
    end: usize,
    depth: usize,
}

impl Parser {
    fn peek(&mut self) -> Option<&Is> {
        self.tokens.peek().map(|token| &token.is)
    }

    fn at(&mut self) -> usize {
        let end = self.end;
        self.tokens.peek().map_or(end, |token| token.at)
    }

    /// One step deeper, as long as that is allowed: neither parsing nor dropping may exhaust the stack.
    fn deeper<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<T, Mistake>,
    ) -> Result<T, Mistake> {
        if self.depth == DEEPEST {
            let allowed =
                format!("at most {DEEPEST} conditions and parentheses may stand in one another");
            return Err(Mistake::new(
                self.at(),
                "a part that stands too deep",
                allowed,
            ));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn nodes(&mut self) -> Result<(Vec<Node>, Ended), Mistake> {
        let mut nodes = Vec::new();
        while let Some(token) = self.tokens.next() {
            match token.is {
                Is::Plain(text) => nodes.push(Node::Text(text)),
                Is::Begin => match self.keyword() {
                    Some((_, "if")) => {
                        nodes.push(self.deeper(|parser| parser.condition(token.at))?);
                    }
                    Some((_, "else")) => return Ok((nodes, Ended::Else(token.at))),
                    Some((_, "end")) => {
                        self.close()?;
                        return Ok((nodes, Ended::End(token.at)));
                    }
                    Some((at, word)) => {
                        return Err(Mistake::new(at, format!("{{{{{word}}}}}"), KEYWORDS));
                    }
                    None => {
                        nodes.push(Node::Print(self.pipeline()?));
                        self.close()?;
                    }
                },
                // Every action is read up to its end, so nothing else can stand here.
                Is::End
                | Is::Word(_)
                | Is::Key(_)
                | Is::Text(_)
                | Is::Pipe
                | Is::Open
                | Is::Close => {}
            }
        }
        Ok((nodes, Ended::Source))
    }

    /// The keyword that an action begins with, if it is one.
    fn keyword(&mut self) -> Option<(usize, &'static str)> {
        let Some(Token {
            at,
            is: Is::Word(word),
        }) = self.tokens.peek()
        else {
            return None;
        };
        let keyword = GO_KEYWORDS.into_iter().find(|keyword| keyword == word)?;
        let at = *at;
        self.tokens.next();
        Some((at, keyword))
    }

    /// A condition behind its `{{if`, up to and with its `{{end}}`.
    fn condition(&mut self, begin: usize) -> Result<Node, Mistake> {
        let mut branches = Vec::new();
        loop {
            let condition = self.pipeline()?;
            self.close()?;
            let (nodes, end) = self.nodes()?;
            branches.push((condition, nodes));
            match end {
                Ended::Source => return Err(unclosed(begin)),
                Ended::End(_) => {
                    return Ok(Node::If {
                        branches,
                        otherwise: Vec::new(),
                    });
                }
                Ended::Else(_) => {}
            }
            if self.peek() == Some(&Is::Word("if".to_owned())) {
                self.tokens.next();
                continue;
            }
            self.close()?;
            return Ok(Node::If {
                branches,
                otherwise: self.last_branch(begin)?,
            });
        }
    }

    fn last_branch(&mut self, begin: usize) -> Result<Vec<Node>, Mistake> {
        match self.nodes()? {
            (nodes, Ended::End(_)) => Ok(nodes),
            (_, Ended::Else(at)) => Err(Mistake::new(
                at,
                "a second {{else}}",
                "one is allowed, as the last branch",
            )),
            (_, Ended::Source) => Err(unclosed(begin)),
        }
    }

    /// The `}}` of an action.
    fn close(&mut self) -> Result<(), Mistake> {
        let at = self.at();
        match self.tokens.next().map(|token| token.is) {
            Some(Is::End) => Ok(()),
            other => Err(Mistake::new(
                at,
                shown(other.as_ref()),
                "the action must end here with }}",
            )),
        }
    }

    fn pipeline(&mut self) -> Result<Pipeline, Mistake> {
        let at = self.at();
        let first = self.command()?;
        let mut then = Vec::new();
        while self.peek() == Some(&Is::Pipe) {
            self.tokens.next();
            let at = self.at();
            match self.command()? {
                call @ Term::Call { .. } => then.push(call),
                Term::Text(_)
                | Term::Bool(_)
                | Term::Variable(_)
                | Term::Key { .. }
                | Term::Pipeline(_) => {
                    return Err(Mistake::new(
                        at,
                        "a value behind |",
                        format!("allowed is a function: {}", functions()),
                    ));
                }
            }
        }
        Ok(Pipeline { at, first, then })
    }

    /// A function with its arguments, or one value.
    fn command(&mut self) -> Result<Term, Mistake> {
        let term = self.term()?;
        let Term::Call {
            function,
            mut arguments,
            at,
        } = term
        else {
            return Ok(term);
        };
        while !matches!(self.peek(), None | Some(Is::End | Is::Pipe | Is::Close)) {
            arguments.push(self.term()?);
        }
        Ok(Term::Call {
            function,
            arguments,
            at,
        })
    }

    /// One value, perhaps with its key, or a function without its arguments.
    fn term(&mut self) -> Result<Term, Mistake> {
        let at = self.at();
        let term = match self.tokens.next().map(|token| token.is) {
            Some(Is::Text(text)) => Term::Text(text),
            Some(Is::Word(word)) => named(&word, at)?,
            Some(Is::Open) => self.deeper(|parser| parser.parenthesis(at))?,
            other @ (Some(
                Is::Plain(_) | Is::Begin | Is::End | Is::Key(_) | Is::Pipe | Is::Close,
            )
            | None) => {
                return Err(Mistake::new(
                    at,
                    shown(other.as_ref()),
                    "a value or a function must stand here",
                ));
            }
        };
        match self.tokens.next_if(|token| matches!(token.is, Is::Key(_))) {
            Some(Token {
                at,
                is: Is::Key(key),
            }) => Ok(Term::Key {
                of: Box::new(term),
                key,
                at,
            }),
            Some(_) | None => Ok(term),
        }
    }

    fn parenthesis(&mut self, open: usize) -> Result<Term, Mistake> {
        let pipeline = self.pipeline()?;
        match self.tokens.next().map(|token| token.is) {
            Some(Is::Close) => Ok(Term::Pipeline(Box::new(pipeline))),
            _ => Err(Mistake::new(
                open,
                "( that does not end",
                "it must end with )",
            )),
        }
    }
}

/// The words that Go's actions begin with. Only the first three are allowed.
const GO_KEYWORDS: [&str; 10] = [
    "if", "else", "end", "range", "with", "define", "template", "block", "break", "continue",
];
const KEYWORDS: &str = "allowed are values, if, else and end";

fn unclosed(begin: usize) -> Mistake {
    Mistake::new(
        begin,
        "{{if}} that does not end",
        "it must end with {{end}}",
    )
}

/// The value or function of that name.
fn named(word: &str, at: usize) -> Result<Term, Mistake> {
    if let Some((_, variable)) = Variable::ALL.into_iter().find(|(name, _)| *name == word) {
        return Ok(Term::Variable(variable));
    }
    if let Some(function) = Function::ALL
        .into_iter()
        .find(|function| function.as_str() == word)
    {
        return Ok(Term::Call {
            function,
            arguments: Vec::new(),
            at,
        });
    }
    if let Ok(bool) = word.parse() {
        return Ok(Term::Bool(bool));
    }
    let names = Variable::ALL.map(|(name, _)| name).join(", ");
    Err(Mistake::new(
        at,
        format!("unknown name {word:?}"),
        format!("allowed are {names}, {}", functions()),
    ))
}

fn functions() -> String {
    Function::ALL.map(Function::as_str).join(", ")
}

fn shown(is: Option<&Is>) -> String {
    match is {
        None => "the end of the template".to_owned(),
        Some(Is::Plain(_)) => "text".to_owned(),
        Some(Is::Begin) => "{{".to_owned(),
        Some(Is::End) => "}}".to_owned(),
        Some(Is::Word(word)) => format!("name {word:?}"),
        Some(Is::Key(key)) => format!("key .{key}"),
        Some(Is::Text(text)) => format!("text {text:?}"),
        Some(Is::Pipe) => "|".to_owned(),
        Some(Is::Open) => "(".to_owned(),
        Some(Is::Close) => ")".to_owned(),
    }
}
