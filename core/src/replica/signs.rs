//! Signs: which kinds of action may be due, so that `poll` need not look everywhere.

/// A kind of action. The order is that in which they go out: sends come before writes, so that
/// they overlap the own disk (C9).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sign {
    Leader,
    Accept,
    Accepted,
    Part,
    Prepare,
    Nack,
    Ask,
    Beat,
    Write,
    Deliver,
    Serve,
}

impl Sign {
    const ALL: [Self; 11] = [
        Self::Leader,
        Self::Accept,
        Self::Accepted,
        Self::Part,
        Self::Prepare,
        Self::Nack,
        Self::Ask,
        Self::Beat,
        Self::Write,
        Self::Deliver,
        Self::Serve,
    ];
}

/// A set of kinds of action.
///
/// A sign is a hint: whoever changes what an action depends on raises it, and `due` lowers it when
/// it has looked and found nothing. A sign too many costs a look; a sign too few would leave an
/// action undone, so in checked builds every poll looks everywhere too (`C4NothingForgotten`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Signs(u16);

impl Signs {
    pub(super) const ALL: Self = Self((1 << Sign::ALL.len()) - 1);

    pub(super) const fn raise(&mut self, sign: Sign) {
        self.0 |= 1 << sign as u16;
    }

    pub(super) const fn raise_all(&mut self) {
        *self = Self::ALL;
    }

    pub(super) const fn lower(&mut self, sign: Sign) {
        self.0 &= !(1 << sign as u16);
    }

    /// The sign of the action that goes out first.
    pub(super) fn first(self) -> Option<Sign> {
        Sign::ALL.get(self.0.trailing_zeros() as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_come_in_the_order_of_actions() {
        let mut signs = Signs::ALL;
        for sign in Sign::ALL {
            assert_eq!(signs.first(), Some(sign));
            signs.lower(sign);
        }
        assert_eq!(signs.first(), None);
        signs.raise(Sign::Write);
        signs.raise(Sign::Nack);
        assert_eq!(signs.first(), Some(Sign::Nack));
    }
}
