//! A template's tree and the environment to its output.

use std::collections::BTreeMap;

use super::funcs;
use super::parse::{Base, Branches, Node, Operand, Pipe};
use super::rendered::{OUTPUT_LIMIT, Rendered, STEP_LIMIT, TemplateError};
use super::value::Value;

pub(super) fn execute(
    text: &str,
    nodes: &[Node],
    environment: &BTreeMap<String, String>,
) -> Result<Rendered, TemplateError> {
    let root = Value::Root(environment);
    let mut run = Run {
        text,
        out: Rendered {
            text: String::new(),
            map: Vec::new(),
        },
        variables: vec![("$".to_owned(), root.clone())],
        steps: 0,
    };
    run.body(nodes, &root)?;
    Ok(run.out)
}

/// How a body ended.
#[derive(Clone, Copy, PartialEq)]
enum Flow {
    On,
    Break,
    Continue,
}

struct Run<'e> {
    text: &'e str,
    out: Rendered,
    variables: Vec<(String, Value<'e>)>,
    steps: usize,
}

impl<'e> Run<'e> {
    fn body(&mut self, nodes: &[Node], dot: &Value<'e>) -> Result<Flow, TemplateError> {
        let in_sight = self.variables.len();
        for node in nodes {
            let flow = self.node(node, dot)?;
            if flow != Flow::On {
                self.variables.truncate(in_sight);
                return Ok(flow);
            }
        }
        self.variables.truncate(in_sight);
        Ok(Flow::On)
    }

