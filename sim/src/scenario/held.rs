//! One message at a time of those that a story holds.

use super::{Cluster, Held};

impl Cluster {
    /// Lets go the `nth` of what is held, or sends a copy of it, and holds on. False when fewer
    /// are held.
    pub fn release_one(&mut self, held: Held, nth: usize, copy: bool) -> bool {
        let world = self.world();
        let kept = copy.then(|| world.network.held(held.0).nth(nth).cloned()).flatten();
        let Some(envelope) = kept.or_else(|| world.network.take_held(held.0, nth)) else {
            return false;
        };
        world.network.force(world.now, envelope, &mut world.arrivals);
        world.post_arrivals();
        true
    }

    /// Forgets the `nth` of what is held, and holds on. False when fewer are held.
    pub fn discard_one(&mut self, held: Held, nth: usize) -> bool {
        self.world().network.take_held(held.0, nth).is_some()
    }
}
