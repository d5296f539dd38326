//! Upkeep of the exchanges and queues while a connection lives: what others have deleted or
//! unbound is declared again, and readiness says what is wrong meanwhile.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lapin::Connection;
use tokio::time::Instant;

use crate::connection::Target;
use crate::topology::{Form, TAKEN, find};

/// Interval at which exchanges and queues are declared again although nothing was returned.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Interval between checks while the schedule queue is about to be replaced.
const MIGRATION_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Time that one round of declarations may take.
const DECLARE_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for which a refused message counts as a sign that the queue is full.
const FULL_MEMORY: Duration = Duration::from_secs(10);

const FULL: &str = "the schedule queue takes no message: it is full, because a policy of the broker \
                    limits it (max-length, max-length-bytes), or it has no leader just now";

/// State of the exchanges and queues, as seen on one connection.
pub(crate) struct Upkeep {
    target: Target,
    state: Mutex<State>,
    /// Time of the last round; held during one.
    declaring: tokio::sync::Mutex<Option<Instant>>,
}

struct State {
    form: Form,
    /// Why the last round failed.
    trouble: Option<String>,
    /// Time at which the queue last refused a message.
    refused: Option<Instant>,
}

impl Upkeep {
    /// Upkeep of a connection on which everything was just declared.
    pub(crate) fn new(target: Target, form: Form) -> Self {
        let state = State {
            form,
            trouble: None,
            refused: None,
        };
        Self {
            target,
            state: Mutex::new(state),
            declaring: tokio::sync::Mutex::new(None),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Exchange and routing key by which an operation is published.
    ///
    /// The default exchange leads to the queue of the key's name and nowhere else, so that a
    /// confirmation is the schedule queue's own. A queue in its earlier form is reached through
    /// the exchange, as by the earlier version: there events-writer can move its place.
    pub(crate) fn route(&self) -> (String, String) {
        match self.state().form {
            Form::Current | Form::Taken => (String::new(), self.target.schedule_queue()),
            Form::Earlier => (
                self.target.scheduler_exchange(),
                crate::topology::SCHEDULE.to_owned(),
            ),
        }
    }

    /// True if the queue's name is taken: what is published would go to a stranger.
    pub(crate) fn is_taken(&self) -> bool {
        self.state().form == Form::Taken
    }

    /// Interval to the next round.
    pub(crate) fn interval(&self) -> Duration {
        match self.state().form {
            Form::Current | Form::Taken => CHECK_INTERVAL,
            Form::Earlier => MIGRATION_CHECK_INTERVAL,
        }
    }

    /// Takes note that the queue has taken a message.
    pub(crate) fn note_taken(&self) {
        self.state().refused = None;
    }

    /// Takes note that the queue has refused a message, and says why.
    pub(crate) fn note_refused(&self) -> String {
        self.state().refused = Some(Instant::now());
        FULL.to_owned()
    }

    /// Says what is wrong, if anything is.
    pub(crate) fn check(&self) -> Result<(), String> {
        let state = self.state();
        if let Some(trouble) = &state.trouble {
            return Err(trouble.clone());
        }
        match state.refused {
            Some(at) if at.elapsed() < FULL_MEMORY => Err(FULL.to_owned()),
            _ => Ok(()),
        }
    }

    /// Declares everything again, unless that has been done since `seen`.
    pub(crate) async fn declare(
        &self,
        connection: &Connection,
        seen: Instant,
    ) -> Result<(), String> {
        let mut last = self.declaring.lock().await;
        if last.is_none_or(|last| last <= seen) {
            let round = tokio::time::timeout(DECLARE_TIMEOUT, self.round(connection)).await;
            let outcome =
                round.unwrap_or_else(|_| Err("broker: no answer to a declaration".into()));
            let mut state = self.state();
            match outcome {
                Ok(form) => {
                    state.form = form;
                    state.trouble = (form == Form::Taken).then(|| TAKEN.to_owned());
                }
                Err(trouble) => state.trouble = Some(trouble),
            }
            drop(state);
            *last = Some(Instant::now());
        }
        drop(last);
        match &self.state().trouble {
            Some(trouble) => Err(trouble.clone()),
            None => Ok(()),
        }
    }

    async fn round(&self, connection: &Connection) -> Result<Form, String> {
        let queue = self.target.schedule_queue();
        // Any other fault is what declaring it says.
        if self.state().form == Form::Current && find(connection, &queue).await == Ok(None) {
            metrics::counter!("bakehouse_schedule_queue_lost_total").increment(1);
            tracing::error!(
                "the queue {queue} was deleted, by somebody or by a policy (expires); accepted \
                 operations that were in it are lost; declaring it again"
            );
        }
        self.target.declare(connection).await
    }
}
