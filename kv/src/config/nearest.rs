//! Which of the known names a wrong one probably stands for.

/// The name nearest to `wrong`, if one is near enough to be meant.
pub(super) fn nearest<'a>(
    wrong: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let near = names.into_iter().map(|name| (distance(wrong, name), name)).min()?;
    (near.0 <= 1 + wrong.len().min(near.1.len()) / 4).then_some(near.1)
}

/// How many letters must be put in, taken out or replaced to get from one to the other.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, letter) in left.chars().enumerate() {
        let mut diagonal = core::mem::replace(&mut row[0], above + 1);
        for (place, other) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[place + 1];
            row[place + 1] = replaced.min(diagonal + 1).min(row[place] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_and_far() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        let names = ["id", "cluster", "listen", "client", "clients_max"];
        for (wrong, right) in [
            ("clutser", Some("cluster")),
            ("cliens_max", Some("clients_max")),
            ("lisen", Some("listen")),
            ("ID", None),
            ("port", None),
        ] {
            assert_eq!(nearest(wrong, names), right, "{wrong}");
        }
    }
}
