//! omnipaxos behind the loop. Its leader counts itself as soon as it appends, so with files it
//! sends first, syncs meanwhile, and only then hears what the others have. What is appended in one
//! turn is one batch, which a tick sends; other clocks count in thousands of ticks.

use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use omnipaxos::OmniPaxos;
use omnipaxos::messages::Message;

use super::codec;
use super::disk::Disk;
use super::engine::Engine;
use super::wires::Wires;
use crate::core::client::Applier;
use crate::core::omnipaxos::{BATCH, Command, Store, TICKS, server};
use crate::core::tail::LONG;

/// One of three replicas.
pub(super) struct Omnipaxos {
    place: usize,
    replica: OmniPaxos<Command, Store>,
    store: Store,
    stored: usize,
    applied: usize,
    applier: Applier,
    messages: Vec<Message<Command>>,
    /// Something was appended since the last batch left.
    is_fresh: bool,
    /// For so many ticks this replica has led.
    leads_for: u64,
}

impl Omnipaxos {
    pub(super) fn new(place: usize) -> Self {
        let store = Store::new(LONG);
        let replica = server(place as u64 + 1, 1, BATCH, ELECTION * TICKS, store.clone());
        let applier = Applier::default();
        Self {
            place,
            replica,
            store,
            stored: 0,
            applied: 0,
            applier,
            messages: Vec::new(),
            is_fresh: false,
            leads_for: 0,
        }
    }

    fn send(&mut self, wires: &mut Wires) {
        self.replica.take_outgoing_messages(&mut self.messages);
        for message in self.messages.drain(..) {
            let receiver = message.get_receiver() as usize - 1;
            wires.frame(receiver, |frame| codec::put_omnipaxos(&message, frame));
        }
    }

    fn persist(&mut self, disk: &mut Disk) {
        let mut batch = BytesMut::new();
        self.stored = self.store.since(self.stored, |command| {
            batch.put_u32_le(command.len() as u32);
            batch.put_slice(command);
        });
        if !batch.is_empty() {
            disk.append([batch.freeze()]);
        }
    }
}

impl Engine for Omnipaxos {
    fn leads(&self) -> bool {
        // The first leader is often not the last.
        self.leads_for > 4 * ELECTION
    }

    fn submit(&mut self, command: Bytes) {
        self.replica.append(Command(command)).expect("the leader takes it");
        self.is_fresh = true;
    }

    fn receive(&mut self, _: usize, frame: Bytes, _: &mut Wires) {
        self.replica.handle_incoming(codec::get_omnipaxos(frame));
    }

    fn tick(&mut self) {
        (0..TICKS).for_each(|_| self.replica.tick());
        let leads = self.place == 0 && self.replica.get_current_leader() == Some((1, true));
        self.leads_for = if leads { self.leads_for + 1 } else { 0 };
    }

    fn turn(
        &mut self,
        wires: &mut Wires,
        disk: Option<&mut Disk>,
        answers: &mut Vec<u64>,
    ) -> io::Result<()> {
        if std::mem::take(&mut self.is_fresh) {
            self.replica.tick();
        }
        if let Some(disk) = disk {
            if self.place == 0 {
                self.send(wires);
                wires.flush()?;
            }
            self.persist(disk);
        }
        self.send(wires);
        let decided = self.replica.get_decided_idx();
        let applying = self.applied..decided;
        self.store.apply(applying, &mut self.applier, |number| answers.push(number));
        self.applied = decided;
        Ok(())
    }

    fn applied(&self) -> u64 {
        self.applier.applied()
    }
}

/// The rounds of an election are so many ticks of the loop apart.
const ELECTION: u64 = 10;
