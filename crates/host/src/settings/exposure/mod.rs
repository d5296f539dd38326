//! Values of the settings that say whom the HTTP server answers, and under which address.
//!
//! Each is checked and put into one form when it is read, so that it can be compared.

mod host;
mod network;
mod origin;
mod public_url;

pub use host::AllowedHost;
pub use network::Network;
pub use origin::AllowedOrigin;
pub use public_url::PublicUrl;
