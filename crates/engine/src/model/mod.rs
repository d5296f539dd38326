//! Data of the engine: what is accepted, logged, executed, shown and sent.

pub mod entity;
pub mod frame;
pub mod ids;
pub mod log_entry;
pub mod notification;
pub mod operation;
pub mod resolution;
pub mod timestamp;
