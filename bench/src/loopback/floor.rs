//! No protocol: the leader sends its commands to two others and answers once one has them.

use std::collections::VecDeque;
use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::disk::Disk;
use super::engine::Engine;
use super::wires::Wires;
use crate::core::client::Applier;

/// One of three replicas.
pub(super) struct Floor {
    place: usize,
    applier: Applier,
    /// At the leader: submitted and not sent; sent and not answered, with their count.
    fresh: Vec<Bytes>,
    sent: VecDeque<(Bytes, u64)>,
    /// Commands that the leader has answered.
    answered: u64,
    /// Commands that some follower has.
    held: u64,
    /// At a follower: batches that are not stored and told yet; those that are, not yet applied.
    arrived: Vec<Bytes>,
    waiting: VecDeque<(Bytes, u64)>,
    has: u64,
    done: u64,
    told: u64,
    ticked: bool,
}

impl Floor {
    pub(super) fn new(place: usize) -> Self {
        Self {
            place,
            applier: Applier::default(),
            fresh: Vec::new(),
            sent: VecDeque::new(),
            answered: 0,
            held: 0,
            arrived: Vec::new(),
            waiting: VecDeque::new(),
            has: 0,
            done: 0,
            told: 0,
            ticked: false,
        }
    }

    fn lead(
        &mut self,
        wires: &mut Wires,
        disk: Option<&mut Disk>,
        answers: &mut Vec<u64>,
    ) -> io::Result<()> {
        if !self.fresh.is_empty() {
            let bytes: usize = self.fresh.iter().map(|command| command.len() + 4).sum();
            let mut batch = BytesMut::with_capacity(bytes);
            for command in &self.fresh {
                batch.put_u32_le(command.len() as u32);
                batch.put_slice(command);
            }
            let count = self.fresh.len() as u64;
            self.fresh.clear();
            let batch = batch.freeze();
            self.tell(wires, &batch);
            if let Some(disk) = disk {
                wires.flush()?;
                disk.append([batch.clone()]);
            }
            self.sent.push_back((batch, count));
        }
        while let Some((batch, count)) = self.sent.front()
            && self.answered + count <= self.held
        {
            apply(batch, &mut self.applier, |number| answers.push(number));
            self.answered += count;
            self.sent.pop_front();
        }
        Ok(())
    }

    fn tell(&mut self, wires: &mut Wires, batch: &[u8]) {
        self.told = self.answered;
        for peer in [1, 2] {
            wires.frame(peer, |frame| {
                frame.put_u64_le(self.answered);
                frame.put_slice(batch);
            });
        }
    }

    fn follow(&mut self, wires: &mut Wires, disk: Option<&mut Disk>) {
        if !self.arrived.is_empty() {
            if let Some(disk) = disk {
                disk.append(self.arrived.iter().cloned());
            }
            for batch in self.arrived.drain(..) {
                let mut count = 0;
                each(&batch, |_| count += 1);
                self.has += count;
                self.waiting.push_back((batch, count));
            }
            wires.frame(0, |frame| frame.put_u64_le(self.has));
        }
        while let Some((batch, count)) = self.waiting.front()
            && self.applier.applied() + count <= self.done
        {
            apply(batch, &mut self.applier, |_| {});
            self.waiting.pop_front();
        }
    }
}

fn each(mut batch: &[u8], mut each: impl FnMut(&[u8])) {
    while !batch.is_empty() {
        let len = batch.get_u32_le() as usize;
        let (command, rest) = batch.split_at(len);
        each(command);
        batch = rest;
    }
}

fn apply(batch: &[u8], applier: &mut Applier, mut answered: impl FnMut(u64)) {
    each(batch, |command| answered(applier.apply(command)));
}

impl Engine for Floor {
    fn leads(&self) -> bool {
        self.place == 0
    }

    fn submit(&mut self, command: Bytes) {
        self.fresh.push(command);
    }

    fn receive(&mut self, _: usize, mut frame: Bytes, _: &mut Wires) {
        let number = frame.get_u64_le();
        if self.place == 0 {
            self.held = self.held.max(number);
            return;
        }
        self.done = number;
        if !frame.is_empty() {
            self.arrived.push(frame);
        }
    }

    fn tick(&mut self) {
        self.ticked = true;
    }

    fn turn(
        &mut self,
        wires: &mut Wires,
        disk: Option<&mut Disk>,
        answers: &mut Vec<u64>,
    ) -> io::Result<()> {
        if self.place == 0 {
            self.lead(wires, disk, answers)?;
            // Whoever has the last batch learns at some time that it is answered.
            if std::mem::take(&mut self.ticked) && self.told < self.answered {
                self.tell(wires, &[]);
            }
        } else {
            self.follow(wires, disk);
        }
        Ok(())
    }

    fn applied(&self) -> u64 {
        self.applier.applied()
    }
}
