//! Decisions on commands: the resulting event, or the reason of the rejection.

use bakehouse_engine::Rejection;

use crate::{Command, Draft, Event, File, Order, Status};

/// Maximum number of files per order.
pub const MAX_ATTACHMENTS: usize = 50;
/// Maximum number of changes to the contents of an order. Documents and frames contain the whole
/// timeline of their order, so that an unlimited one could hold up all others.
pub const MAX_CHANGES: usize = 1_000;

/// Decides on a command, given the state of the order.
///
/// # Errors
/// [`Rejection`] with the reason for the sender if the command is not allowed in this state.
pub fn decide(order: Option<&Order>, command: Command) -> Result<Event, Rejection> {
    match (order, command) {
        (None, Command::Place(draft)) => Ok(Event::Created(draft)),
        (Some(_), Command::Place(_)) => Err(Rejection::new("the order exists already")),
        (None, _) => Err(Rejection::new("there is no such order")),
        (Some(order), _) if order.is_deleted => Err(deleted()),
        (Some(order), Command::Amend(_) | Command::Attach(_) | Command::Detach { .. })
            if order.timeline.len() > MAX_CHANGES =>
        {
            Err(changed_too_often())
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

fn deleted() -> Rejection {
    Rejection::new("the order has been deleted")
}

fn changed_too_often() -> Rejection {
    Rejection::new(format!(
        "the order has been changed {MAX_CHANGES} times; only its status can still be changed, or the order deleted"
    ))
}

/// Returns the rejection of any file for an order with this state and number of timeline entries,
/// as [`decide`] would; it is known before the file is uploaded.
#[must_use]
pub fn no_more_files(is_deleted: bool, timeline: usize) -> Option<Rejection> {
    if is_deleted {
        return Some(deleted());
    }
    (timeline > MAX_CHANGES).then(changed_too_often)
}

/// Returns the rejection of another file for an order that has `count` files, if it is full.
#[must_use]
pub fn too_many_files(count: usize) -> Option<Rejection> {
    (count >= MAX_ATTACHMENTS).then(|| {
        Rejection::new(format!(
            "the order has {MAX_ATTACHMENTS} attachments, and can have no more"
        ))
    })
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
    if let Some(rejection) = too_many_files(order.attachments.len()) {
        return Err(rejection);
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
