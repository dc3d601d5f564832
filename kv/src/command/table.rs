//! The table of commands.

use bytes::Bytes;

use super::{Complaint, strings};
use crate::store::Request;

/// One command.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Its name, in lower case.
    pub name: &'static str,
    /// So many words, the name included; negative: at least so many.
    pub arity: i64,
    /// What Redis says about such commands.
    pub flags: &'static [&'static str],
    /// Where the keys stand among the words.
    pub keys: Keys,
    /// The group in Redis's documentation.
    pub group: &'static str,
    /// One line for `COMMAND DOCS`.
    pub summary: &'static str,
    /// What it does.
    pub run: Run,
}

/// Which words are keys: from `first` to `last`, counted from the end when negative.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keys {
    /// The first key; 0 when there is none.
    pub first: i64,
    /// The last key.
    pub last: i64,
    /// From one key to the next.
    pub step: i64,
}

/// What a command does.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    /// It is submitted: this makes the request.
    Submit(for<'a> fn(&'a [Bytes]) -> Result<Request<'a>, Complaint>),
    /// `PING`
    Ping,
    /// `ECHO`
    Echo,
    /// `AUTH`
    Auth,
    /// `HELLO`
    Hello,
    /// `CLIENT`
    Client,
    /// `SELECT`
    Select,
    /// `QUIT`
    Quit,
    /// `RESET`
    Reset,
    /// `COMMAND`
    Command,
    /// `CONFIG`
    Config,
    /// `INFO`
    Info,
}

impl Spec {
    /// Whether the command takes so many words, its name included.
    #[must_use]
    pub fn takes(&self, words: usize) -> bool {
        let words = i64::try_from(words).unwrap_or(i64::MAX);
        if self.arity >= 0 { words == self.arity } else { words >= -self.arity }
    }
}

/// The command of this name, in capitals or not.
#[must_use]
pub fn find(name: &[u8]) -> Option<&'static Spec> {
    let lower = |byte: &u8| byte.to_ascii_lowercase();
    TABLE
        .binary_search_by(|spec| spec.name.bytes().cmp(name.iter().map(lower)))
        .ok()
        .map(|place| &TABLE[place])
}

/// All commands, sorted by name.
pub const TABLE: &[Spec] = &[
    on_value("append", 3, WRITE, "Appends to a value, or writes it.", strings::append),
    local("auth", -2, Run::Auth, "Refused: this server has no passwords."),
    local("client", -2, Run::Client, "Tells and sets what a connection is called."),
    server("command", -1, Run::Command, "Tells about the commands."),
    server("config", -2, Run::Config, "Tells the settings of this replica."),
    server_size("dbsize", 1, "The number of keys.", strings::dbsize),
    on_value("decr", 2, FAST_WRITE, "Takes one off an integer.", strings::decr),
    on_value("decrby", 3, FAST_WRITE, "Takes a number off an integer.", strings::decrby),
    on_keys("del", -2, &["write"], "Removes keys.", strings::del),
    local("echo", 2, Run::Echo, "Answers with its argument."),
    on_keys("exists", -2, READ, "How many of the keys exist.", strings::exists),
    on_value("get", 2, READ, "The value of a key.", strings::get),
    on_value("getdel", 2, &["write", "fast"], "Removes a key, answers its value.", strings::getdel),
    on_value("getset", 3, FAST_WRITE, "Writes a value, answers the one before.", strings::getset),
    local("hello", -1, Run::Hello, "Greets, and sets the version of the protocol."),
    on_value("incr", 2, FAST_WRITE, "Adds one to an integer.", strings::incr),
    on_value("incrby", 3, FAST_WRITE, "Adds a number to an integer.", strings::incrby),
    server("info", -1, Run::Info, "Tells how things stand on this replica."),
    on_many("mget", -2, READ, (1, -1, 1), "Values of keys, all of one moment.", strings::mget),
    on_many("mset", -3, WRITE, (1, -1, 2), "Writes values, all at one moment.", strings::mset),
    local("ping", -1, Run::Ping, "Answers."),
    local("quit", -1, Run::Quit, "Closes the connection."),
    local("reset", 1, Run::Reset, "Forgets what the connection has set."),
    local("select", 2, Run::Select, "Takes database 0, the only one."),
    on_value("set", -3, WRITE, "Writes a value: always, or with NX or XX.", strings::set),
    on_value("strlen", 2, READ, "The length of a value.", strings::strlen),
    on_generic("type", 2, READ, "The type of a value.", strings::kind),
];

const READ: &[&str] = &["readonly", "fast"];
const WRITE: &[&str] = &["write", "denyoom"];
const FAST_WRITE: &[&str] = &["write", "denyoom", "fast"];
const LOCAL: &[&str] = &["noscript", "loading", "stale", "fast"];

/// A function from words to a request.
type Submit = for<'a> fn(&'a [Bytes]) -> Result<Request<'a>, Complaint>;

type Flags = &'static [&'static str];

const fn spec(name: &'static str, arity: i64, run: Run, summary: &'static str) -> Spec {
    let keys = Keys { first: 0, last: 0, step: 0 };
    Spec { name, arity, flags: LOCAL, keys, group: "connection", summary, run }
}

const fn local(name: &'static str, arity: i64, run: Run, summary: &'static str) -> Spec {
    spec(name, arity, run, summary)
}

const fn server(name: &'static str, arity: i64, run: Run, summary: &'static str) -> Spec {
    Spec { group: "server", ..spec(name, arity, run, summary) }
}

const fn server_size(name: &'static str, arity: i64, summary: &'static str, run: Submit) -> Spec {
    Spec { group: "server", flags: READ, ..spec(name, arity, Run::Submit(run), summary) }
}

const fn on_many(
    name: &'static str,
    arity: i64,
    flags: Flags,
    (first, last, step): (i64, i64, i64),
    summary: &'static str,
    run: Submit,
) -> Spec {
    let keys = Keys { first, last, step };
    Spec { group: "string", flags, keys, ..spec(name, arity, Run::Submit(run), summary) }
}

const fn on_value(
    name: &'static str,
    arity: i64,
    flags: Flags,
    summary: &'static str,
    run: Submit,
) -> Spec {
    on_many(name, arity, flags, (1, 1, 1), summary, run)
}

const fn on_keys(
    name: &'static str,
    arity: i64,
    flags: Flags,
    summary: &'static str,
    run: Submit,
) -> Spec {
    Spec { group: "generic", ..on_many(name, arity, flags, (1, -1, 1), summary, run) }
}

const fn on_generic(
    name: &'static str,
    arity: i64,
    flags: Flags,
    summary: &'static str,
    run: Submit,
) -> Spec {
    Spec { group: "generic", ..on_many(name, arity, flags, (1, 1, 1), summary, run) }
}
