//! Commands against the answers of Redis 7.0.15, and whole commands against the state machine.

use core::time::Duration;

use synod_core::{Ballot, NodeId, Slot};

use super::*;
use crate::resp::{Limits, Parser};
use crate::store::{Machine, Request};

fn facts() -> Facts {
    Facts {
        cluster: "test".to_owned(),
        node: NodeId(2),
        members: [1, 2, 3].map(NodeId).to_vec(),
        leader: Some(Ballot { round: 7, node: NodeId(2) }),
        votes: true,
        decided: Slot(9),
        applied: Slot(8),
        digest: 0xAB,
        keys: 3,
        links: vec![Link { peer: NodeId(1), is_up: true, queued_bytes: 6 }],
        log: "memory",
        client_port: 6379,
        clients: 1,
        clients_max: 10,
        connections: 4,
        turned_away: 0,
        commands: 5,
        uncertain: 0,
        uptime: Duration::from_secs(3),
    }
}

/// A connection whose requests are applied at once, without consensus.
struct Local {
    session: Session,
    machine: Machine,
    closed: bool,
}

impl Local {
    fn new() -> Self {
        let session = Session::new(5, "127.0.0.1:9".to_owned());
        Self { session, machine: Machine::new(), closed: false }
    }

    /// The answer to an inline command.
    fn ask(&mut self, line: &str) -> String {
        let mut input = BytesMut::from(format!("{line}\r\n").as_bytes());
        let args = Parser::new(Limits::default()).next(&mut input);
        let args = args.expect("sound RESP").expect("a whole command");
        let mut out = BytesMut::new();
        let settings = vec![("save", String::new()), ("appendonly", "no".to_owned())];
        match run(&args, &mut self.session, &settings, &mut out) {
            Step::Answered => {}
            Step::Inform { sections } => {
                let writer = &mut Writer::new(&mut out, self.session.version);
                inform(&facts(), &sections, writer);
            }
            Step::Close => self.closed = true,
            Step::Submit { request, read } => {
                assert!(out.is_empty(), "answered before it was decided");
                let request = Request::decode(&request).expect("our own request");
                assert_eq!(request.is_read(), read);
                let reply = self.machine.perform(&request);
                answer(&reply, &mut Writer::new(&mut out, self.session.version));
            }
        }
        String::from_utf8_lossy(&out).replace("\r\n", "|")
    }
}

#[test]
fn the_texts_of_redis() {
    let wrong = |name: &str| format!("-ERR wrong number of arguments for '{name}' command|");
    let sub = |name: &str, of: &str| format!("-ERR unknown subcommand '{name}'. Try {of} HELP.|");
    let names =
        "-ERR Client names cannot contain spaces, newlines or special characters.|".to_owned();
    let integer = "-ERR value is not an integer or out of range|".to_owned();
    let syntax = "-ERR syntax error|".to_owned();
    let users = "-WRONGPASS invalid username-password pair or user is disabled.|".to_owned();
    let unknown = |name: &str, args: &str| {
        format!("-ERR unknown command '{name}', with args beginning with: {args}|")
    };
    let f200 = "f".repeat(200);
    let cases = [
        ("GET", wrong("get")),
        ("GET a b c", wrong("get")),
        ("gEt", wrong("get")),
        ("FOO a b", unknown("FOO", "'a' 'b' ")),
        ("FOO", unknown("FOO", "")),
        (&format!("{f200} z"), unknown(&f200[..128], "'z' ")),
        (&format!("FOO {f200} z"), unknown("FOO", &format!("'{}' ", &f200[..128]))),
        ("SET a", wrong("set")),
        ("SET a b NX XX", syntax.clone()),
        ("SET a b FOO", syntax.clone()),
        ("SELECT x", integer.clone()),
        ("SELECT 99999999999999999999", integer.clone()),
        ("SELECT 99", "-ERR DB index is out of range|".to_owned()),
        ("SELECT 0", "+OK|".to_owned()),
        ("SELECT 1 2", wrong("select")),
        ("HELLO 4", "-NOPROTO unsupported protocol version|".to_owned()),
        ("HELLO x", "-ERR Protocol version is not an integer or out of range|".to_owned()),
        ("HELLO 2 FOO", "-ERR Syntax error in HELLO option 'FOO'|".to_owned()),
        ("HELLO 3 AUTH a b", users.clone()),
        ("HELLO 2 SETNAME \"a b\"", names.clone()),
        ("AUTH a b", users),
        ("CLIENT", wrong("client")),
        ("CLIENT FOO", sub("FOO", "CLIENT")),
        ("CLIENT ID x", wrong("client|id")),
        ("CLIENT SETNAME \"a b\"", names),
        ("CLIENT GETNAME", "$-1|".to_owned()),
        ("CONFIG", wrong("config")),
        ("CONFIG GET", wrong("config|get")),
        ("CONFIG FOO", sub("FOO", "CONFIG")),
        ("CONFIG GET save", "*2|$4|save|$0||".to_owned()),
        ("COMMAND FOO", sub("FOO", "COMMAND")),
        ("COMMAND COUNT x", wrong("command|count")),
        ("COMMAND DOCS nosuch", "*0|".to_owned()),
        ("COMMAND INFO nosuch", "*1|$-1|".to_owned()),
        ("MSET a", wrong("mset")),
        ("MSET a b c", wrong("mset")),
        ("INCRBY a x", integer),
        ("DECRBY n -9223372036854775808", "-ERR decrement would overflow|".to_owned()),
        ("PING", "+PONG|".to_owned()),
        ("PING hi", "$2|hi|".to_owned()),
        ("PING a b", wrong("ping")),
        ("ECHO", wrong("echo")),
        ("ECHO \"a b\"", "$3|a b|".to_owned()),
        ("DBSIZE x", wrong("dbsize")),
        ("INFO foo", "$0||".to_owned()),
        ("RESET x", wrong("reset")),
        ("CLIENT NO-EVICT on", "+OK|".to_owned()),
        ("CLIENT REPLY ON", "+OK|".to_owned()),
    ];
    for (line, wanted) in cases {
        assert_eq!(Local::new().ask(line), wanted, "{line}");
    }
    let auth = Local::new().ask("AUTH x");
    assert!(auth.starts_with("-ERR AUTH <password> called without any password"), "{auth}");
}

