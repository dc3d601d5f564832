//! Long pipelines: their order, whatever comes of each command, and what is left of them when the
//! client, the leader or the server goes away.

use std::collections::HashMap;

use super::*;
use crate::chance::Chance;

/// A command of each kind now and then, and the answer to it when those before it came first.
#[derive(Default)]
struct Talk {
    values: HashMap<String, String>,
    commands: Vec<String>,
    answers: Vec<String>,
}

impl Talk {
    fn add(&mut self, chance: &mut Chance) {
        let (number, key) = (self.commands.len(), format!("k{}", chance.below(5)));
        let value = self.values.get(&key).cloned();
        let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len());
        let (command, answer) = match chance.below(12) {
            0 => ("PING\r\n".to_owned(), "+PONG\r\n".to_owned()),
            1 => (format!("ECHO e{number}\r\n"), bulk(&format!("e{number}"))),
            2 => ("GET\r\n".to_owned(), format!("-{}get' command\r\n", WRONG_NUMBER)),
            3 => ("NOSUCH\r\n".to_owned(), format!("-{UNKNOWN}\r\n")),
            4 => (format!("GET {key}\r\n"), value.map_or("$-1\r\n".to_owned(), |v| bulk(&v))),
            5 => {
                let there = usize::from(value.is_some());
                (format!("EXISTS {key}\r\n"), format!(":{there}\r\n"))
            }
            6 => {
                let there = usize::from(self.values.remove(&key).is_some());
                (format!("DEL {key}\r\n"), format!(":{there}\r\n"))
            }
            7 => {
                // A value that makes the parser wait for more.
                let value = format!("{number}{}", "v".repeat(chance.below(3000)));
                self.values.insert(key.clone(), value.clone());
                let (key, value) = (bulk(&key), bulk(&value));
                (format!("*3\r\n$3\r\nSET\r\n{key}{value}"), "+OK\r\n".to_owned())
            }
            8 => (format!("SET {BUSY} {number}\r\n"), format!("-{TOO_MANY}\r\n")),
            9 => (format!("SET {LEADERLESS} {number}\r\n"), format!("-{NO_LEADER}\r\n")),
            10 => (format!("GET {LOST}\r\n"), format!("-{TRY_AGAIN}\r\n")),
            11.. => {
                let text = value.unwrap_or_default() + "+";
                let answer = format!(":{}\r\n", text.len());
                self.values.insert(key.clone(), text);
                (format!("APPEND {key} +\r\n"), answer)
            }
        };
        self.commands.push(command);
        self.answers.push(answer);
    }
}

impl Node {
    /// Applies what has piled up, in its order, and tells the outcomes in another.
    fn settle_in_any_order(&self, chance: &mut Chance) -> usize {
        let inside = &mut *self.inside();
        let mut settled = Vec::new();
        for (body, caller) in inside.piled.drain(..) {
            let outcome = if has(&body, LEADERLESS) {
                Outcome::Refused(Why::NoLeader)
            } else if has(&body, LOST) {
                Outcome::Unknown { ballot: Ballot::ZERO }
            } else {
                applied(&mut inside.machine, &body)
            };
            settled.push((caller, outcome));
        }
        let count = settled.len();
        while !settled.is_empty() {
            let (caller, outcome) = settled.swap_remove(chance.below(settled.len()));
            caller.send(outcome);
        }
        count
    }
}

#[tokio::test]
async fn thousands_of_commands_of_all_kinds_are_answered_in_their_order() {
    let node = Node::default();
    node.inside().refuses = Some((BUSY, Why::Busy));
    let limits = ClientLimits {
        pipeline_max: 100,
        requests_in_flight_max: 30,
        output_bytes_max: 1 << 10,
        ..ClientLimits::default()
    };
    let running = Running::with(node.clone(), limits).await;
    let mut chance = Chance::new(17);
    let mut talk = Talk::default();
    (0..5_000).for_each(|_| talk.add(&mut chance));
    let (mut read, mut write) = running.client().await.0.into_split();
    let mut pieces = Chance::new(18);
    let said = talk.commands.concat();
    let saying = async {
        let mut rest = said.as_bytes();
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(rest.len().min(1 + pieces.below(10_000)));
            write.write_all(piece).await.expect("the server reads");
            rest = behind;
        }
    };
    let wanted = talk.answers.concat();
    let mut heard = vec![0; wanted.len()];
    let hearing = read.read_exact(&mut heard);
    let settling = async {
        loop {
            node.settle_in_any_order(&mut chance);
            tokio::task::yield_now().await;
        }
    };
    let all = async { tokio::join!(saying, hearing).1.expect("the server answers") };
    let all = tokio::time::timeout(Duration::from_secs(60), all);
    tokio::select! {
        done = all => drop(done.expect("all answers come")),
        () = settling => unreachable!("it goes on"),
    }
    assert!(heard == wanted.as_bytes(), "{}", first_difference(&heard, &talk));
}

