//! The order of flags that depend on each other: a graph without circles, or the circle. Knows names only.

use std::collections::{BTreeMap, BTreeSet};

/// What each flag depends on, by name.
pub type Needs<'a> = BTreeMap<&'a str, &'a [String]>;

/// The names in an order in which each comes after those it depends on (Kahn), by name where that leaves a choice. What
/// is depended on but not there is passed over.
///
/// # Errors
/// A circle, its first name again at its end.
pub fn order<'a>(needs: &Needs<'a>) -> Result<Vec<&'a str>, Vec<&'a str>> {
    let mut open: BTreeMap<&str, usize> = BTreeMap::new();
    let mut dependants: BTreeMap<&str, Vec<&'a str>> = BTreeMap::new();
    for (name, list) in needs {
        let list: BTreeSet<&str> = list.iter().map(String::as_str).filter(|need| needs.contains_key(need)).collect();
        open.insert(name, list.len());
        for need in list {
            dependants.entry(need).or_default().push(name);
        }
    }
    let mut ready: BTreeSet<&'a str> = needs.keys().copied().filter(|name| open.get(name) == Some(&0)).collect();
    let mut order = Vec::with_capacity(needs.len());
    while let Some(name) = ready.pop_first() {
        order.push(name);
        for dependant in dependants.get(name).into_iter().flatten() {
            if let Some(left) = open.get_mut(dependant) {
                *left -= 1;
                if *left == 0 {
                    ready.insert(dependant);
                }
            }
        }
    }
    if order.len() == needs.len() {
        return Ok(order);
    }
    let left: BTreeSet<&'a str> = open
        .iter()
        .filter(|(_, left)| **left > 0)
        .filter_map(|(name, _)| needs.get_key_value(name).map(|(name, _)| *name))
        .collect();
    Err(circle(&left, needs))
}

/// A circle among flags none of which is ready: whoever follows the first unready dependency must come back.
fn circle<'a>(left: &BTreeSet<&'a str>, needs: &Needs<'a>) -> Vec<&'a str> {
    let mut path: Vec<&'a str> = Vec::new();
    let mut next = left.first().copied();
    while let Some(name) = next {
        if let Some(start) = path.iter().position(|seen| *seen == name) {
            let mut circle = path.split_off(start);
            circle.push(name);
            return circle;
        }
        path.push(name);
        let list = needs.get(name).copied().unwrap_or_default();
        next = list.iter().find_map(|need| left.get(need.as_str()).copied());
    }
    path
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owned(edges: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
        edges.iter().map(|(name, list)| ((*name).into(), list.iter().map(|need| (*need).into()).collect())).collect()
    }

    fn borrowed(graph: &BTreeMap<String, Vec<String>>) -> Needs<'_> {
        graph.iter().map(|(name, list)| (name.as_str(), list.as_slice())).collect()
    }

    #[test]
    fn dependencies_come_first_and_names_break_ties() {
        let graph = owned(&[("a", &["c"]), ("b", &[]), ("c", &["elsewhere", "d", "d"]), ("d", &[])]);
        assert_eq!(order(&borrowed(&graph)).unwrap(), ["b", "d", "c", "a"]);
    }

    #[test]
    fn a_circle_is_told_with_its_path() {
        let graph = owned(&[("a", &["b"]), ("b", &["c", "d"]), ("c", &[]), ("d", &["e"]), ("e", &["b"])]);
        assert_eq!(order(&borrowed(&graph)).unwrap_err(), ["b", "d", "e", "b"]);
        let graph = owned(&[("a", &["a"])]);
        assert_eq!(order(&borrowed(&graph)).unwrap_err(), ["a", "a"]);
    }

    proptest! {
        #[test]
        fn any_graph_is_ordered_or_has_a_circle(edges in prop::collection::vec((0u8..8, 0u8..8), 0..16)) {
            let mut graph: BTreeMap<String, Vec<String>> = (0u8..8).map(|name| (name.to_string(), Vec::new())).collect();
            for (from, to) in edges {
                graph.get_mut(&from.to_string()).unwrap().push(to.to_string());
            }
            match order(&borrowed(&graph)) {
                Ok(order) => {
                    prop_assert_eq!(order.len(), 8);
                    for (name, list) in &graph {
                        let place = |name: &str| order.iter().position(|one| *one == name);
                        prop_assert!(list.iter().all(|need| place(need) < place(name)));
                    }
                }
                Err(circle) => {
                    prop_assert!(circle.len() >= 2 && circle.first() == circle.last());
                    for step in circle.windows(2) {
                        prop_assert!(graph[step[0]].iter().any(|need| need == step[1]));
                    }
                }
            }
        }
    }
}
