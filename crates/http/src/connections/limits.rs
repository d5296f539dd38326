//! Bounds on open connections and on the bytes that they hold, in all and by client address.

use std::cell::Cell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::auth::{TrustedProxies, counted_as};
use crate::metrics;

/// Most connections where the settings name no number.
const DEFAULT_MAX: usize = 25_000;
/// Descriptors kept for stores, files and outgoing connections, at most.
const MAX_RESERVE: usize = 1_024;
/// Reserve of descriptors at least.
const MIN_RESERVE: usize = 64;

/// Bytes that all connections together may hold beyond their ordinary buffers: request heads
/// that are not complete, and answers that are not read.
const MAX_HELD: usize = 128 * 1024 * 1024;
/// Bytes held for the connections of one client address.
const MAX_HELD_PER_CLIENT: usize = 32 * 1024 * 1024;
/// Bytes of a connection's ordinary buffers, which are not counted as held.
const FREE_BYTES: usize = 16 * 1024;

/// How many connections may be open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// In all; 0: as many as the limit on open files allows, at most 25,000.
    pub max: usize,
    /// From one client address; 0: half of all.
    pub max_per_client: usize,
}

/// A connection, or bytes on one, beyond a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exceeded {
    /// The bound on all connections.
    Total,
    /// The bound on those of one client address.
    Client,
}

impl Exceeded {
    /// The value of the metric's label.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Client => "client",
        }
    }
}

/// Open connections of this process.
pub(crate) struct ConnectionLimits {
    max: usize,
    max_per_client: usize,
    /// Those are many clients each, and not bounded as one.
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
    /// Bounds by the settings, and by how many files this process may open.
    pub(crate) fn new(
        settings: ConnectionSettings,
        open_files: Option<usize>,
        trusted_proxies: TrustedProxies,
    ) -> Arc<Self> {
        let available = open_files.map_or(usize::MAX, |files| {
            let reserve = (files / 4).clamp(MIN_RESERVE, MAX_RESERVE);
            files.saturating_sub(reserve).max(1)
        });
        let wanted = match settings.max {
            0 => DEFAULT_MAX,
            max => max,
        };
        let max = wanted.min(available);
        if max < wanted && settings.max > 0 {
            tracing::warn!(
                "http.max_connections: {wanted} connections need more open files than this \
                 process may have; at most {max} are accepted (raise the limit: ulimit -n)"
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
    /// The bound that it would exceed.
    pub(crate) fn admit(self: &Arc<Self>, client: IpAddr) -> Result<ConnectionPermit, Exceeded> {
        let is_proxy = self.trusted_proxies.contains(client);
        let client = counted_as(client);
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

/// A counted connection; no longer counted once this is dropped.
pub(crate) struct ConnectionPermit {
    limits: Arc<ConnectionLimits>,
    client: IpAddr,
    is_proxy: bool,
    held: Cell<usize>,
}

impl ConnectionPermit {
    /// Records how many bytes the connection holds now.
    ///
    /// # Errors
    /// The bound that they exceed; they are not counted then.
    pub(crate) fn hold(&self, bytes: usize) -> Result<(), Exceeded> {
        let bytes = bytes.saturating_sub(FREE_BYTES);
        let before = self.held.get();
        if bytes == before {
            return Ok(());
        }
        let mut open = self.limits.open();
        let total = open.total.held - before + bytes;
        if bytes > before && total > MAX_HELD {
            return Err(Exceeded::Total);
        }
        if let Some(own) = open.clients.get_mut(&self.client) {
            let held = own.held - before + bytes;
            if bytes > before && held > MAX_HELD_PER_CLIENT && !self.is_proxy {
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
    use crate::auth::Network;

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
        assert_eq!(first.hold(MAX_HELD_PER_CLIENT + FREE_BYTES), Ok(()));
        assert_eq!(second.hold(FREE_BYTES), Ok(()));
        assert_eq!(second.hold(FREE_BYTES + 1), Err(Exceeded::Client));
        let other = limits.admit(address("192.0.2.2")).expect("admitted");
        assert_eq!(other.hold(FREE_BYTES + 1), Ok(()));
        assert_eq!(first.hold(0), Ok(()));
        assert_eq!(second.hold(FREE_BYTES + 1), Ok(()));
        drop((first, second, other));
        assert_eq!(limits.open().total.held, 0);
    }

    #[test]
    fn the_limit_on_open_files_bounds_connections() {
        let max = |files| {
            let settings = ConnectionSettings::default();
            ConnectionLimits::new(settings, files, TrustedProxies::default()).max
        };
        assert_eq!(max(None), DEFAULT_MAX);
        assert_eq!(max(Some(1_024)), 768);
        assert_eq!(max(Some(20_000)), 20_000 - MAX_RESERVE);
        assert_eq!(max(Some(1_000_000)), DEFAULT_MAX);
    }
}
