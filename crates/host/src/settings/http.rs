//! Settings of the HTTP server of `api-server`.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::exposure::{AllowedHost, AllowedOrigin, Network, PublicUrl};
use super::load;

/// api-server's HTTP.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Address to listen at.
    pub bind: SocketAddr,
    /// True if that may be another than the loopback interface.
    pub allow_open_bind: bool,
    /// Bytes that a body may have.
    pub body_limit: usize,
    /// Threads that answer; 0: one a core.
    pub workers: usize,
    /// How long a client may take to send a request's head.
    #[serde(with = "humantime_serde")]
    pub head_timeout: Duration,
    /// How long it may take to send its body.
    #[serde(with = "humantime_serde")]
    pub body_timeout: Duration,
    /// Origins of pages that may use the API from a browser; `*`: any.
    #[serde(deserialize_with = "load::list_of")]
    pub cors_origins: Vec<AllowedOrigin>,
    /// True if that may be any while no token is required.
    pub allow_any_origin: bool,
    /// Hosts that are served while no token is required, beside `localhost`, loopback
    /// addresses and the address that is listened at.
    #[serde(deserialize_with = "load::list_of")]
    pub allowed_hosts: Vec<AllowedHost>,
    /// URL under which clients find the API, where that is not `bind`'s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<PublicUrl>,
    /// Proxies whose word about the client's address is believed: addresses, or networks.
    #[serde(deserialize_with = "load::list_of")]
    pub trusted_proxies: Vec<Network>,
    /// Connections that may be open at the same time; 0: as many as the limit on open files
    /// allows, at most 25,000.
    pub max_connections: usize,
    /// Those of one client address; 0: half of all.
    pub max_connections_per_client: usize,
    /// Requests a second that one principal, or address, may make; 0: any.
    pub rate_limit: u32,
    /// How many of them at once.
    pub rate_burst: u32,
    /// Maximum number of answers that wait at the same time (`Prefer: wait`).
    pub max_waits: usize,
    /// Maximum number of those for one principal, or address.
    pub max_waits_per_client: usize,
    /// Maximum number of reads of the log (histories, `as_of`) at the same time.
    pub max_log_reads: usize,
    /// Maximum number of changes of one entity by one principal that may be refused within a
    /// minute; 0: any number.
    pub max_refused_changes: u32,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 8080)),
            allow_open_bind: false,
            body_limit: 64 * 1024,
            workers: 0,
            head_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(10),
            cors_origins: Vec::new(),
            allow_any_origin: false,
            allowed_hosts: Vec::new(),
            public_url: None,
            trusted_proxies: Vec::new(),
            max_connections: 0,
            max_connections_per_client: 0,
            rate_limit: 0,
            rate_burst: 100,
            max_waits: 2_000,
            max_waits_per_client: 200,
            max_log_reads: 16,
            max_refused_changes: 300,
        }
    }
}