    fn node(&mut self, node: &Node, dot: &Value<'e>) -> Result<Flow, TemplateError> {
        match node {
            Node::Text(begin, end) => {
                let text = self.text.get(*begin..*end).unwrap_or_default();
                self.write(*begin, text, true)?;
            }
            Node::Output(pipe) => {
                let value = self.pipe(pipe, dot)?;
                if pipe.variables.is_empty() {
                    self.write(pipe.at, &value.print(), false)?;
                }
            }
            Node::If(branches) => return self.branches(branches, dot, false),
            Node::With(branches) => return self.branches(branches, dot, true),
            Node::Range {
                pipe,
                body,
                otherwise,
            } => return self.range(pipe, body, otherwise, dot),
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn write(&mut self, from: usize, text: &str, side_by_side: bool) -> Result<(), TemplateError> {
        self.step(from)?;
        if self.out.text.len() + text.len() > OUTPUT_LIMIT {
            let limit = format!("the output is longer than {OUTPUT_LIMIT} bytes");
            return Err(TemplateError::new(from, limit));
        }
        self.out.map.push((self.out.text.len(), from, side_by_side));
        self.out.text.push_str(text);
        Ok(())
    }

    fn step(&mut self, at: usize) -> Result<(), TemplateError> {
        self.steps += 1;
        if self.steps > STEP_LIMIT {
            let limit = format!("the template takes more than {STEP_LIMIT} steps");
            return Err(TemplateError::new(at, limit));
        }
        Ok(())
    }

    fn branches(
        &mut self,
        branches: &Branches,
        dot: &Value<'e>,
        with: bool,
    ) -> Result<Flow, TemplateError> {
        let in_sight = self.variables.len();
        let value = self.pipe(&branches.pipe, dot)?;
        let flow = match value.is_true() {
            true if with => self.body(&branches.body, &value),
            true => self.body(&branches.body, dot),
            false => self.body(&branches.otherwise, dot),
        };
        self.variables.truncate(in_sight);
        flow
    }

    fn range(
        &mut self,
        pipe: &Pipe,
        body: &[Node],
        otherwise: &[Node],
        dot: &Value<'e>,
    ) -> Result<Flow, TemplateError> {
        let in_sight = self.variables.len();
        let value = self.commands(pipe, dot)?;
        let mut items: Box<dyn Iterator<Item = (Value<'e>, Value<'e>)>> = match &value {
            Value::List(items) => {
                let items = items.as_ref().clone();
                let index = |(index, item)| (Value::Int(i64::try_from(index).unwrap_or(0)), item);
                Box::new(items.into_iter().enumerate().map(index))
            }
            Value::Envs(map) => {
                let map: &'e BTreeMap<String, String> = map;
                let text = |text: &String| Value::Text(text.as_str().into());
                Box::new(map.iter().map(move |(key, value)| (text(key), text(value))))
            }
            Value::Int(count) if pipe.variables.len() < 2 => {
                Box::new((0..*count).map(|int| (Value::Int(int), Value::Int(int))))
            }
            Value::Missing | Value::Nil => Box::new(std::iter::empty()),
            other => {
                let text = format!("range can't iterate over {}", other.print());
                return Err(TemplateError::new(pipe.at, text));
            }
        };
        let mut any = false;
        for (key, item) in items.by_ref() {
            any = true;
            self.step(pipe.at)?;
            let named: Vec<Value<'e>> = match pipe.variables.len() {
                2 => vec![key, item.clone()],
                _ => vec![item.clone()],
            };
            for (name, value) in pipe.variables.iter().zip(named) {
                self.set(name, value, pipe.declares);
            }
            let flow = self.body(body, &item)?;
            if pipe.declares {
                self.variables.truncate(in_sight);
            }
            if flow == Flow::Break {
                break;
            }
        }
        self.variables.truncate(in_sight);
        if any {
            return Ok(Flow::On);
        }
        self.body(otherwise, dot)
    }

    /// The result of a pipeline, which its variables take, too.
    fn pipe(&mut self, pipe: &Pipe, dot: &Value<'e>) -> Result<Value<'e>, TemplateError> {
        let value = self.commands(pipe, dot)?;
        for name in &pipe.variables {
            self.set(name, value.clone(), pipe.declares);
        }
        Ok(value)
    }

    fn set(&mut self, name: &str, value: Value<'e>, declares: bool) {
        let known = self.variables.iter_mut().rev();
        match known.into_iter().find(|(known, _)| known == name) {
            Some((_, old)) if !declares => *old = value,
            _ => self.variables.push((name.to_owned(), value)),
        }
    }

    fn commands(&mut self, pipe: &Pipe, dot: &Value<'e>) -> Result<Value<'e>, TemplateError> {
        let mut handed = None;
        for command in &pipe.commands {
            self.step(pipe.at)?;
            handed = Some(self.command(command, handed, dot)?);
        }
        Ok(handed.unwrap_or(Value::Nil))
    }

    fn command(
        &mut self,
        command: &[Operand],
        handed: Option<Value<'e>>,
        dot: &Value<'e>,
    ) -> Result<Value<'e>, TemplateError> {
        let Some((first, arguments)) = command.split_first() else {
            return Ok(Value::Nil);
        };
        let Base::Function(name) = &first.base else {
            if let (Some(argument), true) = (arguments.first(), first.fields.is_empty()) {
                let shown = self.shown(first.at, first.end);
                let text = format!("can't give argument to non-function {shown}");
                return Err(TemplateError::new(argument.at, text));
            }
            if !arguments.is_empty() {
                let field = first.fields.last().map_or("", |(_, name)| name.as_str());
                let text = format!("{field} is not a method but has arguments");
                return Err(TemplateError::new(first.at, self.while_at(first, &text)));
            }
            if matches!(first.base, Base::Nil) {
                return Err(TemplateError::new(first.at, "nil is not a command"));
            }
            return self.operand(first, dot);
        };
        let end = command.last().map_or(first.end, |last| last.end);
        if name == "and" || name == "or" {
            return self.shortcut(name, arguments, handed, first, dot);
        }
        let mut values = Vec::with_capacity(arguments.len() + 1);
        for argument in arguments {
            let value = self.operand(argument, dot)?;
            funcs::takes(name, values.len(), &value)
                .map_err(|text| TemplateError::new(argument.at, self.while_at(argument, &text)))?;
            values.push(value);
        }
        if let Some(value) = handed {
            funcs::takes(name, values.len(), &value)
                .map_err(|text| TemplateError::new(first.at, self.while_at(first, &text)))?;
            values.push(value);
        }
        let result = funcs::call(name, &values).and_then(|value| funcs::only_field(value, first));
        result.map_err(|text| {
            let shown = self.shown(first.at, end);
            TemplateError::new(first.at, format!("executing \"frp\" at <{shown}>: {text}"))
        })
    }

    /// `and` and `or` look at no more arguments than they need.
    fn shortcut(
        &mut self,
        name: &str,
        arguments: &[Operand],
        handed: Option<Value<'e>>,
        first: &Operand,
        dot: &Value<'e>,
    ) -> Result<Value<'e>, TemplateError> {
        let mut last = None;
        for argument in arguments {
            let value = self.operand(argument, dot)?;
            if value.is_true() == (name == "or") {
                return Ok(value);
            }
            last = Some(value);
        }
        handed.or(last).ok_or_else(|| {
            let text = format!("wrong number of args for {name}: want at least 1 got 0");
            TemplateError::new(first.at, self.while_at(first, &text))
        })
    }

    fn operand(&mut self, operand: &Operand, dot: &Value<'e>) -> Result<Value<'e>, TemplateError> {
        let mut value = match &operand.base {
            Base::Dot => dot.clone(),
            Base::Variable(name) => {
                let known = self.variables.iter().rev();
                let found = known.into_iter().find(|(known, _)| known == name);
                found.map_or(Value::Nil, |(_, value)| value.clone())
            }
            Base::Text(text) => Value::Text(text.as_str().into()),
            Base::Int(int) => Value::Int(*int),
            Base::Float(float) => Value::Float(*float),
            Base::Bool(bool) => Value::Bool(*bool),
            Base::Nil => Value::Nil,
            Base::Pipe(pipe) => self.pipe(pipe, dot)?,
            Base::Function(name) => funcs::call(name, &[])
                .map_err(|text| TemplateError::new(operand.at, self.while_at(operand, &text)))?,
        };
        for (at, name) in &operand.fields {
            value = field(&value, name)
                .map_err(|text| TemplateError::new(*at, self.while_at(operand, &text)))?;
        }
        Ok(value)
    }

    fn while_at(&self, operand: &Operand, text: &str) -> String {
        let shown = self.shown(operand.at, operand.end);
        format!("executing \"frp\" at <{shown}>: {text}")
    }

    /// A part of the template, for messages.
    fn shown(&self, begin: usize, end: usize) -> String {
        let text = self.text.get(begin..end).unwrap_or_default();
        let words: Vec<&str> = text.split_whitespace().collect();
        let mut shown: String = words.join(" ").chars().take(40).collect();
        if shown.len() < text.len() && words.join(" ").chars().count() > 40 {
            shown.push_str("...");
        }
        shown
    }
}

fn field<'e>(value: &Value<'e>, name: &str) -> Result<Value<'e>, String> {
    match (value, name) {
        (Value::Root(map), "Envs") => Ok(Value::Envs(map)),
        (Value::Envs(map), name) => Ok(map
            .get(name)
            .map_or(Value::Missing, |text| Value::Text(text.as_str().into()))),
        (Value::Pair(first, _), "First") => Ok(Value::Int(*first)),
        (Value::Pair(_, second), "Second") => Ok(Value::Int(*second)),
        (Value::Missing, _) => Ok(Value::Missing),
        (Value::Nil, name) => Err(format!("nil pointer evaluating interface {{}}.{name}")),
        (value, name) => Err(format!(
            "can't evaluate field {name} in type {}",
            value.type_name()
        )),
    }
}
