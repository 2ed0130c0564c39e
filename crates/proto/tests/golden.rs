//! What frp 0.70.1 writes is what we write, and we read what it reads. See `golden/README.md`.
#![allow(
    clippy::unwrap_used,
    reason = "a broken vector file has to fail the test"
)]

#[path = "golden/crypto.rs"]
mod crypto;
#[path = "golden/full.rs"]
mod full;
#[path = "golden/hello.rs"]
mod hello;
#[path = "golden/messages.rs"]
mod messages;
#[path = "golden/nathole.rs"]
mod nathole;

use serde_json::Value;

/// The vectors called `name` in `file`; there must be at least `least` of them.
fn vectors(file: &str, name: &str, least: usize) -> Vec<Value> {
    let path = format!("{}/tests/golden/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let mut all: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let Value::Array(list) = all[name].take() else {
        panic!("{file} has no list {name}")
    };
    assert!(
        list.len() >= least,
        "{file} {name}: only {} vectors",
        list.len()
    );
    list
}

fn text<'a>(vector: &'a Value, field: &str) -> &'a str {
    vector[field]
        .as_str()
        .unwrap_or_else(|| panic!("no text {field} in {vector}"))
}

/// The error frp gave, if it did.
fn error(vector: &Value) -> Option<&str> {
    vector["error"].as_str().filter(|error| !error.is_empty())
}

fn bytes(vector: &Value, field: &str) -> Vec<u8> {
    unhex(text(vector, field))
}

fn array<const N: usize>(vector: &Value, field: &str) -> [u8; N] {
    bytes(vector, field).try_into().unwrap()
}

fn unhex(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "odd number of digits: {hex}");
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
