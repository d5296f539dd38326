//! Which commands an order carries out, and why it refuses the others.

use bakehouse_engine::Rejection;

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
        (Some(order), _) if order.is_deleted => Err(deleted()),
        (Some(order), Command::Amend(_) | Command::Attach(_) | Command::Detach { .. })
            if order.timeline.len() > MOST_CHANGES =>
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
        "the order has been changed {MOST_CHANGES} times, and can only be moved along, cancelled or deleted"
    ))
}

/// The refusal of any file for an order in this state, whose timeline has so many entries:
/// what [`decide`] would answer, known before there is a file.
#[must_use]
pub fn no_more_files(is_deleted: bool, timeline: usize) -> Option<Rejection> {
    if is_deleted {
        return Some(deleted());
    }
    (timeline > MOST_CHANGES).then(changed_too_often)
}

/// The refusal of one more file for an order that has so many, if it cannot have it.
#[must_use]
pub fn too_many_files(count: usize) -> Option<Rejection> {
    (count >= MOST_ATTACHMENTS).then(|| {
        Rejection::new(format!(
            "the order has {MOST_ATTACHMENTS} attachments, and can have no more"
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
    if let Some(refusal) = too_many_files(order.attachments.len()) {
        return Err(refusal);
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
