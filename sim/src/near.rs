//! Near misses: which known word somebody meant.

/// Adds to a mistake what was meant, when a known word is near: ``; did you mean `nodes`?``.
pub fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(word, known) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => String::new(),
    }
}

/// The known word that is nearest, when it is near enough to be meant.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.into_iter().map(|candidate| (distance(word, candidate), candidate));
    let (steps, candidate) = near.min()?;
    (steps <= (word.len().max(candidate.len()) / 3).max(2)).then_some(candidate)
}

/// How many letters must be put in, taken out or changed.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, letter) in left.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], line + 1);
        for (place, other) in right.iter().enumerate() {
            let changed = corner + usize::from(letter != *other);
            corner = row[place + 1];
            row[place + 1] = changed.min(row[place] + 1).min(corner + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_miss_is_found_and_a_far_one_is_not() {
        let known = ["run", "replay", "shrink", "picture", "report"];
        assert_eq!(nearest("shirnk", known), Some("shrink"));
        assert_eq!(nearest("reply", known), Some("replay"));
        assert_eq!(nearest("rnu", known), Some("run"));
        assert_eq!(nearest("picure", known), Some("picture"));
        assert_eq!(nearest("frobnicate", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(hint("repot", known), "; did you mean `report`?");
        assert_eq!(hint("xyz", known), "");
        assert_eq!((distance("", "abc"), distance("kitten", "sitting")), (3, 3));
    }
}
