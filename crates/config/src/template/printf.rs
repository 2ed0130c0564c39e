//! Go's `printf` for the values of templates.

use super::value::{Value, exponent, shortest};

/// Widest field and longest fraction; more is not meant.
const WIDTH_LIMIT: usize = 1000;

pub(super) fn printf(format: &str, values: &[Value<'_>]) -> String {
    let mut out = String::new();
    let mut values = values.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut spec = Spec::default();
        while let Some(flag) = chars.next_if(|c| "-+# 0".contains(*c)) {
            match flag {
                '-' => spec.left = true,
                '+' => spec.plus = true,
                '0' => spec.zeros = true,
                ' ' => spec.space = true,
                _ => spec.sharp = true,
            }
        }
        let number = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| {
            let mut digits = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            digits.parse::<usize>().ok().map(|n| n.min(WIDTH_LIMIT))
        };
        spec.width = number(&mut chars).unwrap_or(0);
        if chars.next_if_eq(&'.').is_some() {
            spec.precision = Some(number(&mut chars).unwrap_or(0));
        }
        match chars.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match values.next() {
                None => out.push_str(&format!("%!{verb}(MISSING)")),
                Some(value) => spec.write(verb, value, &mut out),
            },
        }
    }
    let rest: Vec<String> = values
        .map(|value| match value {
            Value::Missing | Value::Nil => "<nil>".to_owned(),
            value => format!("{}={}", value.type_name(), value.print()),
        })
        .collect();
    if !rest.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", rest.join(", ")));
    }
    out
}

#[derive(Default)]
struct Spec {
    left: bool,
    plus: bool,
    zeros: bool,
    space: bool,
    sharp: bool,
    width: usize,
    precision: Option<usize>,
}

impl Spec {
    fn write(&self, verb: char, value: &Value<'_>, out: &mut String) {
        if let (Value::List(items), 'd' | 's' | 'q' | 'x' | 'X' | 'v') = (value, verb) {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                self.write(verb, item, out);
            }
            out.push(']');
            return;
        }
        let (sign, body) = match (verb, value) {
            ('T', value) => ("", value.type_name().to_owned()),
            ('v' | 'd', Value::Int(int)) => (self.sign(*int < 0), self.digits(*int, 10)),
            ('x', Value::Int(int)) => (self.sign(*int < 0), self.digits(*int, 16)),
            ('X', Value::Int(int)) => (
                self.sign(*int < 0),
                self.digits(*int, 16).to_ascii_uppercase(),
            ),
            ('o', Value::Int(int)) => (self.sign(*int < 0), self.digits(*int, 8)),
            ('b', Value::Int(int)) => (self.sign(*int < 0), self.digits(*int, 2)),
            ('c', Value::Int(int)) => {
                let c = u32::try_from(*int).ok().and_then(char::from_u32);
                ("", c.unwrap_or(char::REPLACEMENT_CHARACTER).to_string())
            }
            ('v' | 'g', Value::Float(float)) => {
                (self.sign(float.is_sign_negative()), shortest(float.abs()))
            }
            ('f' | 'F', Value::Float(float)) => (
                self.sign(float.is_sign_negative()),
                format!("{:.*}", self.precision.unwrap_or(6), float.abs()),
            ),
            ('e', Value::Float(float)) => (
                self.sign(float.is_sign_negative()),
                exponent(&format!("{:.*e}", self.precision.unwrap_or(6), float.abs())),
            ),
            ('s' | 'v', Value::Text(text)) => ("", self.cut(text)),
            ('q', Value::Text(text)) => ("", format!("{:?}", self.cut(text))),
            ('x', Value::Text(text)) => {
                ("", text.bytes().map(|byte| format!("{byte:02x}")).collect())
            }
            ('t' | 'v', Value::Bool(bool)) => ("", bool.to_string()),
            ('v', Value::Missing | Value::Nil) => ("", "<nil>".to_owned()),
            ('v', value) => ("", value.print()),
            (_, Value::Missing | Value::Nil) => ("", format!("%!{verb}(<nil>)")),
            (_, value) => {
                out.push_str(&format!(
                    "%!{verb}({}={})",
                    value.type_name(),
                    value.print()
                ));
                return;
            }
        };
        let length = sign.chars().count() + body.chars().count();
        let missing = self.width.saturating_sub(length);
        let numeric = matches!(value, Value::Int(_) | Value::Float(_));
        if self.left {
            out.push_str(sign);
            out.push_str(&body);
            out.extend(std::iter::repeat_n(' ', missing));
        } else if self.zeros && numeric {
            out.push_str(sign);
            out.extend(std::iter::repeat_n('0', missing));
            out.push_str(&body);
        } else {
            out.extend(std::iter::repeat_n(' ', missing));
            out.push_str(sign);
            out.push_str(&body);
        }
    }

    fn sign(&self, negative: bool) -> &'static str {
        match (negative, self.plus, self.space) {
            (true, _, _) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        }
    }

    fn digits(&self, int: i64, radix: u32) -> String {
        let int = int.unsigned_abs();
        let digits = match radix {
            16 => format!("{int:x}"),
            8 => format!("{int:o}"),
            2 => format!("{int:b}"),
            _ => int.to_string(),
        };
        let wanted = self.precision.unwrap_or(0).saturating_sub(digits.len());
        let prefix = match (self.sharp, radix) {
            (true, 16) => "0x",
            (true, 8) => "0",
            (true, 2) => "0b",
            _ => "",
        };
        format!("{prefix}{}{digits}", "0".repeat(wanted))
    }

    fn cut(&self, text: &str) -> String {
        match self.precision {
            Some(limit) => text.chars().take(limit).collect(),
            None => text.to_owned(),
        }
    }
}
