//! TCP connections of the HTTP server: limits on their number and memory, and the byte stream
//! between the kernel and the HTTP library.
//!
//! - `limits`: limits on open connections and on the bytes they hold, in total and per client;
//! - `socket`: byte stream that the HTTP library reads and writes;
//! - `malformed`: problem documents for input that is not an HTTP request;
//! - `writer`: writes of shared frames to the kernel without copying them;
//! - `track`: middleware that counts a connection's requests;
//! - `upgrade`: requests with an upgrade that the server does not support;
//! - `disconnect`: detection of closed connections while a request waits;
//! - `descriptors`: limit on open files of the process.

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
