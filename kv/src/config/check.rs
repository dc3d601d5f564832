//! From what was given to what can work.

use std::collections::HashSet;
use std::net::ToSocketAddrs;
use std::path::PathBuf;

use synod_core::service::ServiceConfig;
use synod_core::{ClusterId, ConfigError, Configuration, GroupId, MEMBERS_MAX, NodeId};
use synod_tokio::Member;

use super::{Config, Given, LogKind, Mistake, NUMBERS, Tuning};

impl Given {
    /// Checks everything that can be checked before anything starts, names of machines included.
    ///
    /// # Errors
    /// With the first mistake.
    pub fn check(self) -> Result<Config, Mistake> {
        let node = node_id("id", &required(self.id, "id", ID_ALLOWED)?)?;
        let cluster = cluster(required(self.cluster, "cluster", CLUSTER_ALLOWED)?)?;
        let peers = peers(&required(self.peers, "peers", PEERS_ALLOWED)?)?;
        let Some(own) = peers.iter().find(|peer| peer.node == node) else {
            let peers = peers.iter().map(|peer| peer.node).collect();
            return Err(Mistake::NotAPeer { id: node, peers });
        };
        let listen = match self.listen {
            Some(listen) => address("listen", &listen, false)?,
            None => own.address.clone(),
        };
        let client = address("client", &required(self.client, "client", ADDRESS_ALLOWED)?, true)?;
        let log = log_kind(self.log.as_deref(), self.data)?;
        let tuning = tuning(&self.numbers)?;
        // The node checks this again. Here it comes before anything is opened.
        let ids: Vec<NodeId> = peers.iter().map(|peer| peer.node).collect();
        workable(node, &ids, &tuning).map_err(Mistake::Unworkable)?;
        for peer in &peers {
            resolve("peers", &peer.address)?;
        }
        resolve("listen", &listen)?;
        resolve("client", &client)?;
        Ok(Config { node, cluster, listen, client, peers, log, tuning })
    }
}

fn required<T>(given: Option<T>, key: &'static str, allowed: &'static str) -> Result<T, Mistake> {
    given.ok_or(Mistake::Missing { key, allowed })
}

fn bad(key: &str, value: &str, allowed: &str) -> Mistake {
    Mistake::BadValue { key: key.to_owned(), value: value.to_owned(), allowed: allowed.to_owned() }
}

fn node_id(key: &str, text: &str) -> Result<NodeId, Mistake> {
    match text.parse() {
        Ok(id) if id > 0 => Ok(NodeId(id)),
        Ok(_) | Err(_) => Err(bad(key, text, ID_ALLOWED)),
    }
}

fn cluster(name: String) -> Result<String, Mistake> {
    let is_sound = (1..=CLUSTER_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_graphic());
    if is_sound { Ok(name) } else { Err(bad("cluster", &name, CLUSTER_ALLOWED)) }
}

fn peers(given: &[String]) -> Result<Vec<Member>, Mistake> {
    // A flag may carry several, between commas.
    let parts = given.iter().flat_map(|part| part.split(',')).map(str::trim);
    let mut peers: Vec<Member> = Vec::new();
    for part in parts.filter(|part| !part.is_empty()) {
        let (id, host) = part.split_once('=').ok_or_else(|| bad("peers", part, PEERS_ALLOWED))?;
        let (node, address) = (node_id("peers", id.trim())?, address("peers", host.trim(), false)?);
        peers.push(Member { node, address });
    }
    if peers.is_empty() || peers.len() > MEMBERS_MAX {
        return Err(bad("peers", &given.join(","), PEERS_ALLOWED));
    }
    let (mut ids, mut addresses) = (HashSet::new(), HashSet::new());
    for peer in &peers {
        if !ids.insert(peer.node) {
            return Err(Mistake::DuplicateId(peer.node));
        }
        if !addresses.insert(&peer.address) {
            return Err(Mistake::DuplicateAddress(peer.address.clone()));
        }
    }
    Ok(peers)
}

/// `host:port`, with port 0 only where nobody has to know the port beforehand.
fn address(key: &str, text: &str, may_choose: bool) -> Result<String, Mistake> {
    let allowed = || bad(key, text, ADDRESS_ALLOWED);
    let (host, port) = text.rsplit_once(':').ok_or_else(allowed)?;
    let port: u16 = port.parse().map_err(|_| allowed())?;
    let is_bracketed = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || (host.contains(':') && !is_bracketed) || (port == 0 && !may_choose) {
        return Err(allowed());
    }
    Ok(text.to_owned())
}

fn resolve(key: &'static str, address: &str) -> Result<(), Mistake> {
    let why = match address.to_socket_addrs() {
        Ok(mut addresses) => match addresses.next() {
            Some(_) => return Ok(()),
            None => "the name has no address".to_owned(),
        },
        Err(error) => error.to_string(),
    };
    Err(Mistake::Unresolvable { key, address: address.to_owned(), why })
}

fn log_kind(log: Option<&str>, data: Option<String>) -> Result<LogKind, Mistake> {
    match log {
        None | Some("file") => match required(data, "data", DATA_ALLOWED)? {
            empty if empty.is_empty() => Err(bad("data", &empty, DATA_ALLOWED)),
            data => Ok(LogKind::File(PathBuf::from(data))),
        },
        Some("memory") => Ok(LogKind::Memory),
        Some(other) => Err(bad("log", other, "file, memory")),
    }
}

fn tuning(numbers: &[(&'static str, u64)]) -> Result<Tuning, Mistake> {
    let mut tuning = Tuning::default();
    for (name, value) in numbers {
        for number in NUMBERS.iter().filter(|number| number.name == *name) {
            number
                .set(&mut tuning, *value)
                .map_err(|range| bad(name, &value.to_string(), &range))?;
        }
    }
    tuning.settle();
    let (heartbeat, timeouts) = (tuning.timeouts.heartbeat, &tuning.timeouts);
    for (key, value) in
        [("timeouts.election_ms", timeouts.election), ("timeouts.step_down_ms", timeouts.step_down)]
    {
        if value < heartbeat * 3 {
            let allowed = format!("at least three times timeouts.heartbeat_ms, {heartbeat:?}");
            return Err(bad(key, &value.as_millis().to_string(), &allowed));
        }
    }
    let notice = timeouts.notice;
    if notice > heartbeat {
        let allowed = format!("at most timeouts.heartbeat_ms, {heartbeat:?}");
        return Err(bad("timeouts.notice_ms", &notice.as_millis().to_string(), &allowed));
    }
    Ok(tuning)
}

fn workable(node: NodeId, ids: &[NodeId], tuning: &Tuning) -> Result<(), ConfigError> {
    let members = Configuration::first(ids)?;
    let mut replica = synod_core::Config::new(ClusterId(0), GroupId(0), node, members);
    replica.limits = tuning.replica;
    replica.timeouts = tuning.timeouts;
    ServiceConfig { replica, limits: tuning.service, forward: true }.check()
}

const ID_ALLOWED: &str = "a whole number from 1 to 18446744073709551615";
const CLUSTER_ALLOWED: &str = "1 to 255 visible ASCII characters without blanks";
const PEERS_ALLOWED: &str = "1 to 9 of id=host:port, between commas";
const ADDRESS_ALLOWED: &str = "host:port with a port from 1 to 65535, such as 127.0.0.1:7001 or \
                               [::1]:7001; `client` may be port 0, for any that is free";
const DATA_ALLOWED: &str = "a directory of this replica's own";

const CLUSTER_BYTES_MAX: usize = 255;
