//! One turn of a process: take in everything that is ready, then pull every output. This is the
//! loop that every host has, with a fault possible at each step of it.

use bytes::Bytes;
use synod_core::service::{Input, Outcome, Output, Request};
use synod_core::wire::Payload;
use synod_core::{
    Ballot, Body, Event, Header, Instant, MemberIndex, Message, NodeSet, PeerMisbehaved, Record,
    Standing, WriteId,
};

use crate::app::{self, Answer, AnyReply, Ending};
use crate::checkers::{Caller, Cursors, Heard, RequestKey};
use crate::machine::Machine;
use crate::meter::Part;
use crate::mischief::{Cause, Gate};
use crate::node::{Item, Process, Read};
use crate::options::DiskOptions;
use crate::prng::Prng;
use crate::trace::Told;
use crate::violation::{Checked, Property, Violation, check};
use crate::world::{DEADLINE, Happening, World};
use synod_log::{DeviceFault, LogError, Operation};

/// Whether a process outlived what it did.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Alive,
    /// It dies by chance, and is started again.
    Dead,
    /// It dies where it was told to.
    Doomed,
}

impl World {
    pub(crate) fn on_turn(&mut self, member: MemberIndex, life: u32) -> Checked {
        let now = self.now;
        let node = &mut self.nodes[member.place()];
        if node.life != life {
            return Ok(());
        }
        let paused_until = node.paused_until;
        let clock = node.clock.at(now);
        let Some(process) = &mut node.process else { return Ok(()) };
        process.turn_at = None;
        if paused_until > now {
            self.wake(member);
            return Ok(());
        }
        // The worst host: it looks at its clock, is stopped, and only then reads its inputs.
        let options = self.options.process;
        let dozes = process.sampled.is_none() && self.process_prng.chance(options.doze_ppm);
        if self.gate.strikes(Cause::Doze, dozes) {
            process.sampled = Some(clock);
            let until = now.plus(self.process_prng.exponential(options.doze_nanos));
            self.pause(member, until);
            self.wake(member);
            return Ok(());
        }
        let Some(mut process) = self.nodes[member.place()].process.take() else { return Ok(()) };
        let sampled = process.sampled.take().unwrap_or(clock);
        process.told = process.told.max(sampled);
        self.checkers.begin_turn(member, process.told);
        let inbox = std::mem::take(&mut process.inbox);
        let mut checked = Ok(());
        for item in inbox {
            checked = self.take_in(member, &mut process, item);
            if checked.is_err() {
                break;
            }
        }
        let after = checked.and_then(|()| self.drain(member, &mut process));
        let ended = after.and_then(|after| {
            self.hear_applied(member, &mut process)?;
            process.service.machine_mut().forget_replies();
            self.end_turn(member, &mut process)?;
            Ok(after)
        });
        self.set_timer(member, &mut process);
        self.nodes[member.place()].process = Some(process);
        match ended? {
            After::Alive => {}
            After::Dead => {
                self.kill(member);
                let later = self.process_prng.exponential(self.options.nemesis.lasts_nanos);
                self.start_at(member, self.now.plus(later));
            }
            After::Doomed => self.meet_doom(member),
        }
        Ok(())
    }

    /// Hands an event of the host to the service, which takes it.
    fn hand_in(&mut self, process: &mut Process, told: Instant, input: Input<'_>) -> Checked {
        let outer = self.meter.enter(Part::Core);
        let taken = process.service.handle(told, input);
        self.meter.enter(outer);
        own(taken)
    }

