//! frps
fn main() {}
