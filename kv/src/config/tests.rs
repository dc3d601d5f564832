//! Each mistake, and what it says.

use super::*;

fn sound() -> Given {
    Given {
        id: Some("2".to_owned()),
        cluster: Some("test".to_owned()),
        listen: None,
        client: Some("127.0.0.1:0".to_owned()),
        peers: Some(vec!["1=127.0.0.1:7001,2=127.0.0.1:7002, 3=[::1]:7003".to_owned()]),
        data: Some("data".to_owned()),
        log: None,
        numbers: Vec::new(),
    }
}

fn mistake(change: impl FnOnce(&mut Given)) -> String {
    let mut given = sound();
    change(&mut given);
    given.check().expect_err("a mistake").to_string()
}

fn toml_mistake(text: &str) -> String {
    Given::from_toml(text, "kv.toml").expect_err("a mistake").to_string()
}

/// Whether every word of `words` stands in `text`.
#[track_caller]
fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
}

#[test]
fn sound_settings() {
    let config = sound().check().expect("sound");
    assert_eq!(config.node, NodeId(2));
    assert_eq!(config.peers.len(), 3);
    assert_eq!(config.listen, "127.0.0.1:7002", "its own address, unless another is given");
    assert_eq!(config.log, LogKind::File("data".into()));
    let memory = Given { log: Some("memory".to_owned()), data: None, ..sound() };
    assert_eq!(memory.check().expect("sound").log, LogKind::Memory);
}

#[test]
fn a_file_with_everything_and_flags_that_win() {
    let text = r#"
        id = 3
        cluster = "orders"
        listen = "0.0.0.0:7003"
        client = "127.0.0.1:6379"
        peers = ["2=127.0.0.1:7002", "3=127.0.0.1:7003"]
        data = "d"
        log = "file"
        [limits]
        pipeline_max = 7
        request_bytes_max = 2097152
        [timeouts]
        heartbeat_ms = 20
        request_ms = 1500
    "#;
    let file = Given::from_toml(text, "kv.toml").expect("sound");
    let config = file.clone().check().expect("sound");
    assert_eq!((config.node, config.cluster.as_str()), (NodeId(3), "orders"));
    assert_eq!(config.listen, "0.0.0.0:7003");
    assert_eq!(config.tuning.clients.pipeline_max, 7);
    assert_eq!(config.tuning.timeouts.heartbeat.as_millis(), 20);
    assert_eq!(config.tuning.service.request_timeout.as_millis(), 1500);
    assert!(config.tuning.replica.decree_bytes_max > 2_097_152, "it follows");
    let flags = Given { id: Some("2".to_owned()), ..Given::default() };
    let both = flags.or(file).check().expect("sound");
    assert_eq!((both.node, both.cluster.as_str()), (NodeId(2), "orders"));
}

#[test]
fn what_is_missing_is_named() {
    type Take = fn(&mut Given);
    let cases: [(&str, Take); 5] = [
        ("id", |given| given.id = None),
        ("cluster", |given| given.cluster = None),
        ("client", |given| given.client = None),
        ("peers", |given| given.peers = None),
        ("data", |given| given.data = None),
    ];
    for (key, take) in cases {
        let text = mistake(take);
        says(&text, &[&format!("`{key}` is not set"), &format!("--{key}"), "allowed: "]);
    }
}

#[test]
fn bad_values_are_named_with_what_is_allowed() {
    let peers = |text: &str| {
        let peers = vec![text.to_owned()];
        mistake(|given| given.peers = Some(peers))
    };
    says(&mistake(|given| given.id = Some("0".to_owned())), &["`id` is \"0\"", "from 1"]);
    says(&mistake(|given| given.id = Some("one".to_owned())), &["`id` is \"one\""]);
    says(&mistake(|given| given.cluster = Some("a b".to_owned())), &["`cluster`", "ASCII"]);
    says(&mistake(|given| given.cluster = Some(String::new())), &["`cluster`"]);
    says(
        &mistake(|given| given.log = Some("disk".to_owned())),
        &["`log` is \"disk\"", "file, memory"],
    );
    says(&mistake(|given| given.data = Some(String::new())), &["`data`", "directory"]);
    for bad in ["127.0.0.1", "127.0.0.1:", ":7001", "127.0.0.1:x", "127.0.0.1:70000", "::1:7001"] {
        says(
            &mistake(|given| given.client = Some(bad.to_owned())),
            &["`client`", bad, "host:port"],
        );
        says(&mistake(|given| given.listen = Some(bad.to_owned())), &["`listen`", bad]);
        says(&peers(&format!("1={bad},2=127.0.0.1:7002")), &["`peers`", bad]);
    }
    says(&mistake(|given| given.listen = Some("127.0.0.1:0".to_owned())), &["`listen`"]);
    says(&peers("127.0.0.1:7002"), &["`peers`", "id=host:port"]);
    says(&peers(""), &["`peers`"]);
    let ten: Vec<String> = (1..=10).map(|id| format!("{id}=127.0.0.1:{}", 7000 + id)).collect();
    says(&peers(&ten.join(",")), &["`peers`", "1 to 9"]);
}

