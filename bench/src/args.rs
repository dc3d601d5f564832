//! The command line: `--name value` pairs behind the workload.

use std::str::FromStr;

/// What stands behind the workload.
#[derive(Debug)]
pub(crate) struct Args {
    given: Vec<(String, String)>,
}

impl Args {
    /// # Errors
    /// When something is not a pair, or is none of `known`.
    pub(crate) fn parse(
        words: impl IntoIterator<Item = String>,
        known: &[&str],
    ) -> Result<Self, String> {
        let mut words = words.into_iter();
        let mut given = Vec::new();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").filter(|name| known.contains(name));
            let Some(name) = name else {
                let known: Vec<String> = known.iter().map(|name| format!("--{name}")).collect();
                return Err(format!("{word} is none of {}", known.join(" ")));
            };
            let value = words.next().ok_or_else(|| format!("{word} wants a value"))?;
            given.push((name.to_owned(), value));
        }
        Ok(Self { given })
    }

    /// The value of `name`, or the default.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn one<T: FromStr>(&self, name: &str, default: T) -> Result<T, String> {
        match self.given.iter().rev().find(|(given, _)| given == name) {
            None => Ok(default),
            Some((_, value)) => {
                value.parse().map_err(|_| format!("--{name} does not take {value}"))
            }
        }
    }

    /// The values of `name`, separated by commas, or the default.
    ///
    /// # Errors
    /// When one cannot be read.
    pub(crate) fn list<T: FromStr>(&self, name: &str, default: &str) -> Result<Vec<T>, String> {
        let text = self.one(name, default.to_owned())?;
        let read = |part: &str| part.parse().map_err(|_| format!("--{name} does not take {part}"));
        text.split(',').map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Args, String> {
        Args::parse(text.split_whitespace().map(str::to_owned), &["sizes", "commands"])
    }

    #[test]
    fn values_and_defaults() {
        let args = parse("--sizes 8,64 --commands 5").expect("sound");
        assert_eq!(args.list::<usize>("sizes", "1"), Ok(vec![8, 64]));
        assert_eq!(args.one("commands", 1_u64), Ok(5));
        let args = parse("").expect("sound");
        assert_eq!(args.list::<usize>("sizes", "1,2"), Ok(vec![1, 2]));
    }

    #[test]
    fn mistakes_are_told() {
        assert!(parse("--size 8").expect_err("unknown").contains("--sizes"));
        assert!(parse("--sizes").expect_err("half").contains("wants a value"));
        let args = parse("--sizes 8,many").expect("a pair");
        assert!(args.list::<usize>("sizes", "1").expect_err("no number").contains("many"));
    }
}