#[test]
fn what_redis_has_and_this_server_has_not_is_refused_clearly() {
    let mut client = Local::new();
    let expiry = client.ask("SET k v ex 10");
    assert_eq!(expiry, "-ERR SET EX is not supported: keys of this server do not expire|");
    assert!(client.ask("SET k v PX 1").contains("PX is not supported"));
    assert!(client.ask("CONFIG SET save x").contains("settings are fixed"));
    assert!(client.ask("CLIENT REPLY OFF").contains("every command is answered"));
    assert_eq!(client.ask("DBSIZE"), ":0|");
}

#[test]
fn a_story_of_strings() {
    let mut client = Local::new();
    for (line, wanted) in [
        ("SET k v", "+OK|"),
        ("GET k", "$1|v|"),
        ("set k w xx get", "$1|v|"),
        ("SET k x NX", "$-1|"),
        ("GETSET k y", "$1|w|"),
        ("APPEND k z", ":2|"),
        ("STRLEN k", ":2|"),
        ("TYPE k", "+string|"),
        ("TYPE nosuch", "+none|"),
        ("MSET a 1 b 2", "+OK|"),
        ("MGET a k nosuch b", "*4|$1|1|$2|yz|$-1|$1|2|"),
        ("EXISTS a a nosuch", ":2|"),
        ("INCR a", ":2|"),
        ("DECR a", ":1|"),
        ("INCRBY a 9223372036854775806", ":9223372036854775807|"),
        ("INCR a", "-ERR increment or decrement would overflow|"),
        ("DECRBY b 5", ":-3|"),
        ("INCR k", "-ERR value is not an integer or out of range|"),
        ("GETDEL k", "$2|yz|"),
        ("GETDEL k", "$-1|"),
        ("DEL a b nosuch", ":2|"),
        ("DBSIZE", ":0|"),
    ] {
        assert_eq!(client.ask(line), wanted, "{line}");
    }
}

#[test]
fn hello_changes_the_version_and_reset_changes_it_back() {
    let mut client = Local::new();
    let hello = client.ask("HELLO 3 SETNAME me");
    assert!(hello.starts_with("%7|$6|server|$5|redis|"), "{hello}");
    assert!(hello.contains("$5|proto|:3|$2|id|:5|"), "{hello}");
    assert_eq!(client.ask("GET nosuch"), "_|");
    assert_eq!(client.ask("CLIENT GETNAME"), "$2|me|");
    // A HELLO that is refused sets nothing.
    assert_eq!(client.ask("HELLO 2 FOO bar"), "-ERR Syntax error in HELLO option 'FOO'|");
    assert_eq!(client.ask("GET nosuch"), "_|");
    assert_eq!(client.ask("CLIENT SETINFO LIB-NAME lib"), "+OK|");
    assert!(client.ask("CLIENT INFO").contains("name=me db=0 resp=3 lib-name=lib"));
    assert_eq!(client.ask("RESET"), "+RESET|");
    assert_eq!(client.ask("GET nosuch"), "$-1|");
    assert_eq!(client.ask("CLIENT GETNAME"), "$-1|");
    assert!(!client.closed);
    assert_eq!(client.ask("QUIT"), "+OK|");
    assert!(client.closed);
}

#[test]
fn a_browser_is_cut_off() {
    for line in ["POST / HTTP/1.1", "Host: localhost"] {
        let mut client = Local::new();
        assert_eq!(client.ask(line), "");
        assert!(client.closed, "{line}");
    }
}

#[test]
fn info_has_role_and_leader() {
    let mut client = Local::new();
    let info = client.ask("INFO replication");
    for line in ["role:leader|", "leader:2|", "leader_ballot:7.2|", "applied_slot:8|"] {
        assert!(info.contains(line), "{line} in {info}");
    }
    assert!(info.contains("state_digest:00000000000000ab|"), "{info}");
    assert!(info.contains("link_1:up=1,queued_bytes=6|"), "{info}");
    assert!(!info.contains("# Server"), "{info}");
    let all = client.ask("INFO");
    for section in ["Server", "Clients", "Stats", "Replication", "Keyspace"] {
        assert!(all.contains(&format!("# {section}|")), "{section} in {all}");
    }
}

#[test]
fn the_table_is_sorted_and_every_command_of_it_answers() {
    assert!(TABLE.is_sorted_by(|left, right| left.name < right.name), "find() needs the order");
    for spec in TABLE {
        assert_eq!(find(spec.name.to_uppercase().as_bytes()).map(|s| s.name), Some(spec.name));
        let words = usize::try_from(spec.arity.abs()).expect("small");
        let line = [spec.name].into_iter().chain(core::iter::repeat_n("1", words - 1));
        let line = line.collect::<Vec<_>>().join(" ");
        assert!(!Local::new().ask(&line).is_empty(), "{line}");
        assert_eq!(spec.keys.first == 0, spec.keys.step == 0, "{}", spec.name);
    }
    let count = format!(":{}|", TABLE.len());
    assert_eq!(Local::new().ask("COMMAND COUNT"), count);
    let all = Local::new().ask("COMMAND");
    assert!(all.starts_with(&format!("*{}|*10|$6|append|:3|*2|+write|", TABLE.len())), "{all}");
}
