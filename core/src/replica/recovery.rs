//! From what a log gives back to a replica (R2, R5, R8).

use super::Replica;
use super::acceptor::Acceptor;
use super::election::Election;
use super::learner::Learner;
use super::peer::Peer;
use super::phase1::Phase1;
use super::phase2::Phase2;
use super::roster::Roster;
use super::signs::Signs;
use super::writes::Writes;
use crate::time::nanos;
use crate::window::Window;
use crate::{
    Ballot, Boot, Config, ConfigError, Decree, Header, Incarnation, Instant, MEMBERS_MAX,
    Recovered, Slot, WriteId,
};

/// Builds a replica. Its cursors are those that the durable state justifies, and no further.
pub(super) fn recover<D: Decree>(
    config: Config,
    recovered: Recovered<D>,
    now: Instant,
) -> Result<Replica<D>, ConfigError> {
    config.check()?;
    check_log(&recovered)?;
    let me = config.configuration.index_of(config.node);
    let me = me.ok_or(ConfigError::NotAMember(config.node))?;
    let header = Header {
        cluster: config.cluster,
        group: config.group,
        epoch: config.configuration.epoch(),
        node: config.node,
        incarnation: recovered.incarnation,
        boot: recovered.boot,
    };
    // R8: an accept is a promise too.
    let accepted_in = recovered.accepted.iter().map(|proposal| proposal.ballot).max();
    let promised = recovered.promised.max(accepted_in.unwrap_or(Ballot::ZERO));
    let decided = recovered.decided;
    // R2: the contiguous run at exactly the promised ballot, never the last slot of the log.
    let run = recovered.accepted.iter().take_while(|proposal| proposal.ballot == promised);
    let accepted = decided.plus(run.count() as u64);
    let capacity = (config.limits.window * 2).max(recovered.accepted.len().next_power_of_two());
    let window = restore(recovered.accepted, capacity, decided);
    let own = (me, recovered.incarnation);
    let members = config.configuration.members();
    let roster = Roster::recovered(members, &recovered.roster, own, recovered.votes);
    let learner = Learner {
        decided,
        marked: decided,
        delivered: recovered.applied,
        applied: recovered.applied,
        read_back_to: Slot::ZERO,
        retained: recovered.retained,
        ask: None,
        at_last_tick: decided,
    };
    let in_flight_max = config.limits.writes_in_flight_max;
    let mut replica = Replica {
        me,
        header,
        now,
        stopped: false,
        acceptor: Acceptor::new(promised, decided, accepted),
        learner,
        phase1: Phase1::new(capacity),
        phase2: Phase2::default(),
        election: Election::new(config.seed, promised, now),
        roster,
        signs: Signs::ALL,
        patience: nanos(config.timeouts.election),
        writes: Writes::new(in_flight_max, promised, decided, window.end()),
        peers: [Peer::default(); MEMBERS_MAX],
        window,
        config,
    };
    replica.claim_vote();
    replica.check_invariants();
    Ok(replica)
}

fn check_log<D>(recovered: &Recovered<D>) -> Result<(), ConfigError> {
    if recovered.incarnation == Incarnation::NONE || recovered.boot == Boot(0) {
        return Err(ConfigError::LogNotFormatted);
    }
    let mut expected = recovered.decided;
    for proposal in &recovered.accepted {
        if proposal.slot != expected || proposal.ballot.is_zero() {
            return Err(ConfigError::LogNotContiguous(expected));
        }
        expected = expected.next();
    }
    if recovered.applied < recovered.retained {
        return Err(ConfigError::StateBehindLog(recovered.applied, recovered.retained));
    }
    Ok(())
}

/// The open tail, back in the window; all of it is durable.
fn restore<D: Decree>(
    accepted: alloc::vec::Vec<crate::Proposal<D>>,
    capacity: usize,
    decided: Slot,
) -> Window<D> {
    let mut window = Window::new(capacity, decided);
    for proposal in accepted {
        window.put(proposal, false);
    }
    window.written(decided, window.end(), WriteId(0));
    window
}
