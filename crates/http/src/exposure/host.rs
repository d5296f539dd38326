//! Host check, which protects against DNS rebinding while no token is required.
//!
//! If the name `evil.example` is made to resolve to this machine, a browser takes a page of
//! `evil.example` for one of the same origin as this server. Its requests still name that host.

use std::net::IpAddr;

use actix_web::dev::ServiceRequest;
use actix_web::http::header::{HOST, X_FORWARDED_HOST};
use actix_web::http::{Uri, Version};

use super::authority::{Authority, Host};
use super::{Exposure, LocalAddress};
use crate::response::problem::{InputFault, Problem};

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
    fn contains(&self, host: &Host, local: Option<IpAddr>) -> bool {
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

/// Checks a request's host.
///
/// # Errors
/// 400 if the host is missing or malformed; 421 if no token is required and the host is not
/// served.
pub(super) fn check(exposure: &Exposure, request: &ServiceRequest) -> Result<(), Problem> {
    let Some(authority) = authority(request)? else {
        return Ok(());
    };
    if exposure.requires_token {
        return Ok(());
    }
    let local = request.conn_data::<LocalAddress>().map(|local| local.0);
    let check = |text: &str, host: Option<&Host>| {
        if host.is_some_and(|host| exposure.hosts.contains(host, local)) {
            return Ok(());
        }
        exposure.refusals.host(text);
        Err(Problem::misdirected(text))
    };
    let (text, authority) = authority;
    check(text, Some(&authority.host))?;
    // The proxy forwards the host that the browser named. Both hosts are checked, because a page
    // can send this header itself if the proxy does not replace it.
    let peer = request.peer_addr().map(|peer| peer.ip());
    for text in exposure.forwarded(request.headers(), peer, &X_FORWARDED_HOST) {
        check(
            text,
            Authority::parse(text).map(|found| found.host).as_ref(),
        )?;
    }
    Ok(())
}

/// Returns the request's host and port, as text and parsed; `None` if an HTTP/1.0 request has
/// none.
///
/// # Errors
/// 400 if the host is missing, duplicate, malformed, or differs from that in the request's target
/// (RFC 9112, section 3.2).
fn authority(request: &ServiceRequest) -> Result<Option<(&str, Authority)>, Problem> {
    let mut headers = request.headers().get_all(HOST);
    let (header, second) = (headers.next(), headers.next());
    if second.is_some() {
        return Err(malformed("expected one Host header"));
    }
    let target = target(request.uri())?;
    let Some(header) = header else {
        return match (target, request.version()) {
            (None, Version::HTTP_09 | Version::HTTP_10) => Ok(None),
            (Some(target), Version::HTTP_10 | Version::HTTP_2) => Ok(Some(target)),
            _ => Err(malformed("expected a Host header")),
        };
    };
    let text = header.to_str().ok();
    let found = text.and_then(|text| Some((text, Authority::parse(text)?)));
    let found =
        found.ok_or_else(|| malformed("expected a host and its port, such as localhost:8080"))?;
    match target {
        Some((_, target)) if target != found.1 => Err(malformed(
            "expected the same host as in the request's target",
        )),
        _ => Ok(Some(found)),
    }
}

/// Returns the authority in the request's target (`:authority` in HTTP/2), if it has one.
///
/// # Errors
/// 400 if the authority is malformed.
fn target(target: &Uri) -> Result<Option<(&str, Authority)>, Problem> {
    let Some(authority) = target.authority() else {
        return Ok(None);
    };
    let text = authority.as_str();
    let found = Authority::parse(text).map(|found| Some((text, found)));
    found.ok_or_else(|| malformed("expected a host and its port in the request's target"))
}

fn malformed(detail: &str) -> Problem {
    Problem::invalid(vec![InputFault {
        pointer: "/header/host".to_owned(),
        detail: detail.to_owned(),
    }])
}

#[cfg(test)]
mod tests {
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
