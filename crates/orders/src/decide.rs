//! Which commands an order carries out, and why it refuses the others.

use bakehouse_pipeline::Rejection;

use crate::{Command, Draft, Event, File, Order, Status};

/// The most files that an order may have.
pub const MOST_ATTACHMENTS: usize = 50;
/// How often the content of an order may change. Every document and frame has all that
/// happened to its order: without an end to that, one order could hold up all others.
pub const MOST_CHANGES: usize = 1_000;

/// Decides a command in the light of the order so far.
///
/// # Errors
/// The reason for refusing it, a sentence for its sender.
pub fn decide(order: Option<&Order>, command: Command) -> Result<Event, Rejection> {
    match (order, command) {
        (None, Command::Place(draft)) => Ok(Event::Created(draft)),
        (Some(_), Command::Place(_)) => Err(Rejection::new("the order exists already")),
        (None, _) => Err(Rejection::new("there is no such order")),
        (Some(order), _) if order.is_deleted => Err(Rejection::new("the order has been deleted")),
        (Some(order), Command::Amend(_) | Command::Attach(_) | Command::Detach { .. })
            if order.timeline.len() > MOST_CHANGES =>
        {
            Err(Rejection::new(format!(
                "the order has been changed {MOST_CHANGES} times, and can only be moved along, cancelled or deleted"
            )))
        }
        (Some(order), Command::Amend(draft)) => amend(order, draft),
        (Some(order), Command::SetStatus { status }) => set_status(order, status),
        (Some(order), Command::Delete) => Ok(Event::Deleted {
            is_cancelled: order.status.may_become(Status::Cancelled),
        }),
        (Some(_), Command::DeleteAndCancel) => Ok(Event::Deleted { is_cancelled: true }),
        (Some(order), Command::Attach(file)) => attach(order, file),
        (Some(order), Command::Detach { id }) => detach(order, id),
    }
}

fn amend(order: &Order, draft: Draft) -> Result<Event, Rejection> {
    if order.status != Status::Placed {
        let status = order.status;
        return Err(Rejection::new(format!(
            "the order is {status}; only a placed one can be changed"
        )));
    }
    if order.currency != draft.currency {
        let (ours, theirs) = (order.currency, draft.currency);
        return Err(Rejection::new(format!(
            "the order is in {ours}, not in {theirs}"
        )));
    }
    Ok(Event::Updated(draft))
}

fn attach(order: &Order, file: File) -> Result<Event, Rejection> {
    if order.attachments.len() >= MOST_ATTACHMENTS {
        return Err(Rejection::new(format!(
            "the order has {MOST_ATTACHMENTS} attachments, and can have no more"
        )));
    }
    if order.attachments.iter().any(|other| other.id == file.id) {
        return Err(Rejection::new("the order has this attachment already"));
    }
    Ok(Event::Attached(file))
}

fn detach(order: &Order, id: String) -> Result<Event, Rejection> {
    if order.attachments.iter().any(|file| file.id == id) {
        return Ok(Event::Detached(id));
    }
    Err(Rejection::new("the order has no such attachment"))
}

fn set_status(order: &Order, next: Status) -> Result<Event, Rejection> {
    if order.status.may_become(next) {
        return Ok(Event::StatusChanged(next));
    }
    Err(Rejection::new(format!(
        "the order is {}; it cannot become {next}",
        order.status
    )))
}
