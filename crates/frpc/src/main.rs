//! frpc
fn main() {}
