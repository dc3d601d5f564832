//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::bench::BenchFlags;
use crate::config::{Config, Given, Mistake, NUMBERS};
use crate::demo::DemoFlags;

/// A replicated key-value server that speaks the Redis protocol.
#[derive(Debug, Parser)]
#[command(name = "synod-kv", version, about)]
pub struct Cli {
    /// What to do; `demo` when nothing is said.
    #[command(subcommand)]
    pub job: Option<Job>,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Job {
    /// Run one replica.
    Serve(ServeFlags),
    /// Run three replicas, kill the leader under load, and check that nothing was lost.
    Demo(DemoFlags),
    /// Put load on running replicas and measure.
    Bench(BenchFlags),
}

/// The flags of `serve`. Each but `--config`, `--set` and `--with-parent` is also a key of the
/// configuration file; flags win.
#[derive(Debug, Default, Args)]
pub struct ServeFlags {
    /// This node, one of the peers
    #[arg(long, value_name = "NUMBER")]
    pub id: Option<String>,
    /// The name of the cluster: keeps two clusters apart
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// Where replicas connect; by default this node's address among the peers
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// Where clients connect
    #[arg(long, value_name = "HOST:PORT")]
    pub client: Option<String>,
    /// All replicas, this one included: 1=HOST:PORT,2=HOST:PORT,3=HOST:PORT
    #[arg(long, value_name = "ID=HOST:PORT,...")]
    pub peers: Option<String>,
    /// The directory of the log
    #[arg(long, value_name = "DIR")]
    pub data: Option<String>,
    /// Where the log is kept: file (default) or memory
    #[arg(long, value_name = "KIND")]
    pub log: Option<String>,
    /// A configuration file in TOML
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set a limit or timeout, such as timeouts.election_ms=500
    #[arg(long, value_name = "SECTION.KEY=NUMBER")]
    pub set: Vec<String>,
    /// Shut down when standard input ends, as it does when the parent process dies
    #[arg(long)]
    pub with_parent: bool,
}

impl ServeFlags {
    /// The settings of flags and file together, checked.
    ///
    /// # Errors
    /// With the first mistake.
    pub fn settings(self) -> Result<Config, Mistake> {
        let file = self.config.as_deref().map(Given::from_file).transpose()?;
        let flags = Given {
            id: self.id,
            cluster: self.cluster,
            listen: self.listen,
            client: self.client,
            peers: self.peers.map(|peers| vec![peers]),
            data: self.data,
            log: self.log,
            numbers: self.set.iter().map(|one| number(one)).collect::<Result<_, _>>()?,
        };
        flags.or(file.unwrap_or_default()).check()
    }
}

/// A number from `--set section.key=number`.
fn number(text: &str) -> Result<(&'static str, u64), Mistake> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    // The same words for a wrong name as for one in a file.
    let Some(number) = NUMBERS.iter().find(|number| number.name == name) else {
        let names: Vec<&str> = NUMBERS.iter().map(|number| number.name).collect();
        return Err(Mistake::unknown(name, "", &names));
    };
    match value.parse() {
        Ok(value) => Ok((number.name, value)),
        Err(_) => Err(Mistake::BadValue {
            key: name.to_owned(),
            value: value.to_owned(),
            allowed: format!("{} to {}", number.min, number.max),
        }),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn settings(flags: &[&str]) -> Result<Config, Mistake> {
        let words = ["synod-kv", "serve"].iter().chain(flags);
        match Cli::try_parse_from(words).expect("sound flags").job {
            Some(Job::Serve(flags)) => flags.settings(),
            Some(Job::Demo(_) | Job::Bench(_)) | None => panic!("serve was asked for"),
        }
    }

    const SOUND: [&str; 12] = [
        "--id",
        "1",
        "--cluster",
        "c",
        "--client",
        "127.0.0.1:0",
        "--peers",
        "1=127.0.0.1:7001",
        "--log",
        "memory",
        "--set",
        "limits.args_max=9",
    ];

    #[test]
    fn flags_alone_are_enough() {
        Cli::command().debug_assert();
        let config = settings(&SOUND).expect("sound");
        assert_eq!(config.cluster, "c");
        assert_eq!(config.tuning.clients.resp.args_max, 9);
        assert!(Cli::try_parse_from(["synod-kv"]).expect("no flags").job.is_none());
    }

    #[test]
    fn numbers_are_checked() {
        let with = |number: &'static str| {
            let flags: Vec<&str> = SOUND[..10].iter().copied().chain(["--set", number]).collect();
            settings(&flags).expect_err("a mistake").to_string()
        };
        let text = with("limits.arg_max=9");
        assert!(text.contains("did you mean `limits.args_max`?"), "{text}");
        for text in [with("limits.args_max=x"), with("limits.args_max"), with("limits.args_max=1")]
        {
            assert!(text.contains("`limits.args_max`") && text.contains("3 to "), "{text}");
        }
    }
}
