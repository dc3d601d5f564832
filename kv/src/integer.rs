//! Integers as text, as strict as Redis reads them.

/// Reads a 64-bit integer: an optional `-`, then digits without a leading zero. No blanks, no
/// `+`, no `-0`: one number has one text, so a value that holds a counter never changes its look.
#[must_use]
pub fn parse(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [] | [b'0', _, ..] => return None,
        [b'0'] if negative => return None,
        [_, ..] => {}
    }
    // Counted downwards: the most negative number has no positive twin.
    let value = digits.iter().try_fold(0i64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_sub(digit)
    })?;
    if negative { Some(value) } else { value.checked_neg() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_what_redis_takes() {
        for number in [0, 1, -1, 9, 10, -10, 1234, i64::MAX, i64::MIN, i64::MAX - 1] {
            assert_eq!(parse(number.to_string().as_bytes()), Some(number));
        }
        let bad = ["", "-", "+1", " 1", "1 ", "01", "-0", "-01", "1a", "0x1", "1.0", "\u{661}"];
        for text in bad.iter().chain(&["9223372036854775808", "-9223372036854775809"]) {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
    }
}
