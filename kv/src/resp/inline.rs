//! Inline commands: a line of words, as a person types them into a raw connection.

use bytes::Bytes;

/// A quote that does not end, or that ends in the middle of a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct UnbalancedQuotes;

/// Splits a line into words the way Redis does: blanks separate, `"..."` understands `\n`, `\r`,
/// `\t`, `\b`, `\a`, `\xHH` and `\` before any other byte, `'...'` understands `\'` only.
pub(super) fn split(line: &[u8]) -> Result<Vec<Bytes>, UnbalancedQuotes> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Ok(words);
        }
        let (word, behind) = first_word(rest)?;
        words.push(word);
        rest = behind;
    }
}

/// The first word of `rest`, which does not start with a blank, and what lies behind it.
fn first_word(mut rest: &[u8]) -> Result<(Bytes, &[u8]), UnbalancedQuotes> {
    let mut word = Vec::new();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = match byte {
            b'"' => return double_quoted(behind, word),
            b'\'' => return single_quoted(behind, word),
            blank if blank.is_ascii_whitespace() => break,
            // A NUL ends the line in Redis, whose strings end with one.
            0 => return Ok((word.into(), &[])),
            other => {
                word.push(other);
                behind
            }
        };
    }
    Ok((word.into(), rest))
}

fn double_quoted(mut rest: &[u8], mut word: Vec<u8>) -> Result<(Bytes, &[u8]), UnbalancedQuotes> {
    loop {
        rest = match rest {
            [b'"', behind @ ..] => return closed(behind, word),
            [b'\\', b'x', high, low, behind @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                word.push(hex(*high) << 4 | hex(*low));
                behind
            }
            [b'\\', escaped, behind @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                behind
            }
            [byte, behind @ ..] => {
                word.push(*byte);
                behind
            }
            [] => return Err(UnbalancedQuotes),
        };
    }
}

fn single_quoted(mut rest: &[u8], mut word: Vec<u8>) -> Result<(Bytes, &[u8]), UnbalancedQuotes> {
    loop {
        rest = match rest {
            [b'\'', behind @ ..] => return closed(behind, word),
            [b'\\', b'\'', behind @ ..] => {
                word.push(b'\'');
                behind
            }
            [byte, behind @ ..] => {
                word.push(*byte);
                behind
            }
            [] => return Err(UnbalancedQuotes),
        };
    }
}

/// A closing quote ends the word: a blank or nothing must follow.
fn closed(behind: &[u8], word: Vec<u8>) -> Result<(Bytes, &[u8]), UnbalancedQuotes> {
    match behind.first() {
        Some(byte) if !byte.is_ascii_whitespace() => Err(UnbalancedQuotes),
        Some(_) | None => Ok((word.into(), behind)),
    }
}

/// The value of a hexadecimal digit.
const fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        // The caller has checked that it is a digit, so this is 'A' to 'F'.
        _ => digit - b'A' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<Vec<String>, UnbalancedQuotes> {
        let text = |word: &Bytes| String::from_utf8_lossy(word).into_owned();
        split(line.as_bytes()).map(|words| words.iter().map(text).collect())
    }

    #[test]
    fn words_and_quotes() {
        let cases: [(&str, &[&str]); 8] = [
            ("", &[]),
            ("  \t ", &[]),
            ("GET a", &["GET", "a"]),
            ("  set  k\tv ", &["set", "k", "v"]),
            (r#"SET k "two words""#, &["SET", "k", "two words"]),
            (r#"SET k "\x41\n\"\\""#, &["SET", "k", "A\n\"\\"]),
            (r#"SET k 'it\'s "raw" \n'"#, &["SET", "k", "it's \"raw\" \\n"]),
            (r#"SET k """#, &["SET", "k", ""]),
        ];
        for (line, wanted) in cases {
            assert_eq!(words(line).expect(line), wanted, "{line}");
        }
    }

    #[test]
    fn quotes_must_balance() {
        for line in [r#"SET k "v"#, "SET k 'v", r#"SET k "v"w"#, "SET k 'v'w", r#"SET "\"#] {
            assert_eq!(words(line), Err(UnbalancedQuotes), "{line}");
        }
    }
}
