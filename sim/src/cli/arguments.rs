//! What the command line says, judged against what the command takes.

use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use synod_sim::near;
use synod_sim::plan::{Plan, SETTINGS, Setting};

use super::Outcome;

/// A command, and what it takes.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) name: &'static str,
    /// In a line.
    pub(crate) about: &'static str,
    /// The names of its flags, in the order in which its help lists them.
    pub(crate) flags: &'static [&'static str],
    /// What else its help says.
    pub(crate) notes: &'static str,
    /// Does it.
    pub(crate) act: fn(&Arguments) -> Outcome,
}

/// A flag, its value if it has one, and what it does.
struct Flag(&'static str, &'static str, &'static str);

static FLAGS: [Flag; 22] = [
    Flag("--seeds", "A..B", "the seeds A to B - 1"),
    Flag("--seed", "N", "this seed"),
    Flag("--plan", "FILE", "this plan, as `shrink` writes it"),
    Flag("--minutes", "N", "so long, in minutes"),
    Flag("--seconds", "N", "so long, in seconds"),
    Flag("--from", "SEED", "the first seed; any, which is printed, when it is left out"),
    Flag("--nodes", "N", "so many members, 1 to 9, instead of what each seed draws"),
    Flag("--for", "SECONDS", "faults for so long, in simulated seconds, instead of what is drawn"),
    Flag("--set", "NAME=N", "sets something as a plan does; may come often"),
    Flag("--withhold", "WHAT", "withholds faults as a plan does: 'loss 0..17 19'; may come often"),
    Flag("--jobs", "J", "threads; 2 when it is left out, or 1 on a machine with one core"),
    Flag("--runs", "N", "at most so many runs"),
    Flag("--out", "FILE", "writes to this file"),
    Flag("--fail-fast", "", "stops at the first seed that fails"),
    Flag("--options", "", "shows everything that the seed draws"),
    Flag("--trace", "", "prints every event as it happens"),
    Flag("--transcript", "", "writes down what happened, messages as arrows"),
    Flag("--beats", "", "heartbeats too, in the transcript"),
    Flag("--check", "", "runs twice and compares the state after every step"),
    Flag("--parts", "", "measures where the time goes, which takes time itself"),
    Flag("--quiet", "", "tells no progress"),
    Flag("--shrink", "", "makes the run small first"),
];

/// What the command line says.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    given: Vec<(&'static str, String)>,
}

impl Command {
    /// All that it takes.
    pub(crate) fn help(&self) -> String {
        let mut text = format!("synod-sim {}: {}\n\n", self.name, self.about);
        for Flag(name, value, about) in self.flags.iter().filter_map(|name| flag(name)) {
            text += &format!("  {:<18} {about}\n", format!("{name} {value}"));
        }
        if self.flags.contains(&"--set") {
            text += &format!("\n{}\n", names());
        }
        if self.notes.is_empty() {
            return text.trim_end().to_owned();
        }
        text + "\n" + self.notes
    }
}

/// What `--set` knows, in lines of some width.
fn names() -> String {
    let mut text = String::from("Names for `--set`, each with what is possible:\n ");
    let mut width = 1;
    for Setting { name, range: (least, most), .. } in &SETTINGS {
        let word = format!(" {name} ({least}..{most})");
        if width + word.len() > WIDTH {
            text.push_str("\n ");
            width = 1;
        }
        width += word.len();
        text += &word;
    }
    text
}

/// How wide lines of help are.
const WIDTH: usize = 96;

fn flag(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|Flag(known, _, _)| *known == name)
}

