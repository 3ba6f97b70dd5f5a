//! The program: hands the command line over.

fn main() {}
