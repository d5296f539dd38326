//! Check of the policies on the queues: at intervals for readiness, and once for an audit.
//!
//! Operations never wait for the check. A management API that does not answer is reported in a note
//! of readiness, but does not make it fail.

use std::time::Duration;

use async_trait::async_trait;
use bakehouse_engine::ports::{Probe, QueueInspector, QueueRisk, StoreError};
use tokio::sync::watch;

use crate::connection::{ConnectError, Settings, Target};
use crate::management::Management;
use crate::queue_risks::{Queue, Queues};

/// Interval between checks. The broker itself takes some seconds to report a changed policy.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Timeout of the checks of all queues together.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout of readiness for the first check.
const FIRST_CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// Check of a broker's queues through its management API.
#[derive(Clone)]
pub(crate) struct PolicyCheck {
    management: Management,
    target: Target,
}

impl PolicyCheck {
    /// Creates the check; `None` if no management API is configured.
    ///
    /// # Errors
    /// [`ConnectError`] if the URI of the management API is invalid.
    pub(crate) fn new(settings: &Settings, target: Target) -> Result<Option<Self>, ConnectError> {
        let Some(uri) = &settings.management_uri else {
            return Ok(None);
        };
        let management = Management::new(uri, target.vhost())?;
        Ok(Some(Self { management, target }))
    }

    async fn queue(&self, name: String) -> Result<Option<Queue>, String> {
        let state = self.management.queue(&name).await?;
        Ok(state.map(|state| Queue { name, state }))
    }

    /// Finds the risks of all queues.
    ///
    /// # Errors
    /// A text for an operator if the API does not answer.
    async fn check(&self) -> Result<Vec<QueueRisk>, String> {
        let checking = async {
            let target = &self.target;
            let schedule = self.queue(target.schedule_queue()).await?;
            let moving = self.queue(target.moving_queue()).await?;
            let queues = Queues {
                vhost: self.management.vhost().to_owned(),
                dead_letter_exchange: target.dead_letter_exchange(),
                scheduled: schedule.into_iter().chain(moving).collect(),
                dead_letters: self.queue(target.dead_letter_queue()).await?,
                parked: self.queue(target.parked_queue()).await?,
                stream: self.queue(target.dead_letter_stream()).await?,
            };
            if queues.scheduled.is_empty() {
                let queue = target.schedule_queue();
                return Err(format!("management API: queue {queue} not found"));
            }
            match queues.unknown() {
                Some(queue) => Err(format!(
                    "management API: policies of queue {queue} not reported yet"
                )),
                None => Ok(queues.risks()),
            }
        };
        let checked = tokio::time::timeout(CHECK_TIMEOUT, checking).await;
        checked.unwrap_or_else(|_| {
            let seconds = CHECK_TIMEOUT.as_secs();
            Err(format!("management API: not checked within {seconds} s"))
        })
    }
}

#[async_trait]
impl QueueInspector for PolicyCheck {
    async fn risks(&self) -> Result<Vec<QueueRisk>, StoreError> {
        self.check().await.map_err(StoreError::Unavailable)
    }
}

/// Result of a check: the risks, or the reason why there is no result.
type Outcome = Result<Vec<QueueRisk>, String>;

/// Readiness probe of the policies.
pub(crate) struct PolicyProbe {
    /// Result of the last check; `None` if no management API is configured.
    last: Option<watch::Receiver<Option<Outcome>>>,
}

impl PolicyProbe {
    /// Starts the checks, which run until the probe is dropped.
    pub(crate) fn start(check: Option<PolicyCheck>) -> Self {
        let Some(check) = check else {
            tracing::info!(
                "policies on the broker's queues are not checked: amqp.management_uri is not set"
            );
            return Self { last: None };
        };
        let (sender, last) = watch::channel(None);
        tokio::spawn(run_checks(check, sender));
        Self { last: Some(last) }
    }
}

#[async_trait]
impl Probe for PolicyProbe {
    fn name(&self) -> &str {
        "broker policies"
    }

