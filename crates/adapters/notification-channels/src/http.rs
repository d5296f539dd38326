//! What text messages and webhooks have in common: a client that never follows
//! redirects, and what answers mean.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bakehouse_engine::ports::SendError;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::RETRY_AFTER;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use url::{Host, Url};

use crate::SetupError;

/// The longest that somebody may ask us to wait.
const LONGEST_WISH: Duration = Duration::from_secs(24 * 60 * 60);

/// Whom a client may talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Anybody.
    Everywhere,
    /// Only addresses that the whole Internet can reach: never this machine, nor
    /// anything else that trusts it.
    Public,
}

/// A client.
///
/// # Errors
/// When TLS cannot be set up.
pub(crate) fn client(reach: Reach, timeout: Duration) -> Result<Client, SetupError> {
    // Whoever is first decides; everybody here decides for the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("bakehouse/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .timeout(timeout);
    if reach == Reach::Public {
        // A proxy would resolve names by itself.
        builder = builder.no_proxy().dns_resolver(Arc::new(PublicOnly));
    }
    builder.build().map_err(SetupError::new)
}

/// A URL to post to.
///
/// # Errors
/// When it is none, or one that may not be reached.
pub(crate) fn url(text: &str, reach: Reach) -> Result<Url, SetupError> {
    let invalid = || SetupError::new("its URL is not like https://HOST/PATH");
    let url: Url = text.parse().map_err(|_| invalid())?;
    let address = match url.host().ok_or_else(invalid)? {
        Host::Ipv4(address) => Some(IpAddr::V4(address)),
        Host::Ipv6(address) => Some(IpAddr::V6(address)),
        // Looked at when it is resolved.
        Host::Domain(_) => None,
    };
    if !["http", "https"].contains(&url.scheme()) {
        return Err(invalid());
    }
    if reach == Reach::Public && address.is_some_and(|address| !is_public(address)) {
        return Err(SetupError::new("its URL names a private address"));
    }
    Ok(url)
}

/// Resolves names, and leaves out the addresses that are not public. Done here
/// and not before the request, so that no second look-up can say otherwise.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|at| is_public(at.ip())).collect();
            if public.is_empty() {
                return Err(Box::<dyn Error + Send + Sync>::from(
                    "the host has no public address",
                ));
            }
            let addresses: Addrs = Box::new(public.into_iter());
            Ok(addresses)
        })
    }
}

/// Neither this machine's nor a private network's, nor one for special use
/// (the registries of RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let is_shared = a == 100 && (64..128).contains(&b);
            let is_protocol = (a, b, c) == (192, 0, 0);
            let is_benchmark = a == 198 && (b == 18 || b == 19);
            !(v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_documentation()
                || is_shared
                || is_protocol
                || is_benchmark
                || a == 0
                || a >= 240)
        }
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            // Only 2000::/3 is given out. Within it, what leads back to IPv4
            // (6to4, Teredo) or is for documentation.
            let is_given_out = first & 0xe000 == 0x2000;
            let is_special = first == 0x2002 || (first == 0x2001 && v6.segments()[1] < 0x200);
            let is_documentation = first == 0x2001 && v6.segments()[1] == 0xdb8;
            is_given_out && !is_special && !is_documentation
        }
    }
}

/// Why there was no answer. Errors of the client repeat the URL, which may
/// hold a secret; only their causes are told.
pub(crate) fn no_answer(error: &reqwest::Error) -> SendError {
    let mut cause = error.source();
    let mut text = String::from("no answer");
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    SendError::unavailable(text)
}

/// An answer that is no success and may be another one later, with how long the
/// other side asked us to wait.
pub(crate) fn try_later(answer: &Response, note: &str) -> SendError {
    let wish = answer.headers().get(RETRY_AFTER);
    let seconds = wish.and_then(|value| value.to_str().ok()?.parse().ok());
    SendError::Unavailable {
        reason: format!("answered {}{note}", answer.status().as_u16()),
        wish: seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_WISH)),
    }
}

/// Whether the same request may succeed later: the server's own trouble, too
/// much at once, or an access that an operator can mend.
pub(crate) fn may_pass(status: StatusCode) -> bool {
    let passing = [
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::TOO_EARLY,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    !status.is_client_error() || passing.contains(&status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_everybody_can_reach_is_public() {
        for public in ["8.8.8.8", "100.63.0.1", "2a00:1450::1", "192.0.1.1"] {
            assert!(is_public(public.parse().expect("an address")), "{public}");
        }
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "192.0.0.8",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
            "2001::1",
        ] {
            assert!(
                !is_public(private.parse().expect("an address")),
                "{private}"
            );
        }
    }

    #[test]
    fn urls_of_private_addresses_are_refused_unless_allowed() {
        for text in [
            "http://127.0.0.1/",
            "http://[::1]:80/",
            "https://10.0.0.1/hook",
            "http://2130706433/",
        ] {
            assert!(url(text, Reach::Public).is_err(), "{text}");
            assert!(url(text, Reach::Everywhere).is_ok(), "{text}");
        }
        for text in [
            "nothing",
            "ftp://host/",
            "http://",
            "mailto:ada@example.org",
        ] {
            assert!(url(text, Reach::Everywhere).is_err(), "{text}");
        }
        assert!(url("https://shop.example/hook", Reach::Public).is_ok());
    }

    #[test]
    fn what_an_operator_or_time_can_mend_may_pass() {
        for (status, may) in [
            (301, true),
            (400, false),
            (401, true),
            (403, true),
            (404, false),
            (408, true),
            (410, false),
            (413, false),
            (422, false),
            (425, true),
            (429, true),
            (500, true),
            (503, true),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(may_pass(status), may, "{status}");
        }
    }

    #[tokio::test]
    async fn names_of_this_machine_have_no_public_address() {
        let name: Name = "localhost".parse().expect("a name");
        let Err(error) = PublicOnly.resolve(name).await else {
            panic!("it was resolved");
        };
        assert_eq!(error.to_string(), "the host has no public address");
    }
}
