//! The `emocam` program; what it does comes with the next changes.

fn main() {}
