//! Query templates: a subset of Go's `text/template`.
//!
//! | part | allowed |
//! | --- | --- |
//! | values | `name`, `namespace`, `target`, `service`, `ingress`, `route`, `interval`, `variables.key`, `index variables "key"` |
//! | texts | `"quoted"` with `\"`, `\\`, `\n`, `\r`, `\t`; `` `raw` ``; `true`, `false` |
//! | functions | `printf` with `%s`, `%q`, `%v`, `%%`; `eq`, `ne`, `and`, `or`, `not`; `index` |
//! | form | pipelines `a \| b`, parentheses, `if`, `else`, `else if`, `end`, trim markers `{{-` and `-}}`, comments `{{/* */}}` |
//!
//! What is allowed means what it means to Go. Everything else is refused by name, with its place and what is allowed: a word that is
//! misspelt never becomes an empty text in a query. A key of `variables` that is not given is refused as well, and `index` gives the
//! empty text for it, both as in Flagger (it sets Go's `missingkey=error`).
//!
//! **Source**: dossier 02 C.2; the reference of Go's `text/template`. **Differs from Flagger**: `range`, `with`, `define`, variables,
//! numbers and the other built-in functions of Go are refused; so is a `printf` whose verbs and arguments do not match, where Go
//! writes `%!s(MISSING)` into the query. An error in a query of the Canary itself is reported; Flagger drops it and sends nothing (F-49).

use std::collections::BTreeMap;

use crate::variables::Variables;

mod lex;
mod parse;

use parse::{Function, Node, Pipeline, Term, Variable};

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    source: String,
    nodes: Vec<Node>,
}

/// What is wrong in a template, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {found}, {allowed}")]
pub struct TemplateError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What stands there.
    pub found: String,
    /// What is allowed, as a sentence part.
    pub allowed: String,
}

/// A mistake before its place is counted: where it is in bytes, what stands there, what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mistake {
    at: usize,
    found: String,
    allowed: String,
}

impl Mistake {
    fn new(at: usize, found: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self {
            at,
            found: found.into(),
            allowed: allowed.into(),
        }
    }

    fn in_source(self, source: &str) -> TemplateError {
        let before = source.get(..self.at).unwrap_or(source);
        let line = before.rsplit('\n').next().unwrap_or(before);
        TemplateError {
            line: before.matches('\n').count() + 1,
            column: line.chars().count() + 1,
            found: crate::text::bounded(&self.found, 120),
            allowed: self.allowed,
        }
    }
}

/// Parses and renders at once.
///
/// # Errors
/// As [`Template::parse`] and [`Template::render`].
pub fn render(source: &str, variables: &Variables) -> Result<String, TemplateError> {
    Template::parse(source)?.render(variables)
}

impl Template {
    /// The template that a text means. A text without `{{` means itself.
    ///
    /// # Errors
    /// The first thing that is not allowed, by name.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        let nodes = parse::nodes(source).map_err(|mistake| mistake.in_source(source))?;
        Ok(Self {
            source: source.to_owned(),
            nodes,
        })
    }

    /// The text with these values.
    ///
    /// # Errors
    /// A key of `variables` that is not given, or a function with arguments that it cannot take.
    pub fn render(&self, variables: &Variables) -> Result<String, TemplateError> {
        let mut text = String::with_capacity(self.source.len());
        write_nodes(&self.nodes, variables, &mut text)
            .map_err(|mistake| mistake.in_source(&self.source))?;
        Ok(text)
    }
}

/// What an expression gives.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value<'a> {
    Text(String),
    Bool(bool),
    Map(&'a BTreeMap<String, String>),
}

impl Value<'_> {
    /// What Go takes for true: everything that is not empty.
    fn is_true(&self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::Bool(bool) => *bool,
            Self::Map(map) => !map.is_empty(),
        }
    }

    /// As it is written into the query.
    fn written(self, at: usize) -> Result<String, Mistake> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Bool(bool) => Ok(bool.to_string()),
            Self::Map(map) => Err(Mistake::new(
                at,
                "variables as a whole",
                one_of_the_keys(map),
            )),
        }
    }
}

