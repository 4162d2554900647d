//! "Did you mean": the nearest of the names that would have been right.

/// The candidate nearest to a name, if it is near enough to be what was meant. Case does not matter.
pub(crate) fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // Names longer than any candidate by far are not slips of the finger, and would take time to compare.
    if name.chars().count() > 40 {
        return None;
    }
    let name = name.to_lowercase();
    let limit = (name.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (distance(&name, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many characters to insert, remove, replace or swap with their neighbour to make one of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut above: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    let mut last = None;
    for (i, x) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let get = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX - 1);
            let change = get(&row, j) + usize::from(x != *y);
            let mut best = change.min(get(&row, j + 1) + 1).min(get(&next, j) + 1);
            let before = j.checked_sub(1).and_then(|before| b.get(before));
            if last == Some(*y) && before == Some(&x) {
                best = best.min(get(&above, j - 1) + 1);
            }
            next.push(best);
        }
        above = std::mem::replace(&mut row, next);
        last = Some(x);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, want) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("copy", "copy", 0),
            ("coppy", "copy", 1),
            ("cpoy", "copy", 1),
            ("kopie", "copy", 3),
            ("ab", "ba", 1),
        ] {
            assert_eq!(distance(a, b), want, "{a} {b}");
        }
    }

    #[test]
    fn the_nearest_is_suggested() {
        let names = ["COPY", "CMD", "ENTRYPOINT", "ENV", "ADD"];
        for (name, want) in [
            ("coppy", Some("COPY")),
            ("ENTRYPIONT", Some("ENTRYPOINT")),
            ("EVN", Some("ENV")),
            ("apt-get", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, names), want, "{name}");
        }
        assert_eq!(nearest(&"c".repeat(100_000), names), None);
    }
}
