//! The commands of the transcripts.
//!
//! | command | what happens |
//! |---|---|
//! | `cluster nodes=3 [fresh] [window=] [run=] [writes=]` | starts it; `fresh` disks have not met |
//! | `cluster notice=20` | notices are kept back for so many ms |
//! | `campaign 1` | node 1's clock runs until it prepares a ballot; the others' clocks stand |
//! | `elect 1` | the same, and on until nothing is under way; shows nothing |
//! | `propose 1 x y` | one decree each, one drain |
//! | `deliver 2 [from=] [kind=] [count=]` | waiting messages, oldest first, then one drain |
//! | `drop`, `duplicate`, `hold as=a` | the same messages: lost, delivered and kept, set aside |
//! | `release a` | what was held waits again |
//! | `forge 1 from=2 kind=2b cluster=9` | delivers a copy under another header |
//! | `persist 1 [writes=]` | the disk confirms the oldest writes |
//! | `fail 1` | the disk reports a failure |
//! | `crash 1 [keep=]`, `restart 1`, `wipe 1`, `trim 1 below=` | a process and its disk |
//! | `cut 1 2`, `heal` | links lose everything, both ways |
//! | `advance 500`, `lag 1 500` | time passes and beats arrive; one clock runs alone |
//! | `settle` | everything is delivered and persisted until nothing is under way |
//! | `status`, `mail 1` | where the nodes are; what waits |
//!
//! Beats arrive only with `advance`, and are shown only when asked for (`kind=beat`). A command
//! that selects no message is an error.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use goldenscript::{Argument, Command, Context, Runner};
use synod_core::{Boot, ClusterId, Config, Event, GroupId, Incarnation, NodeId, Slot};

use super::Cluster;
use super::mail::Parcel;
use super::stage::{STILL, Which};

/// Runs transcripts.
pub(crate) struct Script {
    cluster: Cluster,
    held: BTreeMap<String, Vec<(u64, Parcel)>>,
    /// What was run so far, for whoever writes a script that does not work yet.
    so_far: String,
}

type Outcome = Result<(), Box<dyn Error>>;

/// The arguments of a command: positions and keys.
struct Args<'a>(&'a [Argument]);

impl Default for Script {
    fn default() -> Self {
        Self { cluster: Cluster::formed(1), held: BTreeMap::new(), so_far: String::new() }
    }
}

impl Runner for Script {
    type Command = Command;

    fn run(&mut self, command: &Command, context: &Context) -> Result<String, Box<dyn Error>> {
        self.cluster.trace.clear();
        let outcome = self.act(&command.name, &Args(&command.args));
        let lines = self.cluster.trace.drain(..).map(|line| line + "\n").collect::<String>();
        let _ = write!(self.so_far, "{command}\n---\n{lines}\n");
        if outcome.is_err() && !context.fail {
            println!("{}", self.so_far);
        }
        outcome.map(|()| lines)
    }
}

impl Script {
    fn act(&mut self, name: &str, args: &Args<'_>) -> Outcome {
        match name {
            "cluster" => self.start(args),
            "campaign" => Ok(self.cluster.campaign(args.node()?)?),
            "elect" => self.elect(args.node()?),
            "propose" => self.propose(args),
            "deliver" => self.deliver(args),
            "drop" => self.take(args).map(drop),
            "duplicate" => self.duplicate(args),
            "hold" => self.hold(args),
            "release" => self.release(args),
            "forge" => self.forge(args),
            "persist" => self.persist(args),
            "fail" => self.fail(args.node()?),
            "crash" => {
                self.cluster.crash(args.node()?, args.key("keep")?.unwrap_or(0));
                Ok(())
            }
            "restart" => self.restart(args.node()?),
            "wipe" => {
                self.cluster.wipe(args.node()?);
                self.cluster.drain(args.node()?);
                Ok(())
            }
            "trim" => {
                let below = args.key("below")?.ok_or("below= is missing")?;
                self.cluster.trim(args.node()?, Slot(below));
                self.cluster.drain(args.node()?);
                Ok(())
            }
            "cut" => self.cut(args),
            "heal" => {
                self.cluster.cut.clear();
                Ok(())
            }
            "advance" => {
                self.cluster.advance_with_beats(args.number(0)?);
                Ok(())
            }
            "lag" => {
                let node = args.node()?;
                self.cluster.node(node).ahead += args.number(1)? * 1_000_000;
                self.cluster.tick(node);
                Ok(())
            }
            "settle" => {
                self.cluster.flush();
                Ok(())
            }
            "status" => {
                self.cluster.trace = self.cluster.status();
                Ok(())
            }
            "mail" => self.mail(args.node()?),
            other => Err(format!("no such command: {other}").into()),
        }
    }