    fn take_in(&mut self, member: MemberIndex, process: &mut Process, item: Item) -> Checked {
        let told = process.told;
        match item {
            Item::Frame(envelope) => return self.take_frame(member, process, &envelope),
            Item::Synced(upto) => {
                self.trace.tell(self.now, member, "synced", upto.0, || {
                    Told::from(format!("w{}", upto.0)).write(upto.0)
                });
                let outer = self.meter.enter(Part::Checkers);
                self.checkers.on_persisted(member, upto)?;
                self.meter.enter(outer);
                let event = Event::Persisted { upto };
                self.hand_in(process, told, Input::Replica(event))?;
            }
            Item::SyncFailed => {
                self.trace.note(self.now, member, "eio", 0, String::new);
                process.log_failed = true;
                self.hand_in(process, told, Input::Replica(Event::PersistFailed))?;
            }
            Item::Read(read) => return self.take_read(member, process, read),
            Item::Submit(request) => self.take_submit(member, process, request),
            Item::PeerUp(peer) => {
                let peer = self.nodes[peer.place()].id;
                let event = Event::PeerUp { peer };
                self.hand_in(process, told, Input::Replica(event))?;
            }
            Item::PeerDown(peer) => {
                self.checkers.on_peer_down(member, peer);
                let peer = self.nodes[peer.place()].id;
                let event = Event::PeerDown { peer };
                self.hand_in(process, told, Input::Replica(event))?;
            }
            Item::ShutDown => {
                process.shutting_down = true;
                process.service.shut_down(told);
            }
            Item::Deadline => self.hand_in(process, told, Input::Replica(DEADLINE))?,
        }
        Ok(())
    }

    /// A client submits.
    fn take_submit(&mut self, member: MemberIndex, process: &mut Process, request: Request) {
        let asked = request.clone();
        let key = RequestKey::of(&asked.body);
        let outer = self.meter.enter(Part::Core);
        let submitted = process.service.submit(process.told, request);
        self.meter.enter(outer);
        match submitted {
            Ok(id) => {
                self.checkers.on_demand(&asked);
                let usual = || process.told.after(self.options.service.request_timeout);
                let deadline = asked.deadline.unwrap_or_else(usual);
                self.checkers.on_deadline(member, id, deadline);
                process.taken += 1;
                process.requests.insert(id, key);
                self.stats.taken += 1;
                let is_tagged = self.answers.is_some();
                let machine = process.service.machine();
                self.trace.tell(self.now, member, "submit", key.0, || {
                    let what =
                        if is_tagged { app::describe(&asked.body, machine) } else { String::new() };
                    Told::from(format!("{key:?} {what}").trim_end().to_owned()).request(key)
                });
                let Header { incarnation, boot, .. } = process.header;
                let caller = Caller { node: member, incarnation, boot };
                self.checkers.on_submit(asked.body, caller, process.taken);
            }
            Err(rejected) => {
                self.stats.rejected += 1;
                self.trace.tell(self.now, member, "rejects", key.0, || {
                    Told::from(format!("{key:?}: {}", rejected.why)).request(key)
                });
                if let Some(answers) = &mut self.answers {
                    let ending = Ending::Refused(rejected.why);
                    answers.push(Answer { key, member, taken: false, ending });
                }
            }
        }
    }

    fn take_read(&mut self, member: MemberIndex, process: &mut Process, read: Read) -> Checked {
        let (from, end) = match read {
            Read::CatchUp { from, end, .. } | Read::Back { from, end } => (from, end),
        };
        let fails = self.trouble_read(member);
        let node = &mut self.nodes[member.place()];
        let outer = self.meter.enter(Part::Log);
        let read_back = node.disk.read(from, end);
        self.meter.enter(outer);
        check!(
            Recovery,
            read_back.is_ok() || process.log_failed || fails || node.trouble.is_felt(),
            "member {} cannot read {from}..{end} from its log: {read_back:?}",
            member.0
        );
        check!(
            Recovery,
            read_back.as_ref().map_or(true, |run| !run.is_empty()) || process.log_failed,
            "the log of member {} has no slot {from}, which is decided there",
            member.0
        );
        let is_back = matches!(read, Read::Back { .. });
        if is_back && read_back.is_err() && !process.log_failed {
            // The state machine cannot go on without it: that node ends, as one whose log failed.
            process.log_failed = true;
            self.restart_later(member);
            let failed = Event::PersistFailed;
            return self.hand_in(process, process.told, Input::Replica(failed));
        }
        let run = read_back.unwrap_or_default();
        let Read::CatchUp { to, decided, .. } = read else {
            if run.is_empty() {
                return Ok(());
            }
            return self.hand_in(process, process.told, Input::ReadBack { chosen: &run });
        };
        let end = from.plus(run.len() as u64);
        if !run.is_empty() {
            let message = Message::Learned { from, proposals: &run, decided };
            let place = self.nodes.iter().position(|node| node.id == to).unwrap_or_default();
            let to = NodeSet::of(MemberIndex(place as u8));
            self.transmit(member, process, to, &Payload::Replica(message))?;
        }
        let event = Event::CaughtUp { to, end };
        self.hand_in(process, process.told, Input::Replica(event))
    }

