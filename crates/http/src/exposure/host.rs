//! Hosts that are served while no token is required.

use std::net::IpAddr;

use super::authority::Host;

/// Hosts for which requests are served.
#[derive(Debug)]
pub(super) struct AllowedHosts {
    bind: IpAddr,
    hosts: Vec<Host>,
    /// Suffixes of served names, each with its leading dot.
    suffixes: Vec<String>,
}

impl AllowedHosts {
    pub(super) fn new(listed: Vec<String>, public: Option<&Host>, bind: IpAddr) -> Self {
        let mut hosts: Vec<Host> = public.cloned().into_iter().collect();
        hosts.push(Host::Name("localhost".to_owned()));
        let mut suffixes = Vec::new();
        for text in listed {
            if let Some(suffix) = text.strip_prefix('*') {
                suffixes.push(suffix.to_owned());
            } else if let Ok(address) = text.parse::<IpAddr>() {
                hosts.push(Host::Address(address.to_canonical()));
            } else {
                hosts.push(Host::Name(text));
            }
        }
        Self {
            bind: bind.to_canonical(),
            hosts,
            suffixes,
        }
    }

    /// Checks whether requests for the host are served on a connection to the address `local`.
    pub(super) fn contains(&self, host: &Host, local: Option<IpAddr>) -> bool {
        let is_own = match host {
            Host::Address(address) => {
                let is_local = || self.bind.is_unspecified() && Some(*address) == local;
                address.is_loopback() || *address == self.bind || is_local()
            }
            Host::Name(name) => self.suffixes.iter().any(|suffix| name.ends_with(suffix)),
        };
        is_own || self.hosts.contains(host)
    }
}

#[cfg(test)]
mod tests {
    use super::super::authority::Authority;
    use super::*;

    fn serves(bind: &str, local: &str, listed: &[&str], host: &str) -> bool {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let listed = listed.iter().map(|host| (*host).to_owned()).collect();
        let public = Host::parse("public.example");
        let hosts = AllowedHosts::new(listed, public.as_ref(), ip(bind));
        let found = Authority::parse(host).expect(host);
        hosts.contains(&found.host, Some(ip(local).to_canonical()))
    }

    #[test]
    fn only_own_and_allowed_hosts_are_served() {
        let bound = |host| {
            serves(
                "127.0.0.1",
                "127.0.0.1",
                &["shop.example", "*.dev.example"],
                host,
            )
        };
        for host in [
            "localhost",
            "LOCALHOST:1",
            "localhost.",
            "127.0.0.1",
            "127.255.0.9:80",
            "[::1]:8080",
            "[::ffff:127.0.0.1]",
            "shop.example:8080",
            "a.dev.example",
            "a.b.dev.example",
            "public.example",
        ] {
            assert!(bound(host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "evil.localhost",
            "127.0.0.1.evil.example",
            "evilshop.example",
            "a.shop.example",
            "dev.example",
            "evildev.example",
            "192.0.2.1",
            "0.0.0.0",
            "[::]",
            "[::2]",
            "127.1",
            "2130706433",
            "10.0.0.1",
        ] {
            assert!(!bound(host), "{host}");
        }
    }

    #[test]
    fn the_local_address_is_served_if_the_server_listens_at_all() {
        assert!(serves("0.0.0.0", "10.0.0.5", &[], "10.0.0.5:8080"));
        assert!(serves("0.0.0.0", "10.0.0.5", &[], "0.0.0.0:8080"));
        assert!(serves("::", "::ffff:10.0.0.5", &[], "10.0.0.5"));
        assert!(serves("10.0.0.5", "10.0.0.5", &[], "10.0.0.5"));
        assert!(serves("fd00::5", "fd00::5", &[], "[fd00::5]:80"));
        assert!(!serves("0.0.0.0", "10.0.0.5", &[], "10.0.0.6"));
        assert!(!serves("10.0.0.5", "10.0.0.5", &[], "10.0.0.6"));
        assert!(serves("10.0.0.5", "10.0.0.5", &["10.0.0.6"], "10.0.0.6"));
    }
}
