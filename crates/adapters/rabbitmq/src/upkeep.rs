//! Upkeep of the exchanges and queues while connected: what others have deleted or unbound is
//! declared again, and readiness reports the fault meanwhile.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lapin::Connection;
use tokio::time::Instant;

use crate::connection::{Target, no_answer};
use crate::topology::{Form, NAME_TAKEN, message_count};

/// Interval at which exchanges and queues are declared again even if no message was returned.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Interval between declarations during a migration of the schedule queue.
const MIGRATION_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Timeout of declaring everything once.
const DECLARE_TIMEOUT: Duration = Duration::from_secs(5);
/// Time after a refused message for which the queue counts as full.
const REFUSAL_TTL: Duration = Duration::from_secs(10);

const QUEUE_FULL: &str = "broker: schedule queue full or without a leader; check its policies \
                          (max-length, max-length-bytes) and that events-writer runs";

/// State of the exchanges and queues, as observed on one connection.
pub(crate) struct Upkeep {
    target: Target,
    state: Mutex<State>,
    /// Time of the last declaration; locked during a declaration.
    last_declared: tokio::sync::Mutex<Option<Instant>>,
}

struct State {
    form: Form,
    /// Error of the last declaration.
    fault: Option<String>,
    /// Time of the last refused message, unless a later one was accepted.
    refused_at: Option<Instant>,
}

impl Upkeep {
    /// Creates the upkeep of a connection on which everything was just declared.
    pub(crate) fn new(target: Target, form: Form) -> Self {
        let state = State {
            form,
            fault: None,
            refused_at: None,
        };
        Self {
            target,
            state: Mutex::new(state),
            last_declared: tokio::sync::Mutex::new(None),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns exchange and routing key for operations.
    ///
    /// The default exchange routes to the queue of the key's name only, so that a confirmation
    /// comes from the schedule queue itself. A queue of an earlier version is reached through the
    /// scheduler exchange, where events-writer can bind another queue in its place.
    pub(crate) fn route(&self) -> (String, String) {
        match self.state().form {
            Form::Current | Form::Taken => (String::new(), self.target.schedule_queue()),
            Form::Earlier => (
                self.target.scheduler_exchange(),
                crate::topology::SCHEDULE.to_owned(),
            ),
        }
    }

    /// Returns whether another program's exclusive queue has the schedule queue's name.
    pub(crate) fn is_taken(&self) -> bool {
        self.state().form == Form::Taken
    }

    /// Returns the interval to the next declaration.
    pub(crate) fn interval(&self) -> Duration {
        match self.state().form {
            Form::Current | Form::Taken => CHECK_INTERVAL,
            Form::Earlier => MIGRATION_CHECK_INTERVAL,
        }
    }

    /// Records that the schedule queue has accepted a message.
    pub(crate) fn note_accepted(&self) {
        self.state().refused_at = None;
    }

    /// Records that the schedule queue has refused a message. Returns the text for an operator.
    pub(crate) fn note_refused(&self) -> String {
        self.state().refused_at = Some(Instant::now());
        QUEUE_FULL.to_owned()
    }

    /// Checks the schedule queue.
    ///
    /// # Errors
    /// A text for an operator.
    pub(crate) fn check(&self) -> Result<(), String> {
        let state = self.state();
        if let Some(fault) = &state.fault {
            return Err(fault.clone());
        }
        match state.refused_at {
            Some(at) if at.elapsed() < REFUSAL_TTL => Err(QUEUE_FULL.to_owned()),
            _ => Ok(()),
        }
    }

    /// Declares everything again, unless that has been done since `observed_at`.
    ///
    /// # Errors
    /// A text for an operator if a declaration failed.
    pub(crate) async fn declare(
        &self,
        connection: &Connection,
        observed_at: Instant,
    ) -> Result<(), String> {
        let mut last = self.last_declared.lock().await;
        if last.is_none_or(|last| last <= observed_at) {
            let declaring = self.declare_all(connection);
            let declared = tokio::time::timeout(DECLARE_TIMEOUT, declaring).await;
            let outcome = declared.unwrap_or_else(|_| Err(no_answer(DECLARE_TIMEOUT)));
            let mut state = self.state();
            match outcome {
                Ok(form) => {
                    state.form = form;
                    state.fault = (form == Form::Taken).then(|| NAME_TAKEN.to_owned());
                }
                Err(fault) => state.fault = Some(fault),
            }
            drop(state);
            *last = Some(Instant::now());
        }
        drop(last);
        match &self.state().fault {
            Some(fault) => Err(fault.clone()),
            None => Ok(()),
        }
    }

    async fn declare_all(&self, connection: &Connection) -> Result<Form, String> {
        let queue = self.target.schedule_queue();
        // Any other error is reported by the declaration below.
        if self.state().form == Form::Current && message_count(connection, &queue).await == Ok(None)
        {
            metrics::counter!("bakehouse_schedule_queue_lost_total").increment(1);
            tracing::error!(
                "queue {queue} was deleted by a user or a policy (expires); accepted operations in \
                 it are lost; declaring it again"
            );
        }
        self.target.declare(connection).await
    }
}
