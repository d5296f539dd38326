//! The feed delivers the frame of every position, in order, to every subscriber.
//!
//! `hub` reads the frames that data-baker has baked and keeps the latest ones in one shared
//! `ring`. A `subscription` is a cursor that reads from the store until it has caught up with
//! the ring, and from the ring after that. Both hold the same frames by position, so that the
//! switch neither skips nor repeats a frame. `interest` wakes readers that wait for changes of
//! one entity.

mod error;
mod hub;
mod interest;
mod ring;
mod subscription;

pub use error::FeedError;
pub use hub::{Feed, FeedSettings};
pub use interest::Interest;
pub use ring::SharedFrame;
pub use subscription::{FeedItem, Subscription};