#[test]
fn who_is_who() {
    let peers = |text: &str| {
        let peers = vec![text.to_owned()];
        mistake(|given| given.peers = Some(peers))
    };
    says(&peers("1=127.0.0.1:1,2=127.0.0.1:2,1=127.0.0.1:3"), &["node 1 twice"]);
    says(&peers("1=127.0.0.1:1,2=127.0.0.1:1"), &["127.0.0.1:1 twice"]);
    says(&mistake(|given| given.id = Some("9".to_owned())), &["`id` is 9", "1, 2, 3"]);
}

#[test]
fn a_name_without_an_address() {
    let text = mistake(|given| {
        given.peers = Some(vec!["2=127.0.0.1:7002,1=no-such-host.invalid:7001".to_owned()]);
    });
    says(&text, &["`peers`", "no-such-host.invalid:7001", "cannot be resolved", "IP address"]);
}

#[test]
fn unknown_keys_are_named_with_the_nearest() {
    says(&toml_mistake("clutser = \"a\""), &["`clutser`", "did you mean `cluster`?", "peers"]);
    says(&toml_mistake("zzzzzz = 1"), &["`zzzzzz`", "Allowed here: id, cluster"]);
    assert!(!toml_mistake("zzzzzz = 1").contains("did you mean"));
    let text = toml_mistake("[limits]\nclient_max = 1");
    says(&text, &["`limits.client_max`", "did you mean `limits.clients_max`?"]);
    says(&toml_mistake("[timeouts]\nheartbeat = 1"), &["`timeouts.heartbeat_ms`?"]);
}

#[test]
fn wrong_types_and_no_toml() {
    says(&toml_mistake("id = \"1\""), &["`id`", "whole number"]);
    says(&toml_mistake("id = -1"), &["`id` is \"-1\"", "whole number"]);
    says(&toml_mistake("cluster = 1"), &["`cluster`", "text"]);
    says(&toml_mistake("peers = \"1=a:1\""), &["`peers`", "list"]);
    says(&toml_mistake("limits = 3"), &["`limits`", "section"]);
    says(&toml_mistake("[limits]\nargs_max = true"), &["`limits.args_max`", "true"]);
    says(&toml_mistake("id = 1\nid = 2"), &["kv.toml", "line 2"]);
    says(&toml_mistake("id = = 1"), &["kv.toml", "line 1"]);
    let missing = Given::from_file("no/such/file.toml".as_ref()).expect_err("no file");
    says(&missing.to_string(), &["no/such/file.toml", "cannot read"]);
}

#[test]
fn numbers_have_ranges() {
    for number in NUMBERS {
        let below = number.min.checked_sub(1);
        for value in below.into_iter().chain([number.max + 1]) {
            let text = mistake(|given| given.numbers = vec![(number.name, value)]);
            says(&text, &[number.name, &value.to_string()]);
            says(&text, &[&number.min.to_string(), &number.max.to_string()]);
        }
    }
    let text = mistake(|given| given.numbers = vec![("timeouts.heartbeat_ms", 200)]);
    says(&text, &["timeouts.election_ms", "three times"]);
    let text = mistake(|given| given.numbers = vec![("timeouts.notice_ms", 51)]);
    says(&text, &["timeouts.notice_ms", "at most timeouts.heartbeat_ms"]);
}

#[test]
fn the_ends_of_every_range_work_by_themselves() {
    let at = |name, value| Given { numbers: vec![(name, value)], ..sound() }.check();
    for number in NUMBERS {
        for value in [number.min, number.max] {
            // Timeouts that must keep a distance from the heartbeat cannot go as low.
            match at(number.name, value) {
                Ok(_) => {}
                Err(mistake) => says(&mistake.to_string(), &["heartbeat"]),
            }
        }
    }
    let limits = NUMBERS.iter().filter(|number| number.name.starts_with("limits."));
    for number in limits {
        assert!(at(number.name, number.min).is_ok(), "{}", number.name);
        assert!(at(number.name, number.max).is_ok(), "{}", number.name);
    }
}

#[test]
fn limits_that_follow_from_others() {
    let tuning = sound().check().expect("sound").tuning;
    assert_eq!(tuning.replica.decree_bytes_max, Limits::default().decree_bytes_max);
    assert!(tuning.transport.submits_waiting_max >= tuning.clients.requests_in_flight_max);
    let numbers = vec![("limits.request_bytes_max", 1 << 10)];
    let small = Given { numbers, ..sound() }.check().expect("sound").tuning;
    assert!(small.service.batch_bytes_max <= small.replica.decree_bytes_max);
}

#[test]
fn the_settings_of_the_manual_are_the_defaults_and_all_there_are() {
    let manual = include_str!("../../README.md");
    let toml = manual.split("```toml").nth(1).expect("an example");
    let toml = toml.split("```").next().expect("its end");
    let given = Given::from_toml(toml, "README.md").expect("sound");
    let named: Vec<&str> = given.numbers.iter().map(|(name, _)| *name).collect();
    for number in NUMBERS {
        assert!(named.contains(&number.name), "the manual does not name {}", number.name);
    }
    assert_eq!(given.check().expect("sound").tuning, sound().check().expect("sound").tuning);
}
