//! Which commands an order carries out, and why it refuses the others.

use bakehouse_pipeline::Rejection;

use crate::{Command, Draft, Event, Order, Status};

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
        (Some(order), Command::Amend(draft)) => amend(order, draft),
        (Some(order), Command::SetStatus { status }) => set_status(order, status),
        (Some(_), Command::Delete) => Ok(Event::Deleted),
    }
}

fn amend(order: &Order, draft: Draft) -> Result<Event, Rejection> {
    if order.status != Status::Placed {
        let status = order.status;
        return Err(Rejection(format!(
            "the order is {status}; only a placed one can be changed"
        )));
    }
    if order.currency != draft.currency {
        let (ours, theirs) = (order.currency, draft.currency);
        return Err(Rejection(format!(
            "the order is in {ours}, not in {theirs}"
        )));
    }
    Ok(Event::Updated(draft))
}

fn set_status(order: &Order, next: Status) -> Result<Event, Rejection> {
    if order.status.may_become(next) {
        return Ok(Event::StatusChanged(next));
    }
    Err(Rejection(format!(
        "the order is {}; it cannot become {next}",
        order.status
    )))
}