    /// Sometimes the device gets in the way of a read. Whether the read may fail then.
    fn trouble_read(&mut self, member: MemberIndex) -> bool {
        let options = self.options.disk;
        if self.gate.strikes(Cause::ShortIo, self.quirk_prng.chance(options.short_ppm)) {
            let fault = self.short();
            self.nodes[member.place()].disk.inject(Operation::Read, 0, fault);
        }
        let fails = self.quirk_prng.chance(options.read_error_ppm);
        if !self.gate.strikes(Cause::ReadFails, fails) {
            return false;
        }
        self.nodes[member.place()].disk.inject(Operation::Read, 0, DeviceFault::Error);
        true
    }

    /// Sometimes the device gets in the way of the write of this turn.
    fn trouble_write(&mut self, member: MemberIndex) {
        let options = self.options.disk;
        if self.gate.strikes(Cause::ShortIo, self.quirk_prng.chance(options.short_ppm)) {
            let fault = self.short();
            self.nodes[member.place()].disk.inject(Operation::Write, 0, fault);
        }
        if self.gate.strikes(Cause::IoFails, self.quirk_prng.chance(options.error_ppm)) {
            let (operation, nth) = self.some_operation();
            self.nodes[member.place()].disk.inject(operation, nth, DeviceFault::Error);
            self.restart_later(member);
        }
    }

    /// Whether the process outlives the action that it has just carried out.
    fn end_action(&mut self, member: MemberIndex) -> After {
        let die_ppm = self.options.process.die_at_action_ppm;
        if self.is_doomed(member) {
            return After::Doomed;
        }
        let dies = self.gate.strikes(Cause::Death, self.process_prng.chance(die_ppm));
        if dies { After::Dead } else { After::Alive }
    }

    /// Pulls every output.
    fn drain(&mut self, member: MemberIndex, process: &mut Process) -> Result<After, Violation> {
        let mut after = After::Alive;
        let mut pulled = 0;
        // The outputs borrow the service, so what else a turn needs is taken out first.
        let header = process.header;
        loop {
            let service = &mut process.service;
            let Some(output) = self.meter.during(Part::Core, move || service.poll()) else { break };
            pulled += 1;
            check!(
                Bounds,
                pulled < OUTPUTS_MAX,
                "member {} has {OUTPUTS_MAX} outputs in one turn, the last is {output:?}",
                member.0
            );
            match output {
                Output::Persist { id, record } => {
                    process.tail_is_mark = record.body == Body::Mark;
                    self.persist(member, id, record)?;
                }
                Output::Send { to, payload } => {
                    self.send(member, &header, to, &payload)?;
                }
                Output::ReadBack { from, end } => {
                    self.checkers.on_read(member, from, end)?;
                    self.read_later(member, Read::Back { from, end });
                }
                Output::CatchUp { to, from, end, decided } => {
                    self.checkers.on_read(member, from, end)?;
                    self.read_later(member, Read::CatchUp { to, from, end, decided });
                }
                Output::LeaderChanged { leader } => {
                    let open = process.requests.values().next().copied();
                    self.hear_leader(member, leader, open)?;
                }
                Output::Outcome { id, outcome } => {
                    let key = process.requests.remove(&id);
                    self.checkers.on_resolved(member, id);
                    let is_applied = matches!(outcome, Outcome::Applied { .. });
                    self.hear_applied(member, process)?;
                    let wanted = key.filter(|_| is_applied && self.answers.is_some());
                    let machine = process.service.machine_mut();
                    let reply = wanted.and_then(|key| machine.take_reply(key));
                    let machine = process.service.machine();
                    self.hear(member, machine, key, &outcome, reply)?;
                }
            }
            after = self.end_action(member);
            if after != After::Alive {
                return Ok(after);
            }
        }
        let replica = process.service.replica();
        if !replica.is_stopped() {
            let leads = replica.standing() == Standing::Leading;
            let decided = leads.then(|| replica.decided());
            self.checkers.on_drained(member, decided, process.service.deadline())?;
        }
        Ok(after)
    }

