//! The words of a template: plain text, and the tokens between `{{` and `}}`.

use super::Mistake;

/// One word, and where it begins in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) at: usize,
    pub(super) is: Is,
}

/// What a word is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Is {
    /// Text outside of actions.
    Plain(String),
    /// `{{`.
    Begin,
    /// `}}`.
    End,
    /// A name: of a value, a function, or a keyword.
    Word(String),
    /// `.key`, directly behind a word or a parenthesis.
    Key(String),
    /// A text in quotes, without them.
    Text(String),
    /// `|`.
    Pipe,
    /// `(`.
    Open,
    /// `)`.
    Close,
}

/// What may stand in an action.
const ALLOWED: &str = "allowed are names, texts in quotes, | and parentheses";

/// The words of a template.
pub(super) fn tokens(source: &str) -> Result<Vec<Token>, Mistake> {
    let mut lexer = Lexer {
        source,
        at: 0,
        tokens: Vec::new(),
        trim: false,
    };
    while lexer.at < source.len() {
        lexer.plain();
        if lexer.eat("{{") {
            lexer.action()?;
        }
    }
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    tokens: Vec<Token>,
    /// Whether white space at the beginning of the next plain text goes.
    trim: bool,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn eat(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    /// Eats while the test holds, and gives what was eaten.
    fn eat_while(&mut self, test: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let (eaten, _) = rest.split_at(rest.find(|c| !test(c)).unwrap_or(rest.len()));
        self.at += eaten.len();
        eaten
    }

    fn push(&mut self, at: usize, is: Is) {
        self.tokens.push(Token { at, is });
    }

    fn last(&self) -> Option<&Is> {
        self.tokens.last().map(|token| &token.is)
    }

    /// Text up to the next action, without the white space that trim markers on either side take away.
    fn plain(&mut self) {
        let (at, rest) = (self.at, self.rest());
        let (text, action) = rest.split_at(rest.find("{{").unwrap_or(rest.len()));
        self.at += text.len();
        let text = if self.trim {
            text.trim_start_matches(is_space)
        } else {
            text
        };
        self.trim = false;
        let trimmed = action
            .strip_prefix("{{-")
            .is_some_and(|after| after.starts_with(is_space));
        let text = if trimmed {
            text.trim_end_matches(is_space)
        } else {
            text
        };
        if !text.is_empty() {
            self.push(at, Is::Plain(text.to_owned()));
        }
    }

    /// An action behind its `{{`.
    fn action(&mut self) -> Result<(), Mistake> {
        let begin = self.at - 2;
        if self
            .rest()
            .strip_prefix('-')
            .is_some_and(|after| after.starts_with(is_space))
        {
            self.at += 2;
        }
        if self.eat("/*") {
            return self.comment(begin);
        }
        self.push(begin, Is::Begin);
        loop {
            let spaced = !self.eat_while(is_space).is_empty();
            if spaced && self.eat("-}}") {
                self.trim = true;
            } else if !self.eat("}}") {
                self.word(begin, spaced)?;
                continue;
            }
            self.push(self.at - 2, Is::End);
            return Ok(());
        }
    }

    /// A comment behind its `/*`: nothing but a trim marker may stand between its `*/` and `}}`.
    fn comment(&mut self, begin: usize) -> Result<(), Mistake> {
        let unclosed = || {
            Mistake::new(
                begin,
                "a comment that does not end",
                "it must end with */}}",
            )
        };
        self.at += self.rest().find("*/").ok_or_else(unclosed)? + 2;
        let marked = self.rest().starts_with(is_space)
            && self
                .rest()
                .get(1..)
                .is_some_and(|after| after.starts_with("-}}"));
        if marked {
            self.at += 4;
            self.trim = true;
            return Ok(());
        }
        if self.eat("}}") {
            Ok(())
        } else {
            Err(unclosed())
        }
    }

    /// One word of an action.
    fn word(&mut self, begin: usize, spaced: bool) -> Result<(), Mistake> {
        let at = self.at;
        let Some(c) = self.peek() else {
            return Err(Mistake::new(
                begin,
                "{{ that does not end",
                "it must end with }}",
            ));
        };
        let is = match c {
            '|' => self.single(Is::Pipe),
            '(' => self.single(Is::Open),
            ')' => self.single(Is::Close),
            '"' => self.quoted()?,
            '`' => self.raw()?,
            '.' => self.key(spaced)?,
            _ if is_letter(c) => Is::Word(self.eat_while(is_letter_or_digit).to_owned()),
            _ => return Err(refused(at, c)),
        };
        self.push(at, is);
        self.ends_here()
    }

    fn single(&mut self, is: Is) -> Is {
        self.at += 1;
        is
    }

    /// Words are told apart by what follows: `my-key` is not three words, it is a mistake.
    fn ends_here(&self) -> Result<(), Mistake> {
        let is_word = matches!(self.last(), Some(Is::Word(_) | Is::Key(_) | Is::Text(_)));
        match self.peek() {
            Some(c) if is_word && !is_space(c) && !matches!(c, '|' | '(' | ')' | '.' | '}') => {
                Err(refused(self.at, c))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// `.key`: without a space before it, it belongs to the word before.
    fn key(&mut self, spaced: bool) -> Result<Is, Mistake> {
        let at = self.at;
        let belongs = !spaced && matches!(self.last(), Some(Is::Word(_) | Is::Key(_) | Is::Close));
        self.at += 1;
        let key = self.eat_while(is_letter_or_digit);
        if belongs && !key.is_empty() {
            return Ok(Is::Key(key.to_owned()));
        }
        Err(Mistake::new(
            at,
            format!("field .{key}"),
            "names stand without a point before them: name, variables.key",
        ))
    }

    /// A text in double quotes.
    fn quoted(&mut self) -> Result<Is, Mistake> {
        let begin = self.at;
        let unclosed = || {
            Mistake::new(
                begin,
                "a text that does not end",
                "it must end with \" on the same line",
            )
        };
        let mut text = String::new();
        self.at += 1;
        loop {
            let at = self.at;
            match self.next().ok_or_else(unclosed)? {
                '"' => return Ok(Is::Text(text)),
                '\n' => return Err(unclosed()),
                '\\' => text.push(unescaped(at, self.next().ok_or_else(unclosed)?)?),
                c => text.push(c),
            }
        }
    }

    /// A text in backquotes.
    fn raw(&mut self) -> Result<Is, Mistake> {
        let begin = self.at;
        self.at += 1;
        let text = self.eat_while(|c| c != '`');
        if self.eat("`") {
            // As in Go, where a raw text never holds a carriage return.
            return Ok(Is::Text(text.replace('\r', "")));
        }
        Err(Mistake::new(
            begin,
            "a text that does not end",
            "it must end with `",
        ))
    }
}

fn unescaped(at: usize, c: char) -> Result<char, Mistake> {
    match c {
        '"' | '\\' => Ok(c),
        'n' => Ok('\n'),
        'r' => Ok('\r'),
        't' => Ok('\t'),
        _ => {
            let allowed = "allowed are \\\" \\\\ \\n \\r \\t; a text in backquotes needs none";
            Err(Mistake::new(at, format!("escape \\{c} in a text"), allowed))
        }
    }
}

fn refused(at: usize, c: char) -> Mistake {
    match c {
        '$' | ':' | '=' => Mistake::new(at, format!("{c:?} of a variable"), ALLOWED),
        '-' => Mistake::new(
            at,
            "'-' in a name",
            "for such a key write index variables \"my-key\"",
        ),
        '0'..='9' | '+' => Mistake::new(at, "a number", ALLOWED),
        _ => Mistake::new(at, format!("character {c:?}"), ALLOWED),
    }
}

/// What Go takes for space in an action and trims around one.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_letter(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

fn is_letter_or_digit(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}
