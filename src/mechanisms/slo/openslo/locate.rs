//! Where in a YAML text a key is, for error messages. Knows block style; in flow style it finds the line.

/// A piece of a line: a dash, or what is at a column.
struct Entry<'a> {
    line: usize,
    column: usize,
    /// Empty for a dash.
    text: &'a str,
}

fn entries(text: &str) -> Vec<Entry<'_>> {
    let mut found = Vec::new();
    for (line, whole) in (1..).zip(text.lines()) {
        let mut rest = whole.trim_start();
        if rest.is_empty() || rest.starts_with('#') || rest.starts_with("---") {
            continue;
        }
        while let Some(item) = rest.strip_prefix("- ").or_else(|| (rest == "-").then_some("")) {
            found.push(Entry { line, column: whole.len() - rest.len() + 1, text: "" });
            rest = item.trim_start();
        }
        if !rest.is_empty() {
            found.push(Entry { line, column: whole.len() - rest.len() + 1, text: rest });
        }
    }
    found
}

/// The line and column, both from 1, of what `path` leads to: keys and numbers (from 0) of items, with dots between. Of
/// a path that leads nowhere, the last part that is there.
pub fn locate(text: &str, path: &str) -> (usize, usize) {
    let all = entries(text);
    let mut block = all.as_slice();
    let mut place = block.first().map_or((1, 1), |entry| (entry.line, entry.column));
    let mut flow = "";
    for part in path.split('.') {
        let Some(first) = block.first() else {
            if let Some(at) = flow.find(part) {
                place.1 += at;
            }
            return place;
        };
        let column = first.column;
        let at = match part.parse::<usize>() {
            Ok(index) => {
                let dashes = block.iter().enumerate().filter(|(_, one)| one.text.is_empty() && one.column == column);
                dashes.map(|(at, _)| at).nth(index)
            }
            Err(_) => block.iter().position(|one| one.column == column && key(one.text) == Some(part)),
        };
        let Some(found) = at.and_then(|at| block.get(at).map(|entry| (at, entry))) else { return place };
        let (at, entry) = found;
        place = (entry.line, entry.column);
        flow = entry.text;
        let rest = block.get(at + 1..).unwrap_or_default();
        // A list may stand as far left as its key; it ends with the next key.
        let is_key = !entry.text.is_empty();
        let end = rest.iter().position(|one| {
            one.column < entry.column || one.column == entry.column && !(is_key && one.text.is_empty())
        });
        block = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
    }
    place
}

fn key(text: &str) -> Option<&str> {
    let (key, _) = text.split_once(':')?;
    Some(key.trim().trim_matches(['"', '\'']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "\
# a comment
kind: SLO
spec:
  objectives:
  - target: 0.9
    op: lte
  - displayName: two
    target: 0.8
    targetPercent: 80
  timeWindow: [{ duration: 30d, isRolling: true }]
";

    #[test]
    fn keys_and_items_are_found_where_they_are() {
        assert_eq!(locate(TEXT, "kind"), (2, 1));
        assert_eq!(locate(TEXT, "spec.objectives.0.target"), (5, 5));
        assert_eq!(locate(TEXT, "spec.objectives.1.targetPercent"), (9, 5));
        assert_eq!(locate(TEXT, "spec.objectives.1"), (7, 3));
        assert_eq!(locate(TEXT, "spec.timeWindow"), (10, 3));
        assert_eq!(locate(TEXT, "spec.timeWindow.duration"), (10, 18));
        assert_eq!(locate(TEXT, "spec.nothing.more"), (3, 1), "the last part that is there");
        assert_eq!(locate("", "spec"), (1, 1));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(?s)[a-c:\\-\\[{ é\n]{0,80}", path in "[a-c0-2.]{0,8}") {
            let (line, column) = locate(&text, &path);
            prop_assert!(line >= 1 && column >= 1);
        }
    }
}