    /// A record goes to the log.
    fn persist(&mut self, member: MemberIndex, id: WriteId, record: Record<'_, Bytes>) -> Checked {
        self.trace.tell(self.now, member, "write", id.0, || Told::written(id.0, &record));
        let outer = self.meter.enter(Part::Checkers);
        self.checkers.on_persist(member, id, &record)?;
        self.meter.enter(outer);
        let disk = &mut self.nodes[member.place()].disk;
        let staged = self.meter.during(Part::Log, || disk.stage(id, record));
        let refused =
            matches!(staged, Err(LogError::TooLarge { .. } | LogError::OutOfOrder { .. }));
        check!(
            Contract,
            !refused,
            "the log of member {} does not take w{}: {staged:?}",
            member.0,
            id.0
        );
        Ok(())
    }

    /// A member tells who leads. Whoever hands nothing on tells of the lost leadership only when
    /// all requests have their outcome (A11); `open` is one that has none.
    fn hear_leader(
        &mut self,
        member: MemberIndex,
        leader: Option<Ballot>,
        open: Option<RequestKey>,
    ) -> Checked {
        let own_id = self.nodes[member.place()].id;
        let own = leader.is_some_and(|ballot| ballot.node == own_id);
        check!(
            Outcomes,
            self.options.forward || leader.is_none() || own || open.is_none(),
            "member {} does not hand on requests, and tells that {leader:?} leads while {open:?} \
             has no outcome",
            member.0
        );
        if let Some(ballot) = leader.filter(|_| own) {
            self.checkers.on_announced(member, ballot)?;
        }
        self.stats.leaders += u64::from(own);
        self.trace.tell(self.now, member, "leader", u64::from(own), || {
            let name = leader.map_or_else(|| "none".into(), |ballot| ballot.to_string());
            Told::from(if own { format!("{name}, itself") } else { name }).ballot(leader)
        });
        Ok(())
    }

    /// Tells the checkers what the state machine applied.
    fn hear_applied(&mut self, member: MemberIndex, process: &mut Process) -> Checked {
        let machine = process.service.machine_mut();
        let outer = self.meter.enter(Part::Checkers);
        machine.take_journal(&mut self.journal.0, &mut self.journal.1);
        let count = self.journal.0.len();
        for (place, applied) in self.journal.0.iter().enumerate() {
            self.trace.tell(self.now, member, "applies", applied.reply, || {
                // Replies of stories are digests, which say nothing.
                let is_tagged = self.answers.is_some();
                let reply = is_tagged.then(|| machine.tell_reply(count - 1 - place)).flatten();
                Told::applied(applied, reply.as_deref())
            });
            self.checkers.on_applied(member, applied)?;
        }
        for sealed in &self.journal.1 {
            self.checkers.on_sealed(member, sealed)?;
        }
        self.meter.enter(outer);
        let broken = machine.broken();
        let (slot, why) = broken.unwrap_or_default();
        check!(Invariant, broken.is_none(), "after slot {slot} at member {}: {why}", member.0);
        Ok(())
    }

