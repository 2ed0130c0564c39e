//! Pieces of a template to its tree.

use std::collections::BTreeSet;

use super::lex::{Kind, Piece, Token, split};
use super::rendered::{DEPTH_LIMIT, Functions, TemplateError};

/// A part of a template's body.
#[derive(Debug)]
pub(super) enum Node {
    /// Copied: begin and end in the template.
    Text(usize, usize),
    /// A pipeline whose result is written.
    Output(Pipe),
    If(Branches),
    With(Branches),
    Range {
        pipe: Pipe,
        body: Vec<Self>,
        otherwise: Vec<Self>,
    },
    Break,
    Continue,
}

/// `if`/`else if`/`else`, in order; the last may have no condition.
#[derive(Debug)]
pub(super) struct Branches {
    pub(super) pipe: Pipe,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// Commands whose results are handed on, and the variables that take the last one.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) at: usize,
    pub(super) variables: Vec<String>,
    /// The variables are new (`:=`).
    pub(super) declares: bool,
    pub(super) commands: Vec<Vec<Operand>>,
}

/// One word of a command with the fields that are taken from it.
#[derive(Debug)]
pub(super) struct Operand {
    pub(super) at: usize,
    pub(super) end: usize,
    pub(super) base: Base,
    pub(super) fields: Vec<(usize, String)>,
}

#[derive(Debug)]
pub(super) enum Base {
    Dot,
    Variable(String),
    Function(String),
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    Nil,
    Pipe(Box<Pipe>),
}

/// Functions of Go that files use.
const BUILTIN: [&str; 14] = [
    "and", "eq", "ge", "gt", "index", "le", "len", "lt", "ne", "not", "or", "print", "printf",
    "println",
];
/// Functions of Go that are not here.
const UNSUPPORTED: [&str; 5] = ["call", "html", "js", "slice", "urlquery"];
/// Functions of frp.
const FRP: [&str; 2] = ["parseNumberRange", "parseNumberRangePair"];

pub(super) fn parse(text: &str, functions: Functions) -> Result<Vec<Node>, TemplateError> {
    let mut parser = Parser {
        pieces: split(text)?.into_iter(),
        functions,
        variables: vec!["$".to_owned()],
        ranges: 0,
        depth: 0,
        end: text.len(),
    };
    let (nodes, ended) = parser.body()?;
    match ended {
        Ended::AtEof => Ok(nodes),
        Ended::ByEnd(at) => Err(TemplateError::new(at, "unexpected {{end}}")),
        Ended::ByElse(at, _) => Err(TemplateError::new(at, "unexpected {{else}}")),
    }
}

/// What ended a body.
enum Ended {
    AtEof,
    ByEnd(usize),
    /// With the tokens behind `else`.
    ByElse(usize, Vec<Token>),
}

struct Parser {
    pieces: std::vec::IntoIter<Piece>,
    functions: Functions,
    /// Variables in sight.
    variables: Vec<String>,
    ranges: usize,
    depth: usize,
    end: usize,
}

