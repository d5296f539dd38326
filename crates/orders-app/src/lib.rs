//! What the mains of orders have in common when they open doors by the settings,
//! beside what every domain does. For mains only: nothing else chooses who stands
//! behind a door.

mod notify;
mod orders;

pub use notify::{Channels, channels, notify};
pub use orders::{Api, api, blobs_to_read};
