//! How a node starts, and what becomes of one whose log does not open.

use synod_core::service::{Service, ServiceConfig};
use synod_core::wire::Decoder;
use synod_core::{ClusterId, Config, GroupId, MemberIndex};
use synod_log::{DeviceFault, Keep, OpenError, Operation};

use crate::atlas::Harmed;
use crate::clock::Moment;
use crate::meter::Part;
use crate::mischief::Cause;
use crate::node::Process;
use crate::violation::{Checked, Property, Violation, check};
use crate::world::{CLUSTER, GROUP, World};

/// What is wrong with the disk of a node, so that its log must not open.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trouble {
    /// It is damaged where its log must notice. It stays so.
    pub harmed: Option<Harmed>,
    /// The next read shows other bytes, once.
    pub misread: bool,
    /// It is the disk of another node.
    pub exchanged: bool,
}

impl Trouble {
    /// Whether reads may fail that otherwise must not.
    #[must_use]
    pub const fn is_felt(&self) -> bool {
        self.harmed.is_some() || self.misread
    }

    /// A log was opened: nothing must have been wrong with it.
    pub(crate) fn allows_start(&mut self, member: MemberIndex) -> Checked {
        self.misread = false;
        check!(
            Recovery,
            self.harmed.is_none(),
            "member {} starts on a damaged disk as if nothing had happened: {:?}",
            member.0,
            self.harmed
        );
        check!(Recovery, !self.exchanged, "member {} starts on the disk of another", member.0);
        Ok(())
    }
}

impl World {
    /// Starts the process at `member`, unless it runs or its log does not open.
    pub(crate) fn start(&mut self, member: MemberIndex) -> Result<(), Violation> {
        let broken = |story: String| Violation::new(Property::Recovery, story);
        let config = self.service_config(member);
        let now = self.now;
        if self.nodes[member.place()].process.is_some() {
            return Ok(());
        }
        self.trouble_start(member);
        let node = &mut self.nodes[member.place()];
        let outer = self.meter.enter(Part::Log);
        let shows = node.trouble == Trouble::default() && node.disk.open_grave();
        if shows {
            self.trace.note(now, member, "shows", 0, || "a dead record again".into());
        }
        let recovered = node.disk.recover();
        self.meter.enter(outer);
        let recovered = match recovered {
            Ok(recovered) => recovered,
            Err(error) => return self.on_refusal(member, &error),
        };
        node.trouble.allows_start(member)?;
        let machine = node.machine.reopened();
        self.checkers.on_start(member, &recovered, machine.end())?;
        let (boot, decided) = (recovered.boot, recovered.decided);
        self.trace.note(now, member, "starts", boot.0, || {
            format!(
                "run {} promised={} decided={} open={} votes={}",
                boot.0,
                recovered.promised,
                recovered.decided,
                recovered.accepted.len(),
                recovered.votes
            )
        });
        let local = node.clock.at(now);
        let decoder = Decoder::with_crc(crc32c::crc32c_append, &config.replica.limits);
        let service = Service::new(config, recovered, machine, local)
            .map_err(|error| broken(format!("member {} does not start: {error}", member.0)))?;
        let header = service.replica().header();
        node.life += 1;
        node.process = Some(Box::new(Process {
            service,
            header,
            decoder,
            inbox: Vec::new(),
            turn_at: None,
            timer_at: Moment::NEVER,
            sampled: None,
            told: local,
            requests: std::collections::BTreeMap::new(),
            taken: 0,
            sync_at: now,
            last_write: None,
            tail_is_mark: false,
            decided,
            log_failed: false,
            shutting_down: false,
        }));
        if self.options.hints {
            self.hint_up(member);
        }
        self.wake(member);
        Ok(())
    }

    /// Sometimes the device gets in the way of a start.
    fn trouble_start(&mut self, member: MemberIndex) {
        let options = self.options.disk;
        if self.gate.strikes(Cause::ShortIo, self.quirk_prng.chance(options.short_ppm)) {
            let fault = self.short();
            self.nodes[member.place()].disk.inject(Operation::Read, 0, fault);
        }
        if self.gate.strikes(Cause::IoFails, self.quirk_prng.chance(options.error_ppm)) {
            let (operation, nth) = self.some_operation();
            self.nodes[member.place()].disk.inject(operation, nth, DeviceFault::Error);
        }
    }

    /// The log of `member` does not open. It must have a reason, and say it.
    fn on_refusal(&mut self, member: MemberIndex, error: &OpenError) -> Checked {
        let node = &mut self.nodes[member.place()];
        if matches!(error, OpenError::Device(_) | OpenError::Full { .. }) {
            // Whoever runs the node starts it again.
            if node.disk.device().has_power() {
                node.disk.end_run();
            } else {
                node.disk.cut_power(Keep::Some(self.quirk_prng.bits()));
            }
            node.trouble.misread = false;
            self.trace.note(self.now, member, "eio", 1, || format!("does not start: {error}"));
            let later = self.disk_prng.exponential(RESTART_NANOS);
            self.start_at(member, self.now.plus(later));
            return Ok(());
        }
        self.trace.note(self.now, member, "refuses", 0, || error.to_string());
        self.stats.refusals += 1;
        let trouble = node.trouble.clone();
        let told = match (&trouble.harmed, trouble.exchanged, trouble.misread) {
            (_, true, _) => matches!(error, OpenError::OtherNode { .. }),
            (Some(harmed), _, false) => harmed.is_told_by(error),
            (Some(_), _, true) | (None, _, true) => matches!(error, OpenError::Damaged(_)),
            (None, _, false) => false,
        };
        check!(
            Recovery,
            told,
            "member {} does not start, because {error}; but what is wrong is {trouble:?}",
            member.0
        );
        if trouble.exchanged {
            return Ok(());
        }
        if trouble.misread {
            // The disk is fine: the next start finds it so.
            node.disk.end_run();
            node.trouble.misread = false;
            self.start_at(member, self.now.plus(RESTART_NANOS));
        } else if !self.is_sound && self.quirk_prng.chance(500_000) {
            self.wipe(member);
            self.start_at(member, self.now.plus(RESTART_NANOS));
        }
        Ok(())
    }

    /// A call that does less than it was asked to, which is no failure.
    pub(crate) fn short(&mut self) -> DeviceFault {
        match self.quirk_prng.below(200) {
            0..100 => DeviceFault::Interrupted,
            bytes => DeviceFault::Short(bytes as usize - 99),
        }
    }

    /// An operation of a device, and which of the coming ones.
    pub(crate) fn some_operation(&mut self) -> (Operation, u64) {
        let operation = self.quirk_prng.pick(&[
            Operation::Write,
            Operation::Write,
            Operation::Sync,
            Operation::Create,
            Operation::Rename,
            Operation::Truncate,
            Operation::SyncDirectory,
        ]);
        (operation, self.quirk_prng.below(3))
    }

    fn service_config(&self, member: MemberIndex) -> ServiceConfig {
        let node = self.nodes[member.place()].id;
        let mut replica =
            Config::new(ClusterId(CLUSTER), GroupId(GROUP), node, self.configuration.clone());
        replica.seed = self.options.seed.wrapping_mul(31).wrapping_add(node.0);
        replica.limits = self.options.limits;
        replica.timeouts = self.options.timeouts;
        let mut config = ServiceConfig::new(replica);
        config.limits = self.options.service;
        config.forward = self.options.forward;
        config
    }
}

/// How long a node that did not start stays down, in the mean.
const RESTART_NANOS: u64 = 100_000_000;
