//! Plots: faults of several steps that need quiet between them. While one is under way, no other
//! fault of the nemesis begins; what began before goes on.

use synod_core::{Ballot, MemberIndex, Standing};

use super::hearsay::Hearsay;
use super::rings::Ring;
use super::stale::Stale;
use super::{End, Nemesis};
use crate::clock::Moment;
use crate::mischief::Cause;
use crate::network::Release;
use crate::options::Fault;
use crate::prng::PPM;
use crate::world::World;

/// What is under way.
#[derive(Clone, Debug)]
pub(super) enum Plot {
    /// Old answers come once more.
    Stale(Stale),
    /// A member hears an old leader still, and learns of the next one from a third.
    Hearsay(Hearsay),
    /// Somebody comes to lead a ring of slots behind the others.
    Ring(Ring),
}

/// How a plot goes on: after so many nanoseconds, with this. `None` when it is over.
pub(super) type Next = Option<(u64, Plot)>;

impl Nemesis {
    /// Begins the plot that a fault is, unless it found nothing to do.
    pub(super) fn plot(
        &mut self,
        world: &mut World,
        (fault, member): (Fault, MemberIndex),
        ends: &mut Vec<(Moment, End)>,
    ) -> Option<End> {
        let begun = if fault == Fault::StaleAnswers {
            Self::begin_stale(world)
        } else if fault == Fault::Hearsay {
            self.begin_hearsay(world)
        } else {
            self.begin_ring(world, member)
        };
        if begun.is_none() {
            world.gate.in_vain(Cause::Begin(fault));
        }
        self.go_on(world, begun, ends);
        None
    }

    /// The next step of what is under way.
    pub(super) fn plot_on(&mut self, world: &mut World, ends: &mut Vec<(Moment, End)>) {
        let next = match self.plot.take() {
            Some(Plot::Stale(stale)) => self.step_stale(world, stale),
            Some(Plot::Hearsay(hearsay)) => self.step_hearsay(world, hearsay),
            Some(Plot::Ring(ring)) => self.step_ring(world, ring),
            None => None,
        };
        self.go_on(world, next, ends);
    }

    fn go_on(&mut self, world: &World, next: Next, ends: &mut Vec<(Moment, End)>) {
        if let Some((wait, plot)) = next {
            self.plot = Some(plot);
            ends.push((world.now().plus(wait.max(1)), End::Plot));
        }
    }

    /// Lifts these rules.
    pub(super) fn lift_all(&mut self, world: &mut World, rules: &[u32]) {
        for rule in rules {
            self.lift(world, *rule, Release::InOrder);
        }
    }
}

/// The ballot in which a member leads.
pub(super) fn led_by(world: &World, member: MemberIndex) -> Option<Ballot> {
    let replica = world.service(member)?.replica();
    replica.leader().filter(|_| replica.standing() == Standing::Leading)
}

/// Somebody who leads, and the ballot: the one of the highest ballot.
pub(super) fn leader(world: &World) -> Option<(MemberIndex, Ballot)> {
    let leading = world.members().filter_map(|member| Some((member, led_by(world, member)?)));
    leading.max_by_key(|(_, ballot)| *ballot)
}

/// True nanoseconds in which the clock of `member` goes on by so many.
pub(super) fn true_nanos(world: &World, member: MemberIndex, nanos: u64) -> u64 {
    let rate = world.node(member).clock.rate_ppm().max(u64::from(PPM) / 10);
    (u128::from(nanos) * u128::from(PPM) / u128::from(rate)) as u64
}