impl Parser {
    fn body(&mut self) -> Result<(Vec<Node>, Ended), TemplateError> {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            return Err(TemplateError::new(
                self.end,
                "max expression depth exceeded",
            ));
        }
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let (at, tokens) = match piece {
                Piece::Text(begin, end) => {
                    nodes.push(Node::Text(begin, end));
                    continue;
                }
                Piece::Action { at, tokens } => (at, tokens),
            };
            let keyword = match tokens.first().map(|token| &token.kind) {
                Some(Kind::Word(word)) => word.as_str(),
                None => return Err(TemplateError::new(at, "missing value for command")),
                Some(_) => "",
            };
            let rest = tokens.get(1..).unwrap_or_default();
            let node = match keyword {
                "end" | "else" => {
                    self.depth -= 1;
                    let end = if keyword == "end" {
                        nothing_behind(rest, "end")?;
                        Ended::ByEnd(at)
                    } else {
                        Ended::ByElse(at, rest.to_vec())
                    };
                    return Ok((nodes, end));
                }
                "if" => Node::If(self.branches("if", at, rest)?),
                "with" => Node::With(self.branches("with", at, rest)?),
                "range" => self.range(at, rest)?,
                "break" | "continue" => {
                    nothing_behind(rest, keyword)?;
                    if self.ranges == 0 {
                        let text = format!("{{{{{keyword}}}}} outside {{{{range}}}}");
                        return Err(TemplateError::new(at, text));
                    }
                    if keyword == "break" {
                        Node::Break
                    } else {
                        Node::Continue
                    }
                }
                "define" | "template" | "block" => {
                    let text = format!("{{{{{keyword}}}}} is not supported");
                    return Err(TemplateError::new(at, text));
                }
                _ => Node::Output(self.pipe("command", at, &tokens)?),
            };
            nodes.push(node);
        }
        self.depth -= 1;
        Ok((nodes, Ended::AtEof))
    }

    /// `if` or `with` up to its `end`.
    fn branches(
        &mut self,
        keyword: &str,
        at: usize,
        tokens: &[Token],
    ) -> Result<Branches, TemplateError> {
        let in_sight = self.variables.len();
        let pipe = self.pipe(keyword, at, tokens)?;
        let (body, end) = self.body()?;
        let otherwise = self.otherwise(keyword, at, end)?;
        self.variables.truncate(in_sight);
        Ok(Branches {
            pipe,
            body,
            otherwise,
        })
    }

    fn range(&mut self, at: usize, tokens: &[Token]) -> Result<Node, TemplateError> {
        let in_sight = self.variables.len();
        let pipe = self.pipe("range", at, tokens)?;
        self.ranges += 1;
        let inner = self.body();
        self.ranges -= 1;
        let (body, end) = inner?;
        let otherwise = self.otherwise("range", at, end)?;
        self.variables.truncate(in_sight);
        Ok(Node::Range {
            pipe,
            body,
            otherwise,
        })
    }

    /// What stands between `else` and `end`.
    fn otherwise(
        &mut self,
        keyword: &str,
        at: usize,
        end: Ended,
    ) -> Result<Vec<Node>, TemplateError> {
        let unclosed = |at| TemplateError::new(at, format!("unexpected EOF: {keyword} has no end"));
        let (else_at, rest) = match end {
            Ended::ByEnd(_) => return Ok(Vec::new()),
            Ended::AtEof => return Err(unclosed(at)),
            Ended::ByElse(else_at, rest) => (else_at, rest),
        };
        // `else if` is an `if` inside the `else`, and shares its `end`.
        let word = match rest.first().map(|token| &token.kind) {
            Some(Kind::Word(word)) if word == keyword && keyword != "range" => word.clone(),
            Some(_) => {
                nothing_behind(&rest, "else")?;
                String::new()
            }
            None => String::new(),
        };
        let behind = rest.get(1..).unwrap_or_default();
        match word.as_str() {
            "if" => Ok(vec![Node::If(self.nested("if", else_at, behind)?)]),
            "with" => Ok(vec![Node::With(self.nested("with", else_at, behind)?)]),
            _ => {
                let (body, end) = self.body()?;
                match end {
                    Ended::ByEnd(_) => Ok(body),
                    Ended::AtEof => Err(unclosed(at)),
                    Ended::ByElse(at, _) => {
                        Err(TemplateError::new(at, "expected end; found {{else}}"))
                    }
                }
            }
        }
    }

    fn nested(
        &mut self,
        keyword: &str,
        at: usize,
        tokens: &[Token],
    ) -> Result<Branches, TemplateError> {
        self.depth += 1;
        let branches = self.branches(keyword, at, tokens);
        self.depth -= 1;
        branches
    }

    fn pipe(&mut self, context: &str, at: usize, tokens: &[Token]) -> Result<Pipe, TemplateError> {
        let (variables, declares, used) = declared(tokens, context)?;
        let mut cursor = Cursor {
            tokens: tokens.get(used..).unwrap_or_default(),
            at: 0,
        };
        let mut pipe = self.commands(context, at, &mut cursor)?;
        if cursor.peek().is_some() {
            return Err(TemplateError::new(
                at,
                format!("unexpected token in {context}"),
            ));
        }
        if declares {
            self.variables.extend(variables.iter().cloned());
        } else {
            for name in &variables {
                self.in_sight(at, name)?;
            }
        }
        pipe.variables = variables;
        pipe.declares = declares;
        Ok(pipe)
    }

    fn in_sight(&self, at: usize, name: &str) -> Result<(), TemplateError> {
        if self.variables.iter().any(|known| known == name) {
            Ok(())
        } else {
            Err(TemplateError::new(
                at,
                format!("undefined variable {name:?}"),
            ))
        }
    }

    fn commands(
        &mut self,
        context: &str,
        at: usize,
        cursor: &mut Cursor<'_>,
    ) -> Result<Pipe, TemplateError> {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            return Err(TemplateError::new(at, "max expression depth exceeded"));
        }
        let at = cursor.peek().map_or(at, |token| token.at);
        let mut commands = Vec::new();
        loop {
            let command = self.command(cursor)?;
            if command.is_empty() {
                let text = match context {
                    _ if !commands.is_empty() => "missing value for command".to_owned(),
                    context => format!("missing value for {context}"),
                };
                return Err(TemplateError::new(at, text));
            }
            commands.push(command);
            match cursor.peek().map(|token| &token.kind) {
                Some(Kind::Pipe) => cursor.at += 1,
                _ => break,
            }
        }
        // Only what can be called can take what is handed on.
        for command in commands.iter().skip(1) {
            if let Some(first) = command.first()
                && !matches!(first.base, Base::Function(_))
            {
                let text = "non executable command in pipeline stage 2";
                return Err(TemplateError::new(first.at, text));
            }
        }
        self.depth -= 1;
        Ok(Pipe {
            at,
            variables: Vec::new(),
            declares: false,
            commands,
        })
    }

    fn command(&mut self, cursor: &mut Cursor<'_>) -> Result<Vec<Operand>, TemplateError> {
        let mut operands = Vec::new();
        while let Some(token) = cursor.peek() {
            if matches!(token.kind, Kind::Pipe | Kind::Close) {
                break;
            }
            let token = token.clone();
            if !operands.is_empty() && !token.spaced && !matches!(token.kind, Kind::Open) {
                let text = "unexpected token: operands are separated by spaces";
                return Err(TemplateError::new(token.at, text));
            }
            cursor.at += 1;
            operands.push(self.operand(token, cursor)?);
        }
        Ok(operands)
    }

    fn operand(&mut self, token: Token, cursor: &mut Cursor<'_>) -> Result<Operand, TemplateError> {
        let Token { at, mut end, .. } = token;
        let mut fields = Vec::new();
        let base = match token.kind {
            Kind::Dot => Base::Dot,
            Kind::Field(name) => {
                fields.push((at, name));
                Base::Dot
            }
            Kind::Variable(name) => {
                self.in_sight(at, &name)?;
                Base::Variable(name)
            }
            Kind::Text(text) => Base::Text(text),
            Kind::Int(int) => Base::Int(int),
            Kind::Float(float) => Base::Float(float),
            Kind::Open => {
                let pipe = self.commands("parenthesized pipeline", at, cursor)?;
                match cursor.peek() {
                    Some(close) if close.kind == Kind::Close => end = close.end,
                    _ => return Err(TemplateError::new(at, "unclosed left paren")),
                }
                cursor.at += 1;
                Base::Pipe(Box::new(pipe))
            }
            Kind::Word(word) => self.word(at, word)?,
            other => {
                return Err(TemplateError::new(
                    at,
                    format!("unexpected {other:?} in operand"),
                ));
            }
        };
        while let Some(Token {
            at,
            end: behind,
            spaced: false,
            kind: Kind::Field(name),
        }) = cursor.peek()
        {
            if matches!(
                base,
                Base::Text(_) | Base::Int(_) | Base::Float(_) | Base::Bool(_)
            ) {
                return Err(TemplateError::new(
                    *at,
                    format!("unexpected . after term {name:?}"),
                ));
            }
            fields.push((*at, name.clone()));
            end = *behind;
            cursor.at += 1;
        }
        Ok(Operand {
            at,
            end,
            base,
            fields,
        })
    }

    fn word(&self, at: usize, word: String) -> Result<Base, TemplateError> {
        match word.as_str() {
            "true" => return Ok(Base::Bool(true)),
            "false" => return Ok(Base::Bool(false)),
            "nil" => return Ok(Base::Nil),
            _ => {}
        }
        let known: BTreeSet<&str> = match self.functions {
            Functions::Frp => BUILTIN.iter().chain(&FRP).copied().collect(),
            Functions::Builtin => BUILTIN.iter().copied().collect(),
        };
        if known.contains(word.as_str()) {
            return Ok(Base::Function(word));
        }
        let text = if UNSUPPORTED.contains(&word.as_str()) {
            format!("function {word:?} is not supported")
        } else {
            format!("function {word:?} not defined")
        };
        Err(TemplateError::new(at, text))
    }
}

