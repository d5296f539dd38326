//! `/order-events`: the feed over a websocket.

mod query;
mod socket;
mod wire;

pub(crate) use socket::subscribe;
