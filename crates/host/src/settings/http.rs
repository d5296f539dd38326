//! Settings of the HTTP server of `api-server`.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::exposure::{AllowedHost, AllowedOrigin, Network, PublicUrl};
use super::values;

/// HTTP server of api-server.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Address to listen at.
    pub bind: SocketAddr,
    /// True if the address may be another than the loopback interface.
    pub allow_open_bind: bool,
    /// Maximum length of a request body, in bytes.
    pub body_limit: usize,
    /// Number of threads that serve requests; 0: one for each core.
    pub workers: usize,
    /// Time that a client may take to send the header of a request.
    #[serde(with = "humantime_serde", alias = "head_timeout")]
    pub header_timeout: Duration,
    /// Time that a client may take to send the body of a request.
    #[serde(with = "humantime_serde")]
    pub body_timeout: Duration,
    /// Origins of pages that may use the API from a browser; `*`: any.
    #[serde(deserialize_with = "values::list_of")]
    pub cors_origins: Vec<AllowedOrigin>,
    /// True if `*` is allowed in `cors_origins` while no token is required.
    pub allow_any_origin: bool,
    /// Hosts that are served while no token is required, in addition to `localhost`, loopback
    /// addresses and the address of `bind`.
    #[serde(deserialize_with = "values::list_of")]
    pub allowed_hosts: Vec<AllowedHost>,
    /// URL of the API for clients, if it is not that of `bind`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<PublicUrl>,
    /// Proxies whose `X-Forwarded-For` is trusted: addresses, or networks.
    #[serde(deserialize_with = "values::list_of")]
    pub trusted_proxies: Vec<Network>,
    /// Maximum number of open connections; 0: as many as the limit on open files allows, at
    /// most 25,000.
    pub max_connections: usize,
    /// Maximum number of connections of one client address; 0: half of all.
    pub max_connections_per_client: usize,
    /// Requests per second of one principal, or address; 0: unlimited.
    pub rate_limit: u32,
    /// Requests that one principal, or address, may send at once before `rate_limit` applies.
    pub rate_burst: u32,
    /// Maximum number of requests that wait at the same time (`Prefer: wait`).
    pub max_waits: usize,
    /// Maximum number of waiting requests of one principal, or address.
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
            header_timeout: Duration::from_secs(5),
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