struct Cursor<'t> {
    tokens: &'t [Token],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }
}

fn nothing_behind(rest: &[Token], keyword: &str) -> Result<(), TemplateError> {
    match rest.first() {
        None => Ok(()),
        Some(token) => Err(TemplateError::new(
            token.at,
            format!("unexpected token in {keyword}"),
        )),
    }
}

/// `$a :=`, `$a =` or, for `range`, `$a, $b :=`: the names, whether they are new, and the number
/// of tokens that say so.
fn declared(tokens: &[Token], context: &str) -> Result<(Vec<String>, bool, usize), TemplateError> {
    let kind = |index: usize| tokens.get(index).map(|token| &token.kind);
    let Some(Kind::Variable(first)) = kind(0) else {
        return Ok((Vec::new(), false, 0));
    };
    match kind(1) {
        Some(Kind::Declare) => Ok((vec![first.clone()], true, 2)),
        Some(Kind::Assign) => Ok((vec![first.clone()], false, 2)),
        Some(Kind::Comma) => {
            let at = tokens.first().map_or(0, |token| token.at);
            let many = || TemplateError::new(at, format!("too many declarations in {context}"));
            let (Some(Kind::Variable(second)), "range") = (kind(2), context) else {
                return Err(many());
            };
            let declares = match kind(3) {
                Some(Kind::Declare) => true,
                Some(Kind::Assign) => false,
                _ => {
                    return Err(TemplateError::new(
                        at,
                        "range can only initialize variables",
                    ));
                }
            };
            Ok((vec![first.clone(), second.clone()], declares, 4))
        }
        _ => Ok((Vec::new(), false, 0)),
    }
}
