//! Limits on open connections and on the bytes they hold, in total and per client address.

use std::cell::Cell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::auth::client_network;
use crate::exposure::TrustedProxies;
use crate::metrics;

/// Maximum number of connections if the settings name none.
const DEFAULT_MAX_CONNECTIONS: usize = 25_000;
/// Maximum number of file descriptors reserved for stores, files and outgoing connections.
const MAX_RESERVED_FILES: usize = 1_024;
/// Minimum number of reserved file descriptors.
const MIN_RESERVED_FILES: usize = 64;

/// Maximum number of bytes that all connections together hold beyond [`UNCOUNTED_BYTES`] each:
/// incomplete request heads, and responses that the client does not read.
const MAX_HELD_BYTES: usize = 128 * 1024 * 1024;
/// Maximum number of such bytes for the connections of one client address.
const MAX_HELD_BYTES_PER_CLIENT: usize = 32 * 1024 * 1024;
/// Size of a connection's ordinary buffers, which do not count as held.
const UNCOUNTED_BYTES: usize = 16 * 1024;

/// Limits on open connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// Maximum number in total; 0: as many as the limit on open files allows, at most 25,000.
    pub max: usize,
    /// Maximum number per client address; 0: half of the total.
    pub max_per_client: usize,
}

/// Limit that a connection, or the bytes it holds, would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exceeded {
    /// The limit for all connections.
    Total,
    /// The limit per client address.
    Client,
}

impl Exceeded {
    /// Returns the value of the metric's label.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Client => "client",
        }
    }
}

/// Limits on connections of this process, and their current use.
pub(crate) struct ConnectionLimits {
    max: usize,
    max_per_client: usize,
    /// Proxies, which stand for many clients and are exempt from the limits per client.
    trusted_proxies: TrustedProxies,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    total: Usage,
    clients: HashMap<IpAddr, Usage>,
}

#[derive(Clone, Copy, Default)]
struct Usage {
    connections: usize,
    held: usize,
}