fn one_of_the_keys(map: &BTreeMap<String, String>) -> String {
    let keys: Vec<&str> = map.keys().map(String::as_str).collect();
    match keys.as_slice() {
        [] => "no templateVariables are given".to_owned(),
        keys => format!(
            "allowed is one of its keys: {}",
            crate::text::bounded(&keys.join(", "), 300)
        ),
    }
}

fn write_nodes(nodes: &[Node], variables: &Variables, text: &mut String) -> Result<(), Mistake> {
    for node in nodes {
        match node {
            Node::Text(plain) => text.push_str(plain),
            Node::Print(pipeline) => {
                let value = run(pipeline, variables)?;
                text.push_str(&value.written(pipeline.at)?);
            }
            Node::If {
                branches,
                otherwise,
            } => {
                write_nodes(chosen(branches, otherwise, variables)?, variables, text)?;
            }
        }
    }
    Ok(())
}

/// The nodes behind the first condition that holds.
fn chosen<'a>(
    branches: &'a [(Pipeline, Vec<Node>)],
    otherwise: &'a [Node],
    variables: &Variables,
) -> Result<&'a [Node], Mistake> {
    for (condition, nodes) in branches {
        if run(condition, variables)?.is_true() {
            return Ok(nodes);
        }
    }
    Ok(otherwise)
}

/// Runs commands one after another; each gets what the one before gave as its last argument.
fn run<'a>(pipeline: &Pipeline, variables: &'a Variables) -> Result<Value<'a>, Mistake> {
    let mut piped = value(&pipeline.first, None, variables)?;
    for term in &pipeline.then {
        piped = value(term, Some(piped), variables)?;
    }
    Ok(piped)
}

fn value<'a>(
    term: &Term,
    piped: Option<Value<'a>>,
    variables: &'a Variables,
) -> Result<Value<'a>, Mistake> {
    match term {
        Term::Text(text) => Ok(Value::Text(text.clone())),
        Term::Bool(bool) => Ok(Value::Bool(*bool)),
        Term::Variable(variable) => Ok(variable_of(*variable, variables)),
        Term::Key { of, key, at } => key_of(&value(of, None, variables)?, key, *at),
        Term::Pipeline(pipeline) => run(pipeline, variables),
        Term::Call {
            function,
            arguments,
            at,
        } => call(*function, arguments, piped, variables, *at),
    }
}

fn variable_of(variable: Variable, variables: &Variables) -> Value<'_> {
    let text = match variable {
        Variable::Name => &variables.name,
        Variable::Namespace => &variables.namespace,
        Variable::Target => &variables.target,
        Variable::Service => &variables.service,
        Variable::Ingress => &variables.ingress,
        Variable::Route => &variables.route,
        Variable::Interval => &variables.interval,
        Variable::Variables => return Value::Map(&variables.variables),
    };
    Value::Text(text.clone())
}

fn key_of<'a>(of: &Value<'a>, key: &str, at: usize) -> Result<Value<'a>, Mistake> {
    match of {
        Value::Map(map) => match map.get(key) {
            Some(text) => Ok(Value::Text(text.clone())),
            None => Err(Mistake::new(
                at,
                format!("unknown key {key:?} of variables"),
                one_of_the_keys(map),
            )),
        },
        Value::Text(_) | Value::Bool(_) => Err(Mistake::new(
            at,
            format!("key {key:?} of a text"),
            "only variables has keys",
        )),
    }
}

