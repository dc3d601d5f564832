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
pub(super) struct Signs {
    raised: u16,
    /// How often everything was raised: whoever keeps something that it derived from promises,
    /// leaderships and the log's failure derives it again when this has moved.
    changes: u64,
}

impl Signs {
    pub(super) const ALL: Self = Self { raised: (1 << Sign::ALL.len()) - 1, changes: 0 };

    pub(super) const fn raise(&mut self, sign: Sign) {
        self.raised |= 1 << sign as u16;
    }

    pub(super) const fn raise_all(&mut self) {
        self.raised = Self::ALL.raised;
        self.changes += 1;
    }

    pub(super) const fn raise_if(&mut self, condition: bool, sign: Sign) {
        self.raised |= (condition as u16) << sign as u16;
    }

    /// Lowers one sign: whoever does so knows that nothing of its kind is due.
    pub(super) const fn lower(&mut self, sign: Sign) {
        self.raised &= !(1 << sign as u16);
    }

    /// Lowers the sign of the action that goes out first.
    pub(super) const fn lower_first(&mut self) {
        self.raised &= self.raised.wrapping_sub(1);
    }

    pub(super) const fn is_empty(self) -> bool {
        self.raised == 0
    }

    pub(super) const fn changes(self) -> u64 {
        self.changes
    }

    /// The sign of the action that goes out first.
    pub(super) fn first(self) -> Option<Sign> {
        Sign::ALL.get(self.raised.trailing_zeros() as usize).copied()
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
            signs.lower_first();
        }
        assert_eq!(signs.first(), None);
        signs.raise(Sign::Write);
        signs.raise(Sign::Nack);
        assert_eq!(signs.first(), Some(Sign::Nack));
    }

    #[test]
    fn one_sign_is_lowered_and_the_others_stay() {
        for lowered in Sign::ALL {
            let mut signs = Signs::ALL;
            signs.lower(lowered);
            for sign in Sign::ALL.into_iter().filter(|sign| *sign != lowered) {
                assert_eq!(signs.first(), Some(sign));
                signs.lower_first();
            }
            assert_eq!(signs.first(), None);
        }
    }
}
