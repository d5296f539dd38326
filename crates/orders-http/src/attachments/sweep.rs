//! The sweep: removes bytes that no order refers to, nor ever will. They are
//! left behind when a process is killed between an upload and its operation,
//! when that operation is refused, or between taking a file off and removing it.
//!
//! Asked is the log, never a document: while documents are made anew there may
//! be none, and their files must not go. And only what has been there so long
//! that its operation cannot still be on its way.

use std::sync::Arc;
use std::time::Duration;

use bakehouse_orders::{Command, Orders};
use bakehouse_pipeline::ports::{Blobs, EventLog, StoreError};
use bakehouse_pipeline::step::read_command;
use bakehouse_pipeline::{Event, EventStatus, Position, Shutdown, Timestamp};
use futures_util::TryStreamExt;

use super::{UPLOADS, parts_of};

/// How it sweeps.
#[derive(Clone, Debug)]
pub struct SweepSettings {
    /// How often.
    pub interval: Duration,
    /// How long bytes have been there that may be removed.
    pub grace: Duration,
}

/// Runs until shutdown. Several may run at the same time.
pub async fn run(
    blobs: Arc<dyn Blobs>,
    log: Arc<dyn EventLog>,
    settings: SweepSettings,
    shutdown: Shutdown,
) {
    while !shutdown.is_cancelled() {
        match sweep(blobs.as_ref(), log.as_ref(), settings.grace).await {
            Ok(0) => {}
            Ok(count) => tracing::info!("removed {count} files that no order refers to"),
            Err(error) => tracing::warn!("left-over files stay until the next sweep: {error}"),
        }
        tokio::select! {
            () = tokio::time::sleep(settings.interval) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

/// Says how many it has removed.
async fn sweep(
    blobs: &dyn Blobs,
    log: &dyn EventLog,
    grace: Duration,
) -> Result<usize, StoreError> {
    let mut entries = blobs.list();
    let mut removed = 0;
    while let Some(entry) = entries.try_next().await? {
        let is_old = entry.since.after(grace) < Timestamp::now();
        if is_old && is_left_over(log, &entry.name).await? {
            blobs.remove(&entry.name).await?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// What is not ours is not touched.
async fn is_left_over(log: &dyn EventLog, name: &str) -> Result<bool, StoreError> {
    if name.split('/').next() == Some(UPLOADS) {
        return Ok(true);
    }
    let Some((order_id, attachment_id)) = parts_of(name) else {
        return Ok(false);
    };
    let events = log.history(order_id, 0, Position::MAX).await?;
    if events.is_empty() {
        // Of another log: an order is there before its files.
        return Ok(false);
    }
    Ok(!is_needed(&events, attachment_id))
}

/// Whether an order with this history has the file, or may yet get it.
fn is_needed(events: &[Event], attachment_id: &str) -> bool {
    let mut is_needed = false;
    let commands = events
        .iter()
        .filter(|event| !event.operation.operation.is_remedy());
    for event in commands {
        match read_command::<Orders>(&event.operation) {
            Ok(Command::Attach(file)) if file.id == attachment_id => {
                is_needed |= event.status != EventStatus::Rejected;
            }
            Ok(Command::Detach { id }) if id == attachment_id => {
                is_needed &= event.status != EventStatus::Executed;
            }
            Ok(_) => {}
            // A newer program may know what it says of the file.
            Err(_) => return true,
        }
    }
    is_needed
}

#[cfg(test)]
mod tests {
    use bakehouse_orders::File;
    use bakehouse_pipeline::{Operation, Terms, ids, to_json};

    use super::*;

    fn event(command: &Command, status: EventStatus) -> Event {
        let operation = Operation {
            operation_id: ids::fresh(),
            service_name: "order".into(),
            operation: command.verb(),
            entity_id: "o".into(),
            payload: to_json(command).expect("JSON"),
            schema_version: 1,
            correlation_id: ids::fresh(),
            terms: Terms::default(),
            causation_id: None,
            conflicts_with: None,
            fingerprint: String::new(),
            accepted_at: Timestamp::now(),
        };
        Event {
            status,
            ..Event::stored(1, Timestamp::now(), operation)
        }
    }

    fn attach(id: &str) -> Command {
        Command::Attach(File {
            id: id.into(),
            name: "a.txt".into(),
            media_type: "text/plain".into(),
            size: 1,
            sha256: "00".into(),
        })
    }

    #[test]
    fn needed_is_what_is_attached_or_may_yet_be() {
        use EventStatus::{Executed, Rejected, Stored};
        let detach = Command::Detach { id: "f".into() };
        for (events, expected) in [
            (vec![], false),
            (vec![event(&attach("f"), Executed)], true),
            (vec![event(&attach("f"), Stored)], true),
            (vec![event(&attach("f"), Rejected)], false),
            (vec![event(&attach("g"), Executed)], false),
            (
                vec![event(&attach("f"), Executed), event(&detach, Stored)],
                true,
            ),
            (
                vec![event(&attach("f"), Executed), event(&detach, Rejected)],
                true,
            ),
            (
                vec![event(&attach("f"), Executed), event(&detach, Executed)],
                false,
            ),
        ] {
            let needed = is_needed(&events, "f");
            assert_eq!(needed, expected, "{events:?}");
        }
    }

    #[test]
    fn names_lead_back_to_order_and_attachment() {
        let name = super::super::blob_name("o-1", "a-2", "00ff");
        assert_eq!(parts_of(&name), Some(("o-1", "a-2")));
        for other in [
            "uploads/x",
            "orders/o",
            "orders/o/plain",
            "orders/o/a-0/more",
            "ordersx/o/a-0",
        ] {
            assert_eq!(parts_of(other), None, "{other}");
        }
    }
}
