//! The feed: every position's frame, in order, to every subscriber.
//!
//! `hub` follows what data-baker has baked and keeps the latest frames in one
//! shared `ring`; a `subscription` is a cursor that reads from the store
//! until it has caught up with the ring, and from the ring after that. Both hold
//! the same frames by position, so the two meet without gap or repeat.

mod hub;
mod interest;
mod ring;
mod subscription;

pub use hub::{Feed, FeedSettings};
pub use interest::Change;
pub use ring::Shared;
pub use subscription::{FeedError, Step, Subscription};