    fn start(&mut self, args: &Args<'_>) -> Outcome {
        let nodes = args.key("nodes")?.unwrap_or(3);
        let (window, run) = (args.key("window")?, args.key("run")?);
        let (writes, notice) = (args.key("writes")?, args.key("notice")?.unwrap_or(0));
        self.cluster = Cluster::with(nodes, !args.has("fresh"), |config: &mut Config| {
            config.timeouts.election_jitter = STILL;
            config.timeouts.notice = Duration::from_millis(notice);
            config.limits.window = window.unwrap_or(config.limits.window);
            config.limits.run_slots_max = run.unwrap_or(config.limits.run_slots_max);
            config.limits.writes_in_flight_max =
                writes.unwrap_or(config.limits.writes_in_flight_max);
        });
        self.held.clear();
        self.cluster.ids().for_each(|id| self.cluster.drain(id));
        if !args.has("fresh") {
            // The marks of idle logs, which each first run writes once, are out of the way.
            self.cluster.advance_with_beats(50);
            self.cluster.flush();
            self.cluster.trace.clear();
        }
        Ok(())
    }

    fn elect(&mut self, id: u64) -> Outcome {
        self.cluster.campaign(id)?;
        self.cluster.flush();
        if !self.cluster.replica(id).is_established() {
            // Whoever had to catch up first is asked again.
            self.cluster.advance_with_beats(200);
            self.cluster.flush();
        }
        if !self.cluster.replica(id).is_established() {
            return Err(format!("n{id} does not lead").into());
        }
        self.cluster.trace.clear();
        Ok(())
    }

    fn propose(&mut self, args: &Args<'_>) -> Outcome {
        let letters: String = args.positions().skip(1).collect();
        self.cluster.propose(args.node()?, &letters);
        Ok(())
    }

    /// The messages that the arguments select; at least one.
    fn take(&mut self, args: &Args<'_>) -> Result<Vec<Parcel>, Box<dyn Error>> {
        let which =
            Which { from: args.key("from")?, kind: args.text("kind"), count: args.key("count")? };
        let node = args.node()?;
        let taken = self.cluster.take_mail(node, which);
        if taken.is_empty() {
            return Err(format!("no such message waits for n{node}").into());
        }
        Ok(taken)
    }

    fn deliver(&mut self, args: &Args<'_>) -> Outcome {
        let node = args.node()?;
        for parcel in self.take(args)? {
            // Refusals are in the trace.
            let _ = self.cluster.deliver(node, &parcel);
        }
        self.cluster.drain(node);
        Ok(())
    }

    fn duplicate(&mut self, args: &Args<'_>) -> Outcome {
        let node = args.node()?;
        let copies = self.take(args)?;
        for parcel in &copies {
            let _ = self.cluster.deliver(node, parcel);
        }
        self.cluster.node(node).inbox.extend(copies);
        self.cluster.drain(node);
        Ok(())
    }

    fn hold(&mut self, args: &Args<'_>) -> Outcome {
        let node = args.node()?;
        let name = args.text("as").ok_or("as= is missing")?.to_string();
        let parcels = self.take(args)?.into_iter().map(|parcel| (node, parcel));
        self.held.entry(name).or_default().extend(parcels);
        Ok(())
    }