fn call<'a>(
    function: Function,
    arguments: &[Term],
    piped: Option<Value<'a>>,
    variables: &'a Variables,
    at: usize,
) -> Result<Value<'a>, Mistake> {
    // `and` and `or` stop at the argument that decides, as Go's do: what stands behind is not looked at.
    if let Function::And | Function::Or = function {
        return first_deciding(function, arguments, piped, variables, at);
    }
    let values = arguments.iter().map(|term| value(term, None, variables));
    let values = values.chain(piped.map(Ok)).collect::<Result<Vec<_>, _>>()?;
    match (function, values.as_slice()) {
        (Function::Not, [one]) => Ok(Value::Bool(!one.is_true())),
        (Function::Eq, [one, others @ ..]) if !others.is_empty() => {
            Ok(Value::Bool(equals_any(one, others, at)?))
        }
        (Function::Ne, [one, other]) => Ok(Value::Bool(!equals_any(
            one,
            std::slice::from_ref(other),
            at,
        )?)),
        (Function::Index, [Value::Map(map), Value::Text(key)]) => {
            Ok(Value::Text(map.get(key).cloned().unwrap_or_default()))
        }
        (Function::Printf, [Value::Text(format), values @ ..]) => {
            printf(format, values, at).map(Value::Text)
        }
        (
            Function::Not
            | Function::Eq
            | Function::Ne
            | Function::Index
            | Function::Printf
            | Function::And
            | Function::Or,
            _,
        ) => Err(wrong_arguments(function, values.len(), at)),
    }
}

fn wrong_arguments(function: Function, count: usize, at: usize) -> Mistake {
    let found = format!(
        "{} with {count} arguments of these kinds",
        function.as_str()
    );
    Mistake::new(at, found, format!("allowed is {}", function.usage()))
}

fn first_deciding<'a>(
    function: Function,
    arguments: &[Term],
    piped: Option<Value<'a>>,
    variables: &'a Variables,
    at: usize,
) -> Result<Value<'a>, Mistake> {
    let mut last = None;
    for term in arguments {
        let found = value(term, None, variables)?;
        if found.is_true() == (function == Function::Or) {
            return Ok(found);
        }
        last = Some(found);
    }
    piped
        .or(last)
        .ok_or_else(|| wrong_arguments(function, 0, at))
}

fn equals_any(one: &Value<'_>, others: &[Value<'_>], at: usize) -> Result<bool, Mistake> {
    for other in others {
        match (one, other) {
            (Value::Text(one), Value::Text(other)) if one == other => return Ok(true),
            (Value::Bool(one), Value::Bool(other)) if one == other => return Ok(true),
            (Value::Text(_), Value::Text(_)) | (Value::Bool(_), Value::Bool(_)) => {}
            (Value::Text(_) | Value::Bool(_) | Value::Map(_), _) => {
                let found = "a comparison of different kinds";
                return Err(Mistake::new(
                    at,
                    found,
                    "allowed are two texts, or two of true and false",
                ));
            }
        }
    }
    Ok(false)
}

/// Texts in the places of the verbs of a format.
fn printf(format: &str, values: &[Value<'_>], at: usize) -> Result<String, Mistake> {
    let mut values = values.iter();
    let mut text = String::new();
    let mut rest = format.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        match rest.next() {
            Some('%') => text.push('%'),
            Some(verb @ ('s' | 'v' | 'q')) => {
                let value = values.next().ok_or_else(|| {
                    Mistake::new(
                        at,
                        format!("printf {format:?} with too few arguments"),
                        "one for each verb is needed",
                    )
                })?;
                text.push_str(&formatted(verb, value.clone(), at)?);
            }
            verb => {
                let found = format!(
                    "printf with %{}",
                    verb.map_or_else(String::new, String::from)
                );
                return Err(Mistake::new(at, found, "allowed are %s, %v, %q and %%"));
            }
        }
    }
    match values.next() {
        None => Ok(text),
        Some(_) => Err(Mistake::new(
            at,
            format!("printf {format:?} with too many arguments"),
            "one for each verb is allowed",
        )),
    }
}

/// A value as a verb wants it. Go writes `%!s(bool=true)` for what does not fit.
fn formatted(verb: char, value: Value<'_>, at: usize) -> Result<String, Mistake> {
    match (verb, value) {
        ('s' | 'q', Value::Bool(bool)) => Err(Mistake::new(
            at,
            format!("printf with %{verb} of {bool}"),
            "allowed is %v for true and false",
        )),
        ('q', Value::Text(text)) => Ok(quoted(&text)),
        (_, value) => value.written(at),
    }
}

/// A text in quotes, as Go's `%q` has it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests;
