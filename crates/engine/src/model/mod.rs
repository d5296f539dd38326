//! Data types of the engine: operations, log entries, entities, frames and notifications.

pub mod entity;
pub mod frame;
pub mod frame_kind;
pub mod ids;
pub mod log_entry;
pub mod moment;
pub mod notification;
pub mod operation;
pub mod rejection;
pub mod resolution;
pub mod timestamp;
