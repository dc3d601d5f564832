//! The user's clients, as the fleet knows them.

use std::sync::Arc;

use synod_core::service::StateMachine;

use super::{Client, Told};
use crate::app::{Application, Chooser, Crowd, Ending};
use crate::machine::{Machine, Recipe, Reply};
use crate::options::Options;
use crate::prng::Prng;

/// Makes the client of a number.
type Make<R> = Arc<dyn Fn(usize) -> Box<dyn Client<R>> + Send + Sync>;

/// Chooses operations, one after the other.
type Choose = Arc<dyn Fn(&mut Prng) -> Vec<u8> + Send + Sync>;

/// Who does something in a run.
pub(super) struct Cast<R> {
    pub(super) choose: Option<Choose>,
    pub(super) clients: Option<(usize, Make<R>)>,
    pub(super) operation_bytes_max: usize,
}

/// The user's state machine and clients.
pub(super) struct Play<'s, M: StateMachine> {
    pub(super) recipe: &'s Arc<Recipe<M>>,
    pub(super) cast: &'s Cast<M::Reply>,
}

/// The user's clients in a run.
struct Players<R> {
    choose: Option<Choose>,
    clients: Option<Vec<Box<dyn Client<R>>>>,
    operation_bytes_max: usize,
}

impl<R> Default for Cast<R> {
    fn default() -> Self {
        Self { choose: None, clients: None, operation_bytes_max: 0 }
    }
}

impl<R> Cast<R> {
    pub(super) fn is_empty(&self) -> bool {
        self.choose.is_none() && self.clients.is_none()
    }
}

impl<M> Application for Play<'_, M>
where
    M: StateMachine + 'static,
    M::Reply: Reply,
{
    fn machine(&self, durable: bool) -> Machine {
        Machine::new(self.recipe, durable)
    }

    fn crowd(&self, _options: &Options) -> Box<dyn Crowd> {
        let clients = self.cast.clients.as_ref();
        Box::new(Players {
            choose: self.cast.choose.clone(),
            clients: clients.map(|(count, make)| (0..*count).map(|number| make(number)).collect()),
            operation_bytes_max: self.cast.operation_bytes_max,
        })
    }
}

impl<R: 'static> Crowd for Players<R> {
    fn sessions(&self) -> Option<usize> {
        self.clients.as_ref().map(Vec::len)
    }

    fn choose(&mut self, chooser: Chooser, chance: &mut Prng) -> Option<Vec<u8>> {
        let operation = match (chooser, &mut self.clients) {
            (Chooser::Session(number), Some(clients)) => clients.get_mut(number)?.next(chance)?,
            (Chooser::Session(_) | Chooser::Passer, _) => self.choose.as_ref()?(chance),
        };
        assert!(
            operation.len() <= self.operation_bytes_max,
            "an operation of {} bytes: say `operation_bytes_max({})`",
            operation.len(),
            operation.len()
        );
        Some(operation)
    }

    fn hear(&mut self, session: usize, ending: &Ending) {
        let clients = self.clients.as_mut();
        let Some(client) = clients.and_then(|clients| clients.get_mut(session)) else { return };
        client.hear(match ending {
            Ending::Applied(_) => ending.reply().map_or(Told::Unknown, Told::Applied),
            Ending::Refused(_) => Told::Refused,
            Ending::Unknown => Told::Unknown,
        });
    }
}