    async fn check(&self) -> Result<(), String> {
        let Some(last) = &self.last else {
            return Ok(());
        };
        let mut last = last.clone();
        let first = tokio::time::timeout(FIRST_CHECK_TIMEOUT, last.wait_for(Option::is_some));
        // After a timeout the note says that nothing has been checked yet.
        let _ = first.await;
        match &*last.borrow() {
            Some(Ok(risks)) if !risks.is_empty() => Err(describe(risks)),
            _ => Ok(()),
        }
    }

    fn note(&self) -> Option<String> {
        match &*self.last.as_ref()?.borrow() {
            Some(Ok(_)) => None,
            Some(Err(reason)) => Some(format!("not checked: {reason}")),
            None => Some("not checked yet".into()),
        }
    }
}

fn describe(risks: &[QueueRisk]) -> String {
    let descriptions = risks.iter().map(|risk| {
        let QueueRisk { what, fix, .. } = risk;
        format!("{what} (fix: {fix})")
    });
    descriptions.collect::<Vec<_>>().join("; ")
}

/// Checks at intervals until the receiver is dropped. Logs each change of the result once.
async fn run_checks(check: PolicyCheck, last: watch::Sender<Option<Outcome>>) {
    while !last.is_closed() {
        let outcome = check.check().await;
        record_metrics(&outcome);
        log_change(last.borrow().as_ref(), &outcome);
        let _ = last.send_replace(Some(outcome));
        tokio::select! {
            () = tokio::time::sleep(CHECK_INTERVAL) => {}
            () = last.closed() => return,
        }
    }
}

fn record_metrics(outcome: &Outcome) {
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    let risks = outcome
        .as_ref()
        .map_or(f64::NAN, |risks| risks.len() as f64);
    metrics::gauge!("bakehouse_queue_risks").set(risks);
    let errors = metrics::counter!("bakehouse_queue_check_errors_total");
    errors.increment(u64::from(outcome.is_err()));
}

fn log_change(before: Option<&Outcome>, now: &Outcome) {
    match (before, now) {
        (Some(Err(_)), Err(_)) => {}
        (_, Err(reason)) => {
            tracing::warn!("policies on the broker's queues are not checked: {reason}");
        }
        (Some(Ok(before)), Ok(risks)) if before == risks => {}
        (Some(Ok(_)), Ok(risks)) if risks.is_empty() => {
            tracing::info!("policies on the broker's queues checked: no risks left");
        }
        (_, Ok(risks)) if risks.is_empty() => {
            tracing::info!("policies on the broker's queues checked: no risks found");
        }
        (_, Ok(risks)) => {
            let risks = describe(risks);
            tracing::error!("accepted operations can be lost at the broker: {risks}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn risk() -> QueueRisk {
        QueueRisk {
            queue: "schedule".into(),
            what: "queue schedule: policy \"p\" sets expires=1: deleted".into(),
            fix: "rabbitmqctl clear_policy -p / p".into(),
        }
    }

    #[tokio::test]
    async fn a_risk_is_not_ready_and_a_missing_check_is_noted() {
        let (sender, last) = watch::channel(None);
        let probe = PolicyProbe { last: Some(last) };
        assert_eq!(probe.check().await, Ok(()));
        assert_eq!(probe.note().as_deref(), Some("not checked yet"));
        sender.send_replace(Some(Ok(vec![risk()])));
        let reason = probe.check().await.expect_err("a risk");
        assert!(reason.ends_with("(fix: rabbitmqctl clear_policy -p / p)"));
        assert_eq!(probe.note(), None);
        sender.send_replace(Some(Err("no answer".into())));
        assert_eq!(probe.check().await, Ok(()));
        assert_eq!(probe.note().as_deref(), Some("not checked: no answer"));
        sender.send_replace(Some(Ok(Vec::new())));
        assert_eq!(probe.check().await, Ok(()));
        assert_eq!(probe.note(), None);
    }

    #[tokio::test]
    async fn without_an_api_nothing_is_checked_or_noted() {
        let probe = PolicyProbe::start(None);
        assert_eq!(probe.check().await, Ok(()));
        assert_eq!(probe.note(), None);
    }
}