impl Arguments {
    /// Reads them.
    ///
    /// # Errors
    /// A mistake, with what would mend it.
    pub(crate) fn parse(command: &Command, words: &[String]) -> Result<Self, String> {
        let mut given = Vec::new();
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            let (name, joined) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (word.as_str(), None),
            };
            let taken = command.flags.contains(&name);
            let Some(Flag(name, value, _)) = flag(name).filter(|_| taken) else {
                let hint = near::hint(name, command.flags.iter().copied());
                return Err(format!("`{}` takes no `{name}`{hint}", command.name));
            };
            let value = match (value.is_empty(), joined) {
                (true, None) => String::new(),
                (true, Some(_)) => return Err(format!("`{name}` takes no value")),
                (false, Some(joined)) => joined,
                (false, None) => {
                    let next = rest.next().filter(|next| !next.starts_with("--"));
                    next.ok_or_else(|| format!("`{name}` needs a value: {name} {value}"))?.clone()
                }
            };
            given.push((*name, value));
        }
        Ok(Self { given })
    }

    /// The value of a flag.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).last()
    }

    /// Whether a flag is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.given.iter().filter(move |(given, _)| *given == name).map(|(_, value)| value.as_str())
    }

    /// The number that a flag has.
    pub(crate) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let mistake = |_| format!("`{name} {text}`: a whole number is wanted");
        text.parse().map(Some).map_err(mistake)
    }

    /// The seeds of `--seeds`.
    pub(crate) fn seeds(&self) -> Result<Option<Range<u64>>, String> {
        let Some(text) = self.get("--seeds") else { return Ok(None) };
        let mistake = || format!("`--seeds {text}`: a range such as 0..1000 is wanted");
        let (from, end) = text.split_once("..").ok_or_else(mistake)?;
        let from: u64 = from.parse().map_err(|_| mistake())?;
        let end = end.parse().map_err(|_| mistake())?;
        if from < end { Ok(Some(from..end)) } else { Err(mistake()) }
    }

    /// What `--nodes`, `--for` and `--set` make of a seed.
    pub(crate) fn over(&self, mut plan: Plan) -> Result<Plan, String> {
        if let Some(nodes) = self.number("--nodes")? {
            plan.set("nodes", nodes)?;
        }
        if let Some(seconds) = self.number::<u64>("--for")? {
            plan.set("faults_for_us", seconds.saturating_mul(1_000_000))?;
        }
        for text in self.all("--set") {
            let mistake = || format!("`--set {text}`: such as `--set burst_max=1` is wanted");
            let (name, value) = text.split_once('=').ok_or_else(mistake)?;
            plan.set(name, value.parse().map_err(|_| mistake())?)?;
        }
        let mut lines = plan.withheld.to_string();
        for text in self.all("--withhold") {
            lines += &format!("\n{text}");
        }
        plan.withheld = lines.parse()?;
        Ok(plan)
    }

    /// The run that `--plan` or `--seed` names, with what else is set.
    pub(crate) fn plan(&self) -> Result<Plan, String> {
        let plan = match (self.get("--plan"), self.number("--seed")?) {
            (Some(_), Some(_)) => return Err("`--plan` names a seed already: no `--seed`".into()),
            (None, None) => return Err("which run? `--seed N` or `--plan FILE`".into()),
            (None, Some(seed)) => Plan::of(seed),
            (Some(path), None) => {
                let text = std::fs::read_to_string(path);
                let text = text.map_err(|error| format!("`--plan {path}`: {error}"))?;
                let plan: Plan = text.parse().map_err(|error| format!("{path}: {error}"))?;
                if let Some(test) = &plan.test {
                    return Err(format!(
                        "this plan belongs to the test {test}: SYNOD_SIM_PLAN={path} cargo test \
                         {test}"
                    ));
                }
                plan
            }
        };
        self.over(plan)
    }

    /// Threads.
    pub(crate) fn jobs(&self) -> Result<usize, String> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = self.number("--jobs")?.unwrap_or(cores.min(2));
        if jobs == 0 { Err("`--jobs 0`: one at least".into()) } else { Ok(jobs.min(256)) }
    }

    /// How long `--minutes` or `--seconds` say.
    pub(crate) fn lasts(&self) -> Result<Option<Duration>, String> {
        let minutes = self.number::<u64>("--minutes")?.map(|minutes| minutes.saturating_mul(60));
        let seconds = minutes.or(self.number("--seconds")?);
        if seconds == Some(0) {
            return Err(
                "no seed runs in no time: `--minutes` or `--seconds` of one at least".into()
            );
        }
        Ok(seconds.map(Duration::from_secs))
    }

    /// The file of `--out`, or `otherwise`.
    pub(crate) fn out(&self, otherwise: impl FnOnce() -> String) -> PathBuf {
        self.get("--out").map_or_else(|| otherwise().into(), PathBuf::from)
    }
}