impl ConnectionLimits {
    /// Creates limits from the settings and the process's limit on open files.
    pub(crate) fn new(
        settings: ConnectionSettings,
        open_files: Option<usize>,
        trusted_proxies: TrustedProxies,
    ) -> Arc<Self> {
        let available = open_files.map_or(usize::MAX, |files| {
            let reserve = (files / 4).clamp(MIN_RESERVED_FILES, MAX_RESERVED_FILES);
            files.saturating_sub(reserve).max(1)
        });
        let wanted = match settings.max {
            0 => DEFAULT_MAX_CONNECTIONS,
            max => max,
        };
        let max = wanted.min(available);
        if max < wanted && settings.max > 0 {
            tracing::warn!(
                "http.max_connections: {wanted} exceeds the limit on open files; accepting at \
                 most {max} connections (raise the limit: ulimit -n)"
            );
        }
        let max_per_client = match settings.max_per_client {
            0 => max.div_ceil(2),
            each => each,
        };
        Arc::new(Self {
            max,
            max_per_client,
            trusted_proxies,
            open: Mutex::default(),
        })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a new connection.
    ///
    /// # Errors
    /// The limit that the connection would exceed.
    pub(crate) fn admit(self: &Arc<Self>, client: IpAddr) -> Result<ConnectionPermit, Exceeded> {
        let is_proxy = self.trusted_proxies.contains(client);
        let client = client_network(client);
        let mut open = self.open();
        if open.total.connections >= self.max {
            return Err(Exceeded::Total);
        }
        let own = open.clients.get(&client).copied().unwrap_or_default();
        if own.connections >= self.max_per_client && !is_proxy {
            return Err(Exceeded::Client);
        }
        open.clients.entry(client).or_default().connections += 1;
        open.total.connections += 1;
        metrics::connections(open.total.connections);
        drop(open);
        Ok(ConnectionPermit {
            limits: self.clone(),
            client,
            is_proxy,
            held: Cell::new(0),
        })
    }
}

/// Permit of an open connection; it counts until this is dropped.
pub(crate) struct ConnectionPermit {
    limits: Arc<ConnectionLimits>,
    client: IpAddr,
    is_proxy: bool,
    held: Cell<usize>,
}

impl ConnectionPermit {
    /// Sets the number of bytes that the connection holds.
    ///
    /// # Errors
    /// The limit that they exceed; the previous number stays counted then.
    pub(crate) fn hold(&self, bytes: usize) -> Result<(), Exceeded> {
        let bytes = bytes.saturating_sub(UNCOUNTED_BYTES);
        let before = self.held.get();
        if bytes == before {
            return Ok(());
        }
        let mut open = self.limits.open();
        let total = open.total.held - before + bytes;
        if bytes > before && total > MAX_HELD_BYTES {
            return Err(Exceeded::Total);
        }
        if let Some(own) = open.clients.get_mut(&self.client) {
            let held = own.held - before + bytes;
            if bytes > before && held > MAX_HELD_BYTES_PER_CLIENT && !self.is_proxy {
                return Err(Exceeded::Client);
            }
            own.held = held;
        }
        open.total.held = total;
        self.held.set(bytes);
        Ok(())
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut open = self.limits.open();
        open.total.connections -= 1;
        open.total.held -= self.held.get();
        metrics::connections(open.total.connections);
        if let Some(own) = open.clients.get_mut(&self.client) {
            own.connections -= 1;
            own.held -= self.held.get();
            if own.connections == 0 {
                open.clients.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposure::Network;

    fn limits(max: usize, max_per_client: usize) -> Arc<ConnectionLimits> {
        let settings = ConnectionSettings {
            max,
            max_per_client,
        };
        ConnectionLimits::new(settings, None, TrustedProxies::default())
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn connections_are_bounded_in_all_and_by_client() {
        let limits = limits(3, 2);
        let ada = address("192.0.2.1");
        let first = limits.admit(ada).expect("admitted");
        let _second = limits.admit(ada).expect("admitted");
        assert_eq!(limits.admit(ada).err(), Some(Exceeded::Client));
        let _third = limits.admit(address("192.0.2.2")).expect("admitted");
        let last = limits.admit(address("192.0.2.3"));
        assert_eq!(last.err(), Some(Exceeded::Total));
        drop(first);
        assert!(limits.admit(ada).is_ok());
        assert!(limits.open().clients.len() <= 2, "clients are forgotten");
    }

    #[test]
    fn one_network_of_ipv6_is_one_client() {
        let limits = limits(9, 1);
        let _first = limits.admit(address("2001:db8:0:1::1")).expect("admitted");
        let second = limits.admit(address("2001:db8:0:1:ffff::2"));
        assert_eq!(second.err(), Some(Exceeded::Client));
        assert!(limits.admit(address("2001:db8:0:2::1")).is_ok());
    }

    #[test]
    fn a_trusted_proxy_is_many_clients() {
        let proxy = address("192.0.2.1");
        let settings = ConnectionSettings {
            max: 3,
            max_per_client: 1,
        };
        let proxies = TrustedProxies::new(vec![Network::new(proxy, 32)]);
        let limits = ConnectionLimits::new(settings, None, proxies);
        let _open: Vec<_> = (0..3)
            .map(|_| limits.admit(proxy).expect("admitted"))
            .collect();
        assert_eq!(limits.admit(proxy).err(), Some(Exceeded::Total));
    }

    #[test]
    fn bytes_are_bounded_by_client_and_given_back() {
        let limits = limits(9, 0);
        let ada = address("192.0.2.1");
        let first = limits.admit(ada).expect("admitted");
        let second = limits.admit(ada).expect("admitted");
        assert_eq!(
            first.hold(MAX_HELD_BYTES_PER_CLIENT + UNCOUNTED_BYTES),
            Ok(())
        );
        assert_eq!(second.hold(UNCOUNTED_BYTES), Ok(()));
        assert_eq!(second.hold(UNCOUNTED_BYTES + 1), Err(Exceeded::Client));
        let other = limits.admit(address("192.0.2.2")).expect("admitted");
        assert_eq!(other.hold(UNCOUNTED_BYTES + 1), Ok(()));
        assert_eq!(first.hold(0), Ok(()));
        assert_eq!(second.hold(UNCOUNTED_BYTES + 1), Ok(()));
        drop((first, second, other));
        assert_eq!(limits.open().total.held, 0);
    }

    #[test]
    fn the_limit_on_open_files_bounds_connections() {
        let max = |files| {
            let settings = ConnectionSettings::default();
            ConnectionLimits::new(settings, files, TrustedProxies::default()).max
        };
        assert_eq!(max(None), DEFAULT_MAX_CONNECTIONS);
        assert_eq!(max(Some(1_024)), 768);
        assert_eq!(max(Some(20_000)), 20_000 - MAX_RESERVED_FILES);
        assert_eq!(max(Some(1_000_000)), DEFAULT_MAX_CONNECTIONS);
    }
}
