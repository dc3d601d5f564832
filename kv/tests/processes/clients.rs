//! A client library that many programs use, against three real processes.

use crate::support;
use crate::support::{three_running, turn};
use redis::{Commands as _, ConnectionLike as _, RedisResult};

fn client(address: &str, resp3: bool) -> redis::Connection {
    let protocol = if resp3 { "?protocol=resp3" } else { "" };
    let client = redis::Client::open(format!("redis://{address}/{protocol}")).expect("an address");
    let connection = client.get_connection().expect("a connection");
    connection.set_read_timeout(Some(support::PATIENCE)).expect("a time-out");
    connection
}

/// Everything a program would do with strings.
fn everything(c: &mut redis::Connection, prefix: &str) -> RedisResult<()> {
    let key = |name: &str| format!("{prefix}:{name}");
    assert!(c.check_connection());
    let () = c.set(key("a"), "one")?;
    assert_eq!(c.get::<_, String>(key("a"))?, "one");
    assert_eq!(c.get::<_, Option<String>>(key("nosuch"))?, None);
    assert!(c.exists::<_, bool>(key("a"))?);
    assert_eq!(c.append::<_, _, i64>(key("a"), " two")?, 7);
    assert_eq!(c.strlen::<_, i64>(key("a"))?, 7);
    assert_eq!(c.getset::<_, _, String>(key("a"), "three")?, "one two");
    assert_eq!(c.get_del::<_, String>(key("a"))?, "three");
    assert_eq!(c.incr::<_, _, i64>(key("n"), 5)?, 5);
    assert_eq!(c.decr::<_, _, i64>(key("n"), 7)?, -2);
    let bytes: Vec<u8> = (0..=255).collect();
    let () = c.set(key("bytes"), &bytes)?;
    assert_eq!(c.get::<_, Vec<u8>>(key("bytes"))?, bytes);
    let () = c.mset(&[(key("x"), 1), (key("y"), 2)])?;
    let found: Vec<Option<i64>> = c.mget(&[key("x"), key("nosuch"), key("y")])?;
    assert_eq!(found, [Some(1), None, Some(2)]);
    assert_eq!(c.del::<_, i64>(&[key("x"), key("y"), key("nosuch")])?, 2);
    let set: Option<String> = redis::cmd("SET").arg(key("n")).arg(1).arg("NX").query(c)?;
    assert_eq!(set, None);
    let kind: String = redis::cmd("TYPE").arg(key("n")).query(c)?;
    assert_eq!(kind, "string");
    let info: redis::InfoDict = redis::cmd("INFO").query(c)?;
    assert!(["leader", "follower"].contains(&info.get::<String>("role").expect("a role").as_str()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_library_works_in_both_versions_on_every_replica() {
    let _turn = turn().await;
    let (cluster, _) = three_running().await;
    for id in 1..=3 {
        for resp3 in [false, true] {
            let mut connection = client(&cluster.replica(id).client, resp3);
            let prefix = format!("{id}:{resp3}");
            everything(&mut connection, &prefix)
                .unwrap_or_else(|error| panic!("node {id}, RESP3 {resp3}: {error}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_pipeline_keeps_its_order_and_errors_their_place() {
    let _turn = turn().await;
    let (cluster, _) = three_running().await;
    let mut connection = client(&cluster.replica(2).client, false);
    let mut pipe = redis::pipe();
    for _ in 0..5_000 {
        pipe.cmd("INCR").arg("count");
    }
    let counts: Vec<i64> = pipe.query(&mut connection).expect("all of them");
    assert!(counts.iter().copied().eq(1..=5_000));
    let () = connection.set("text", "no number").expect("written");
    let error = connection.incr::<_, _, i64>("text", 1).expect_err("no number");
    assert!(error.to_string().contains("not an integer"), "{error}");
    let error = redis::cmd("NOSUCH").arg("a").query::<()>(&mut connection).expect_err("unknown");
    assert!(error.to_string().contains("unknown command"), "{error}");
    // The connection goes on.
    assert_eq!(connection.incr::<_, _, i64>("count", 1).expect("a count"), 5_001);
}