#[cfg(test)]
mod tests {
    use synod_sim::sweep::Goal;

    use super::super::run::goal;
    use super::*;

    static COMMAND: Command = Command {
        name: "try",
        about: "tries",
        flags: &[
            "--seeds",
            "--seed",
            "--set",
            "--nodes",
            "--for",
            "--withhold",
            "--trace",
            "--jobs",
            "--minutes",
            "--seconds",
            "--from",
        ],
        notes: "",
        act: |_| Ok(true),
    };

    fn parse(line: &str) -> Result<Arguments, String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        Arguments::parse(&COMMAND, &words)
    }

    #[test]
    fn what_is_said_is_what_is_meant() {
        let arguments =
            parse("--seed 7 --nodes=3 --for 2 --set burst_max=1 --trace").expect("fine");
        let plan = arguments.plan().expect("a plan");
        assert_eq!(plan.to_string(), "seed 7\nnodes 3\nfaults_for_us 2000000\nburst_max 1\n");
        assert!(arguments.has("--trace") && !arguments.has("--check"));
        assert_eq!(parse("--seeds 3..9").expect("fine").seeds(), Ok(Some(3..9)));
    }

    #[test]
    fn a_mistake_names_its_mend() {
        for (line, said) in [
            ("--sed 7", "`try` takes no `--sed`; did you mean `--seed`?"),
            ("--seed", "`--seed` needs a value: --seed N"),
            ("--seed --trace", "`--seed` needs a value"),
            ("--trace=1", "`--trace` takes no value"),
        ] {
            let error = parse(line).expect_err(line);
            assert!(error.contains(said), "{line}: {error}");
        }
        for (line, said) in [
            ("--trace", "which run?"),
            ("--seed x", "`--seed x`: a whole number is wanted"),
            ("--seed 1 --nodes 40", "1 to 9 is possible"),
            ("--seed 1 --set nods=4", "did you mean `nodes`?"),
            ("--seed 1 --set nodes", "`--set burst_max=1` is wanted"),
        ] {
            let error = parse(line).expect(line).plan().expect_err(line);
            assert!(error.contains(said), "{line}: {error}");
        }
        assert!(parse("--seeds 9..3").expect("read").seeds().is_err());
        assert_eq!(parse("--jobs 0").expect("read").jobs(), Err("`--jobs 0`: one at least".into()));
    }

    #[test]
    fn an_amount_that_runs_nothing_is_a_mistake() {
        for (line, said) in [
            ("--minutes 0", "no seed runs in no time"),
            ("--seconds 0", "no seed runs in no time"),
            ("--seeds 0..5 --from 7", "`--seeds` names the first seed already"),
            ("--from 7", "`--from` needs a time"),
            ("--seconds 1 --from 18446744073709551615", "no seed lies there or behind"),
            ("--seeds 0..5 --seconds 1", "not both"),
        ] {
            let error = goal(&parse(line).expect(line)).expect_err(line);
            assert!(error.contains(said), "{line}: {error}");
        }
        let from = goal(&parse("--seconds 1 --from 7").expect("read"));
        assert_eq!(from, Ok(Some(Goal::Time { from: 7, lasts: Duration::from_secs(1) })));
    }

    #[test]
    fn help_tells_every_flag_of_a_command() {
        let help = COMMAND.help();
        assert!(COMMAND.flags.iter().all(|flag| help.contains(flag)), "{help}");
    }
}
