//! Commands that tell about the server.

use core::fmt::Write as _;

use bytes::Bytes;

use super::connection::REDIS_VERSION;
use super::subcommand::{self, Subcommand};
use super::table::{Spec, TABLE, find};
use super::{Call, Complaint, Facts, Link, Step};
use crate::resp::Writer;

type Done = Result<Step, Complaint>;

#[derive(Clone, Copy)]
enum Command {
    Count,
    Docs,
    Help,
    Info,
    List,
}

const COMMAND: &[Subcommand<Command>] = &[
    Subcommand::new("count", 2, Command::Count),
    Subcommand::new("docs", -2, Command::Docs),
    Subcommand::new("help", 2, Command::Help),
    Subcommand::new("info", -2, Command::Info),
    Subcommand::new("list", 2, Command::List),
];

pub(super) fn command(call: &mut Call<'_>) -> Done {
    if call.args.len() == 1 {
        describe_all(&mut call.writer());
        return Ok(Step::Answered);
    }
    let named = call.args.get(2..).unwrap_or_default();
    match subcommand::find(call.args, "COMMAND", COMMAND)? {
        Command::Count => call.writer().integer(TABLE.len() as i64),
        Command::Docs => docs(named, &mut call.writer()),
        Command::Help => return subcommand::help(call, "COMMAND", COMMAND),
        Command::Info if named.is_empty() => describe_all(&mut call.writer()),
        Command::Info => {
            let mut writer = call.writer();
            writer.array(named.len());
            for name in named {
                match find(name) {
                    Some(spec) => describe(spec, &mut writer),
                    None => writer.null(),
                }
            }
        }
        Command::List => {
            let mut writer = call.writer();
            writer.array(TABLE.len());
            TABLE.iter().for_each(|spec| writer.bulk(spec.name.as_bytes()));
        }
    }
    Ok(Step::Answered)
}

fn describe_all(writer: &mut Writer<'_>) {
    writer.array(TABLE.len());
    TABLE.iter().for_each(|spec| describe(spec, writer));
}

/// Ten fields, as Redis 7 has them; those that clients look at are filled.
fn describe(spec: &Spec, writer: &mut Writer<'_>) {
    writer.array(10);
    writer.bulk(spec.name.as_bytes());
    writer.integer(spec.arity);
    writer.set(spec.flags.len());
    spec.flags.iter().for_each(|flag| writer.simple(flag));
    writer.integer(spec.keys.first);
    writer.integer(spec.keys.last);
    writer.integer(spec.keys.step);
    writer.set(1);
    writer.simple(&format!("@{}", spec.group));
    writer.array(0); // hints for proxies
    writer.array(0); // where keys stand, in the longer form
    writer.array(0); // subcommands
}

fn docs(named: &[Bytes], writer: &mut Writer<'_>) {
    let specs: Vec<&Spec> = if named.is_empty() {
        TABLE.iter().collect()
    } else {
        named.iter().filter_map(|name| find(name)).collect()
    };
    writer.map(specs.len());
    for spec in specs {
        writer.bulk(spec.name.as_bytes());
        writer.map(2);
        writer.bulk(b"summary");
        writer.bulk(spec.summary.as_bytes());
        writer.bulk(b"group");
        writer.bulk(spec.group.as_bytes());
    }
}

#[derive(Clone, Copy)]
enum Config {
    Get,
    Help,
    Fixed,
}

const CONFIG: &[Subcommand<Config>] = &[
    Subcommand::new("get", -3, Config::Get),
    Subcommand::new("help", 2, Config::Help),
    Subcommand::new("resetstat", 2, Config::Fixed),
    Subcommand::new("rewrite", 2, Config::Fixed),
    Subcommand::new("set", -4, Config::Fixed),
];

pub(super) fn config(call: &mut Call<'_>) -> Done {
    match subcommand::find(call.args, "CONFIG", CONFIG)? {
        Config::Get => {
            let patterns = &call.args[2..];
            let mut settings = call.settings.clone();
            settings.retain(|(name, _)| patterns.iter().any(|p| matches(p, name.as_bytes())));
            let mut writer = call.writer();
            writer.map(settings.len());
            for (name, value) in settings {
                writer.bulk(name.as_bytes());
                writer.bulk(value.as_bytes());
            }
            Ok(Step::Answered)
        }
        Config::Help => subcommand::help(call, "CONFIG", CONFIG),
        Config::Fixed => Err(Complaint::FixedSettings),
    }
}

