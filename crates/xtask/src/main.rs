//! Chores: test, layers, bench, docs.
fn main() {}