    fn release(&mut self, args: &Args<'_>) -> Outcome {
        let name = args.positions().next().ok_or("whose messages?")?;
        let parcels = self.held.remove(name).ok_or("nothing is held under that name")?;
        for (node, parcel) in parcels {
            self.cluster.node(node).inbox.push_back(parcel);
        }
        Ok(())
    }

    fn forge(&mut self, args: &Args<'_>) -> Outcome {
        let node = args.node()?;
        let which = Which { from: args.key("from")?, kind: args.text("kind"), count: Some(1) };
        let original = self.cluster.take_mail(node, which).pop().ok_or("no such message waits")?;
        self.cluster.node(node).inbox.push_front(original.clone());
        let mut forged = original;
        let header = &mut forged.header;
        header.cluster = args.key("cluster")?.map_or(header.cluster, ClusterId);
        header.group = args.key("group")?.map_or(header.group, GroupId);
        header.epoch.number = args.key("epoch")?.unwrap_or(header.epoch.number);
        header.epoch.digest = args.key("digest")?.unwrap_or(header.epoch.digest);
        header.node = args.key("node")?.map_or(header.node, NodeId);
        header.incarnation = args.key("incarnation")?.map_or(header.incarnation, Incarnation);
        header.boot = args.key("boot")?.map_or(header.boot, Boot);
        let _ = self.cluster.deliver(node, &forged);
        self.cluster.drain(node);
        Ok(())
    }

    fn persist(&mut self, args: &Args<'_>) -> Outcome {
        let (node, writes) = (args.node()?, args.key("writes")?.unwrap_or(usize::MAX));
        if self.cluster.node(node).pending.is_empty() {
            return Err(format!("n{node} has no write in flight").into());
        }
        self.cluster.persist(node, writes);
        Ok(())
    }

    fn fail(&mut self, node: u64) -> Outcome {
        self.cluster.node(node).pending.clear();
        self.cluster.push(node, Event::PersistFailed)?;
        self.cluster.drain(node);
        Ok(())
    }

    fn restart(&mut self, node: u64) -> Outcome {
        if self.cluster.node(node).is_up {
            self.cluster.crash(node, 0);
        }
        self.cluster.restart(node);
        self.cluster.drain(node);
        Ok(())
    }

    fn cut(&mut self, args: &Args<'_>) -> Outcome {
        let (one, other) = (args.number(0)?, args.number(1)?);
        self.cluster.cut.extend([(one, other), (other, one)]);
        Ok(())
    }

    fn mail(&mut self, node: u64) -> Outcome {
        let waiting = self.cluster.node(node).inbox.iter().filter(|parcel| !parcel.is_beat());
        self.cluster.trace =
            waiting.map(|p| format!("n{} → n{node}  {}", p.header.node, p.text)).collect();
        Ok(())
    }
}

impl<'a> Args<'a> {
    fn positions(&self) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter_map(|argument| match argument {
            Argument::Positional(value) => Some(value.as_str()),
            _keyed => None,
        })
    }

    fn has(&self, word: &str) -> bool {
        self.positions().any(|position| position == word)
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.0.iter().find_map(|argument| match argument {
            Argument::KeyValue(name, value) if name == key => Some(value.as_str()),
            _other => None,
        })
    }

    fn key<T: std::str::FromStr<Err: Error + 'static>>(
        &self,
        key: &str,
    ) -> Result<Option<T>, Box<dyn Error>> {
        Ok(self.text(key).map(str::parse).transpose()?)
    }

    fn number(&self, place: usize) -> Result<u64, Box<dyn Error>> {
        Ok(self.positions().nth(place).ok_or("a number is missing")?.parse()?)
    }

    /// The node that the command is for.
    fn node(&self) -> Result<u64, Box<dyn Error>> {
        self.number(0)
    }
}