/// Whether `name` fits `pattern`, in which `*` stands for anything and `?` for one byte. Takes
/// time in proportion to the product of the lengths, however many stars there are.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // Where the last star stands, and up to where it has swallowed the name.
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(byte) if *byte == b'?' || byte.eq_ignore_ascii_case(&name[n]) => {
                p += 1;
                n += 1;
            }
            Some(_) | None => match star {
                Some((at, swallowed)) => {
                    star = Some((at, swallowed + 1));
                    (p, n) = (at + 1, swallowed + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Answers `INFO`: the named sections, or all of them.
pub fn inform(facts: &Facts, sections: &[Bytes], writer: &mut Writer<'_>) {
    let any = |words: &[&[u8]]| {
        sections.iter().any(|arg| words.iter().any(|word| arg.eq_ignore_ascii_case(word)))
    };
    let all = sections.is_empty() || any(&[b"default", b"all", b"everything"]);
    let mut text = String::new();
    for (name, write) in SECTIONS {
        if all || any(&[name.as_bytes()]) {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            // Writing to a string does not fail.
            let _ = write!(text, "# {name}\r\n");
            write(facts, &mut text);
        }
    }
    writer.text(&text);
}

type Section = (&'static str, fn(&Facts, &mut String));

const SECTIONS: [Section; 5] = [
    ("Server", server_section),
    ("Clients", clients_section),
    ("Stats", stats_section),
    ("Replication", replication_section),
    ("Keyspace", keyspace_section),
];

/// Appends lines of `name:value`.
fn lines<const N: usize>(text: &mut String, fields: [(&str, &dyn core::fmt::Display); N]) {
    for (name, value) in fields {
        // Writing to a string does not fail.
        let _ = write!(text, "{name}:{value}\r\n");
    }
}

fn server_section(facts: &Facts, text: &mut String) {
    lines(
        text,
        [
            ("redis_version", &REDIS_VERSION),
            ("redis_mode", &"standalone"),
            ("synod_version", &env!("CARGO_PKG_VERSION")),
            ("process_id", &std::process::id()),
            ("tcp_port", &facts.client_port),
            ("uptime_in_seconds", &facts.uptime.as_secs()),
            ("log", &facts.log),
        ],
    );
}

fn clients_section(facts: &Facts, text: &mut String) {
    lines(text, [("connected_clients", &facts.clients), ("maxclients", &facts.clients_max)]);
}

fn stats_section(facts: &Facts, text: &mut String) {
    lines(
        text,
        [
            ("total_connections_received", &facts.connections),
            ("rejected_connections", &facts.turned_away),
            ("total_commands_processed", &facts.commands),
            ("uncertain_commands", &facts.uncertain),
        ],
    );
}

fn replication_section(facts: &Facts, text: &mut String) {
    let role = if facts.leads() { "leader" } else { "follower" };
    let (leader, ballot) = match facts.leader {
        Some(ballot) => (ballot.node.to_string(), ballot.to_string()),
        None => ("none".to_owned(), "none".to_owned()),
    };
    let members: Vec<String> = facts.members.iter().map(ToString::to_string).collect();
    lines(
        text,
        [
            ("role", &role),
            ("cluster", &facts.cluster),
            ("node", &facts.node),
            ("members", &members.join(",")),
            ("votes", &u8::from(facts.votes)),
            ("leader", &leader),
            ("leader_ballot", &ballot),
            ("decided_slot", &facts.decided),
            ("applied_slot", &facts.applied),
            ("state_digest", &format_args!("{:016x}", facts.digest)),
        ],
    );
    for link in &facts.links {
        let Link { peer, is_up, queued_bytes } = *link;
        let value = format_args!("up={},queued_bytes={queued_bytes}", u8::from(is_up));
        lines(text, [(&format!("link_{peer}"), &value)]);
    }
}

fn keyspace_section(facts: &Facts, text: &mut String) {
    if facts.keys > 0 {
        let keys = facts.keys;
        lines(text, [("db0", &format_args!("keys={keys},expires=0,avg_ttl=0"))]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, fits) in [
            ("save", "save", true),
            ("SAVE", "save", true),
            ("save", "saves", false),
            ("*", "", true),
            ("*", "save", true),
            ("app*only", "appendonly", true),
            ("app*x", "appendonly", false),
            ("s?ve", "save", true),
            ("?", "", false),
            ("*a*e*", "save", true),
            ("", "save", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), fits, "{pattern} {name}");
        }
        let stars = "*a".repeat(1000);
        assert!(!matches(stars.as_bytes(), &[b'a'; 999]), "and it takes no exponential time");
    }
}
