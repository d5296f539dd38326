//! Data types of the engine: operations, log entries, entities, frames and notifications.

pub mod entity;
pub mod frame;
pub mod ids;
pub mod log_entry;
pub mod notification;
pub mod operation;
pub mod resolution;
pub mod timestamp;
