//! What the mains have in common when they open doors by the settings. For mains
//! only: nothing else chooses who stands behind a door.

mod edge;
mod notify;
#[cfg(feature = "servers")]
mod servers;

pub use edge::{blobs, health, health_address, http, http_address, sweep};
pub use notify::{Ways, notify, ways};
#[cfg(feature = "servers")]
pub use servers::{broker, presentation, source};
