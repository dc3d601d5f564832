//! The command line.

use std::time::Duration;

/// What to do.
#[derive(Debug)]
pub(crate) struct Options {
    /// Shard `k` of `n`: the mutants whose number leaves the rest `k`.
    pub(crate) shard: (usize, usize),
    /// Parts of files; all without any.
    pub(crate) files: Vec<String>,
    /// Numbers of mutants; all without any.
    pub(crate) numbers: Vec<usize>,
    /// Tries those that cannot stand behind a switch, and no others.
    pub(crate) plain: bool,
    /// Names the mutants and runs nothing.
    pub(crate) list: bool,
    /// Forgets what became of survivors earlier.
    pub(crate) again: bool,
    /// Tries survivors again, with the swarm alone.
    pub(crate) swarm: bool,
    /// Forgets what became of all mutants earlier.
    pub(crate) afresh: bool,
    /// Begins no mutant later than this.
    pub(crate) time: Option<Duration>,
    /// How many seeds of the swarm a survivor of the tests gets.
    pub(crate) seeds: u64,
    /// How many mutants run at once.
    pub(crate) workers: usize,
}

const KNOWN: &str = "known: --plain, --shard K/N, --file PART, --ids N,N, --list, --again, \
                     --swarm, --afresh, --seconds N, --seeds N, --workers N";

impl Options {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            shard: (0, 1),
            files: Vec::new(),
            numbers: Vec::new(),
            plain: false,
            list: false,
            again: false,
            swarm: false,
            afresh: false,
            time: None,
            seeds: 100,
            workers: 2,
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--shard" => options.shard = shard(&value()?)?,
                "--file" => options.files.push(value()?),
                "--ids" => {
                    let numbers = value()?;
                    let numbers: Result<Vec<usize>, String> =
                        numbers.split(',').map(number).collect();
                    options.numbers.extend(numbers?);
                }
                "--plain" => options.plain = true,
                "--list" => options.list = true,
                "--again" => options.again = true,
                "--swarm" => options.swarm = true,
                "--afresh" => options.afresh = true,
                "--seconds" => options.time = Some(Duration::from_secs(number(&value()?)?)),
                "--seeds" => options.seeds = number(&value()?)?,
                "--workers" => options.workers = number(&value()?)?,
                unknown => return Err(format!("unknown option {unknown}; {KNOWN}")),
            }
        }
        if options.plain {
            // The copy holds one mutant at a time.
            options.workers = 1;
        }
        if options.swarm && options.seeds == 0 {
            return Err("--swarm: a swarm of no seeds notices nothing".into());
        }
        Ok(options)
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text}: not a number"))
}

fn shard(text: &str) -> Result<(usize, usize), String> {
    let (shard, of) = text.split_once('/').ok_or(format!("--shard {text}: wants K/N"))?;
    let (shard, of) = (number(shard)?, number(of)?);
    if shard < of {
        Ok((shard, of))
    } else {
        Err(format!("--shard {text}: K goes from 0 to N - 1"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Options, String> {
        Options::parse(words.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_read() {
        let options =
            parse("--shard 3/20 --ids 4,7 --file a --again --plain --seconds 9").expect("options");
        assert_eq!(options.shard, (3, 20));
        assert_eq!(options.numbers, [4, 7]);
        assert_eq!(options.time, Some(Duration::from_secs(9)));
        assert!(
            options.again
                && options.plain
                && options.workers == 1
                && !options.afresh
                && !options.list
        );
    }

    #[test]
    fn a_wrong_option_is_an_error_that_says_so() {
        assert!(parse("--shard 20/20").unwrap_err().contains("N - 1"));
        assert!(parse("--shards 1/2").unwrap_err().contains("known: --plain"));
        assert!(parse("--ids 4,x").unwrap_err().contains("x: not a number"));
        assert!(parse("--swarm --seeds 0").unwrap_err().contains("no seeds"));
        assert!(parse("--seeds").unwrap_err().contains("needs a value"));
    }
}
