//! What the mains have in common when they open doors by the settings. For mains
//! only: nothing else chooses who stands behind a door.

mod edge;
#[cfg(feature = "servers")]
mod servers;

pub use edge::{blobs, health, health_address, http, http_address};
#[cfg(feature = "servers")]
pub use servers::{broker, presentation, source};