    fn hear(
        &mut self,
        member: MemberIndex,
        machine: &Machine,
        key: Option<RequestKey>,
        outcome: &Outcome<u64>,
        reply: Option<Box<dyn AnyReply>>,
    ) -> Checked {
        let Some(key) = key else {
            return Err(Violation::new(
                Property::Outcomes,
                format!("member {} has an outcome for no request: {outcome:?}", member.0),
            ));
        };
        let (heard, place) = match *outcome {
            Outcome::Applied { reply, slot, ballot: _ } => (Heard::Applied { slot, reply }, 0),
            Outcome::Refused(_) => (Heard::Refused, 1),
            Outcome::Unknown { ballot: _ } => (Heard::Unknown, 2),
        };
        self.stats.outcomes[place] += 1;
        self.trace.tell(self.now, member, "outcome", key.0, || {
            Told::from(match (&reply, outcome) {
                (Some(reply), Outcome::Applied { slot, .. }) => {
                    let reply = machine.show_reply(&**reply);
                    format!("{key:?} applied in slot {slot}: {reply}")
                }
                (_, outcome) => format!("{key:?} {outcome:?}"),
            })
            .request(key)
        });
        let outer = self.meter.enter(Part::Checkers);
        self.checkers.on_outcome(key, heard)?;
        self.meter.enter(outer);
        let Some(answers) = &mut self.answers else { return Ok(()) };
        let ending = match (outcome, reply) {
            (Outcome::Applied { .. }, Some(reply)) => Ending::Applied(reply),
            (Outcome::Applied { .. }, None) => {
                let story = format!("member {} has no reply for {key:?}, applied", member.0);
                return Err(Violation::new(Property::Outcomes, story));
            }
            (Outcome::Refused(why), _) => Ending::Refused(*why),
            (Outcome::Unknown { ballot: _ }, _) => Ending::Unknown,
        };
        answers.push(Answer { key, member, taken: true, ending });
        Ok(())
    }

    /// Hands the staged records to the disk, and looks at the cursors.
    fn end_turn(&mut self, member: MemberIndex, process: &mut Process) -> Checked {
        let replica = process.service.replica();
        let cursors = Cursors {
            boot: process.header.boot,
            promised: replica.promised(),
            decided: replica.decided(),
            delivered: replica.delivered(),
            applied: replica.applied(),
        };
        let outer = self.meter.enter(Part::Checkers);
        self.checkers.on_turn(member, cursors)?;
        self.meter.enter(outer);
        if cursors.decided > process.decided {
            let from = std::mem::replace(&mut process.decided, cursors.decided);
            self.trace.tell(self.now, member, "decides", cursors.decided.0, || {
                Told::from(format!("{from}..{}", cursors.decided)).slots(from, cursors.decided)
            });
        }
        self.trouble_write(member);
        let outer = self.meter.enter(Part::Log);
        let node = &mut self.nodes[member.place()];
        let life = node.life;
        let written = node.disk.write();
        self.meter.enter(outer);
        let ticket = match written {
            Ok(Some(ticket)) => ticket,
            Ok(None) => return Ok(()),
            Err(_) => {
                self.give_back(member, process, Item::SyncFailed);
                return Ok(());
            }
        };
        let at = self.now.plus(sync_time(&self.options.disk, &mut self.disk_prng, &mut self.gate));
        process.sync_at = process.sync_at.max(at);
        process.last_write = Some(ticket);
        self.schedule(process.sync_at, Happening::Synced { member, life, ticket });
        Ok(())
    }

    /// Puts an item before a process that is in the middle of its turn.
    fn give_back(&mut self, member: MemberIndex, process: &mut Process, item: Item) {
        if process.log_failed {
            return;
        }
        process.inbox.push(item);
        let life = self.nodes[member.place()].life;
        process.turn_at = Some(self.now);
        self.schedule(self.now, Happening::Turn { member, life });
    }

    fn read_later(&mut self, member: MemberIndex, read: Read) {
        let later = self.disk_prng.exponential(self.options.disk.read_nanos);
        let life = self.nodes[member.place()].life;
        self.schedule(self.now.plus(later), Happening::Read { member, life, read });
    }
}

/// How long a sync takes.
fn sync_time(options: &DiskOptions, prng: &mut Prng, gate: &mut Gate) -> u64 {
    let stalled = gate.strikes(Cause::SyncStalls, prng.chance(options.stall_ppm));
    let mean = if stalled { options.stall_nanos } else { options.sync_nanos };
    options.sync_least_nanos + prng.exponential(mean)
}

/// Only messages can misbehave: what the host itself hands in is never blamed.
pub(crate) fn own(taken: Result<(), PeerMisbehaved>) -> Checked {
    taken.map_err(|fault| {
        Violation::new(Property::Contract, format!("an event of the host is blamed: {fault}"))
    })
}

/// More outputs in one turn than any limit allows: a poll that never ends.
const OUTPUTS_MAX: u32 = 100_000;
