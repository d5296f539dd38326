//! TCP connections of the HTTP server: how many may be open, what each may hold in memory, and
//! the byte stream between the kernel and the HTTP library.
//!
//! - `limits`: open connections and the bytes they hold, in all and by client address;
//! - `socket`: the byte stream that the HTTP library reads and writes;
//! - `malformed`: problem documents for what is no request;
//! - `writer`: sends shared frames to the kernel without copying them;
//! - `track`: tells a connection when a request on it begins and ends;
//! - `upgrade`: requests that name an upgrade and are none;
//! - `descriptors`: how many files this process may open.

mod descriptors;
pub(crate) mod disconnect;
mod limits;
mod malformed;
mod socket;
mod track;
mod upgrade;
mod writer;

pub(crate) use descriptors::open_files_limit;
pub(crate) use limits::ConnectionLimits;
pub use limits::ConnectionSettings;
pub(crate) use socket::{Connection, Socket};
pub(crate) use track::track;
pub(crate) use upgrade::{ignore_other_upgrades, is_handshake};
pub(crate) use writer::{BUFFER_BYTES, SocketWriter};