#[tokio::test]
async fn a_lost_leader_has_one_answer_for_each_command_in_the_pipe() {
    let node = Node::default();
    let running = Running::of(&node).await;
    let mut client = running.client().await;
    client.say(&"INCR n\r\nGET n\r\n".repeat(500)).await;
    node.has(1_000).await;
    // Half was decided; the rest was on its way when the leader went, the last part not sent yet.
    (0..500).for_each(|_| node.apply(0));
    let ballot = Ballot { round: 7, node: NodeId(3) };
    let mut piled = core::mem::take(&mut node.inside().piled);
    // What was refused is told first, from the end on.
    for (_, caller) in piled.split_off(300).into_iter().rev() {
        caller.send(Outcome::Refused(Why::NoLeader));
    }
    for (_, caller) in piled {
        caller.send(Outcome::Unknown { ballot });
    }
    // The connection goes on, with the next leader.
    client.say("INCR n\r\nQUIT\r\n").await;
    node.has(1_001).await;
    node.apply(0);
    let heard = client.hears_rest().await;
    let lines: Vec<&str> = heard.lines().collect();
    let decided: Vec<String> = (1..=250)
        .flat_map(|n| [format!(":{n}"), format!("${}", n.to_string().len()), n.to_string()])
        .collect();
    assert_eq!(lines[..750], decided);
    for pair in lines[750..1_050].chunks(2) {
        assert!(pair[0].starts_with("-UNCERTAIN ") && pair[0].contains("7.3"), "{pair:?}");
        assert!(pair[1].starts_with("-TRYAGAIN "), "{pair:?}");
    }
    assert!(lines[1_050..1_250].iter().all(|line| line.starts_with("-CLUSTERDOWN ")), "{heard}");
    assert_eq!(lines[1_250..], [":251", "+OK"]);
}

#[tokio::test]
async fn a_client_that_is_gone_leaves_its_permits_to_others() {
    let node = Node::default();
    let limits = ClientLimits { requests_in_flight_max: 3, ..ClientLimits::default() };
    let running = Running::with(node.clone(), limits).await;
    let (mut gone, mut other) = (running.client().await, running.client().await);
    gone.say("SET a 1\r\nSET b 2\r\nSET c 3\r\n").await;
    node.has(3).await;
    other.say("SET d 4\r\nSET e 5\r\nSET f 6\r\n").await;
    // Without a farewell, and with nothing of it answered.
    gone.0.set_zero_linger().expect("an option of every system");
    drop(gone);
    node.has(6).await;
    // What it asked takes its course, and its outcomes go nowhere.
    (0..6).for_each(|_| node.apply(0));
    other.hears("+OK\r\n+OK\r\n+OK\r\n").await;
    other.say("MGET a b c\r\n").await;
    node.has(7).await;
    node.apply(0);
    other.hears("*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n").await;
}

