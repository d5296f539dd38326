//! Types of frames, and the change names that the engine adds to those of a domain.

/// Change name of a rejection.
pub const REJECTED: &str = "rejected";
/// Change name of a parked operation.
pub const PARKED: &str = "parked";
/// Change name of a `RETRY` that changed no entity.
pub const RETRIED: &str = "retried";
/// Change name of a `DISCARD` that changed no entity.
pub const DISCARDED: &str = "discarded";

/// Returns the type of a frame, which is also the routing key of a notice: `order.created`.
#[must_use]
pub fn kind(name: &str, change: &str) -> String {
    format!("{name}.{change}")
}
