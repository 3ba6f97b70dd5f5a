//! A few words for an answer that left. They are made when somebody reads them, never per eviction.

use std::fmt::Write as _;

/// What a eulogy tells of.
#[derive(Debug, Clone, Copy)]
pub struct Departed<'a> {
    /// The number.
    pub number: i64,
    /// The answer.
    pub output: &'a str,
    /// How often it was used.
    pub uses: u32,
    /// How old it was, seconds.
    pub age: f64,
    /// What was left of its time, 0 to 1.
    pub dignity: f64,
    /// By which policy it left.
    pub policy: &'a str,
}

/// How many ways there are to say it.
pub const WAYS: u64 = 10;

/// The words; `way` picks one of [`WAYS`].
pub fn eulogy(of: &Departed<'_>, way: u64) -> String {
    let Departed { number, output, uses, age, dignity, policy } = *of;
    let dignity = dignity * 100.0;
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = match way % WAYS {
        0 => write!(text, "{number} was {output} to all who asked, {uses} of them. It rests after {age:.1} s."),
        1 => write!(text, "Farewell, {output}. For {age:.1} s nobody had to divide {number} again."),
        2 => write!(text, "{policy} has spoken: {output} for {number} makes room, its dignity at {dignity:.0} %."),
        3 => write!(text, "It answered {uses} times and was never wrong: {number}, {output}."),
        4 => write!(text, "{age:.1} s are short for a process and long for an answer. {number} was {output}."),
        5 => write!(text, "Asked {uses} times, {output} never asked why. {number} is remembered."),
        6 => write!(text, "With {dignity:.0} % of its dignity {output} leaves memory; {number} remains what it is."),
        7 => write!(text, "No one used {output} last, said {policy}. {number} will be computed again."),
        8 => write!(text, "Here was {output}, kept {age:.1} s for {number}, used {uses} times, missed once."),
        _ => write!(text, "{number}: computed once, served {uses} times, evicted by {policy}. It was {output}."),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_names_the_number() {
        let of = Departed { number: 4_215, output: "FizzBuzz", uses: 3, age: 12.34, dignity: 0.8, policy: "lru" };
        let all: std::collections::BTreeSet<_> = (0..WAYS).map(|way| eulogy(&of, way)).collect();
        assert_eq!(all.len() as u64, WAYS);
        assert!(all.iter().all(|text| text.contains("4215")), "{all:?}");
    }
}