#[tokio::test]
async fn a_client_that_takes_no_answers_keeps_no_permit() {
    let node = Node::default();
    let limits = ClientLimits {
        pipeline_max: 64,
        requests_in_flight_max: 8,
        output_bytes_max: 1 << 10,
        ..ClientLimits::default()
    };
    let running = Running::with(node.clone(), limits).await;
    let (mut deaf, mut other) = (running.client().await, running.client().await);
    other.say(&format!("SET k {}\r\n", "v".repeat(50_000))).await;
    node.has(1).await;
    node.apply(0);
    other.hears("+OK\r\n").await;
    // More than the sockets hold, of which none is taken.
    deaf.say(&"GET k\r\n".repeat(2_000)).await;
    let mut quiet = 0;
    while quiet < 20 {
        quiet = if node.settle_in_any_order(&mut Chance::new(1)) == 0 { quiet + 1 } else { 0 };
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let submitted = node.submitted();
    assert!((64..1_000).contains(&submitted), "{submitted} submitted");
    // All permits are there for others, one after the other and all at once.
    other.say(&"INCR n\r\n".repeat(8)).await;
    node.has(submitted + 8).await;
    (0..8).for_each(|_| node.apply(0));
    other.hears(":1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n:7\r\n:8\r\n").await;
    let all: String = format!("$50000\r\n{}\r\n", "v".repeat(50_000)).repeat(2_000);
    let settling = async {
        loop {
            node.settle_in_any_order(&mut Chance::new(1));
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = deaf.hears(&all) => {}
        () = settling => unreachable!("it goes on"),
    }
}

#[tokio::test]
async fn a_server_that_stops_answers_all_that_is_in_the_pipe_and_takes_no_more() {
    let node = Node::default();
    let limits = ClientLimits { pipeline_max: 100, ..ClientLimits::default() };
    let running = Running::with(node.clone(), limits).await;
    let mut client = running.client().await;
    client.say(&"INCR n\r\n".repeat(250)).await;
    node.has(100).await;
    running.stop.send(true).expect("it listens");
    // It has heard of the end before there is room again.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(node.settle_in_any_order(&mut Chance::new(3)), 100);
    let wanted: String = (1..=100).map(|n| format!(":{n}\r\n")).collect();
    assert_eq!(client.hears_rest().await, wanted);
    node.has(100).await;
    running.task.await.expect("it returns");
}

#[tokio::test]
async fn what_is_more_than_one_turn_reads_is_answered_whole() {
    let running = Running::with(Node::prompt(), ClientLimits::default()).await;
    let mut client = running.client().await;
    // Nothing else wakes the connection: no outcome, and no byte behind these.
    client.say(&"PING\r\n".repeat(60_000)).await;
    client.hears(&"+PONG\r\n".repeat(60_000)).await;
}

#[tokio::test]
async fn a_client_that_never_stops_talking_lets_others_speak() {
    let running = Running::with(Node::prompt(), ClientLimits::default()).await;
    let (mut read, mut write) = running.client().await.0.into_split();
    let mut other = running.client().await;
    let talking = async {
        let pings = "PING\r\n".repeat(10_000);
        loop {
            write.write_all(pings.as_bytes()).await.expect("the server reads");
        }
    };
    let hearing = async {
        let mut heard = vec![0; 1 << 16];
        while read.read(&mut heard).await.expect("the server answers") > 0 {}
    };
    let asking = async {
        for count in 1..=50 {
            other.say("INCR n\r\n").await;
            other.hears(&format!(":{count}\r\n")).await;
        }
    };
    tokio::select! {
        () = talking => unreachable!("it never stops"),
        () = hearing => panic!("the server has closed the connection"),
        () = asking => {}
    }
}

fn has(body: &[u8], word: &str) -> bool {
    body.windows(word.len()).any(|window| window == word.as_bytes())
}

/// The first command that was not answered as it should have been.
fn first_difference(heard: &[u8], talk: &Talk) -> String {
    let mut rest = heard;
    for (command, answer) in talk.commands.iter().zip(&talk.answers) {
        let Some(behind) = rest.strip_prefix(answer.as_bytes()) else {
            let found = String::from_utf8_lossy(&rest[..rest.len().min(100)]);
            return format!("{command:?} was answered with {found:?} in place of {answer:?}");
        };
        rest = behind;
    }
    "too much".to_owned()
}

/// Keys whose requests end otherwise.
const BUSY: &str = "busy";
const LEADERLESS: &str = "leaderless";
const LOST: &str = "lost";

const WRONG_NUMBER: &str = "ERR wrong number of arguments for '";
const UNKNOWN: &str = "ERR unknown command 'NOSUCH', with args beginning with: ";
const TOO_MANY: &str = "TRYAGAIN too many requests are in flight; it was not applied";
const NO_LEADER: &str =
    "CLUSTERDOWN no leader: too few replicas can reach each other; it was not applied";
const TRY_AGAIN: &str = "TRYAGAIN the leader was lost while this was read; nothing was changed";
