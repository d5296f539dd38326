//! Values of the settings about hosts, origins, proxies and the public URL of the HTTP server.
//!
//! Each is validated and normalized when it is read, so that values can be compared.

mod host;
mod network;
mod origin;
mod public_url;

pub use host::AllowedHost;
pub use network::Network;
pub use origin::AllowedOrigin;
pub use public_url::PublicUrl;
