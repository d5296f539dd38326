//! HTTP client of the text message and webhook channels, which does not follow redirects, and the
//! interpretation of its responses.

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

/// Maximum delay that a `Retry-After` header may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Addresses that a client may connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AllowedHosts {
    /// All addresses.
    All,
    /// Only publicly routable addresses, which excludes this machine and private networks.
    Public,
}

/// Creates an HTTP client.
///
/// # Errors
/// [`SetupError`] if TLS cannot be set up.
pub(crate) fn client(allowed: AllowedHosts, timeout: Duration) -> Result<Client, SetupError> {
    // An error means that a provider is installed; all parts of the program install the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("bakehouse/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .timeout(timeout);
    if allowed == AllowedHosts::Public {
        // A proxy would resolve the names itself.
        builder = builder.no_proxy().dns_resolver(Arc::new(PublicOnly));
    }
    builder.build().map_err(SetupError::new)
}

/// Parses the URL of an endpoint.
///
/// # Errors
/// [`SetupError`] if it is not an HTTP URL, or names an address that is not allowed.
pub(crate) fn url(text: &str, allowed: AllowedHosts) -> Result<Url, SetupError> {
    let invalid = || SetupError::new("url: must have the form https://HOST/PATH");
    let url: Url = text.parse().map_err(|_| invalid())?;
    let address = match url.host().ok_or_else(invalid)? {
        Host::Ipv4(address) => Some(IpAddr::V4(address)),
        Host::Ipv6(address) => Some(IpAddr::V6(address)),
        // Checked when the name is resolved.
        Host::Domain(_) => None,
    };
    if !["http", "https"].contains(&url.scheme()) {
        return Err(invalid());
    }
    if allowed == AllowedHosts::Public && address.is_some_and(|address| !is_public(address)) {
        return Err(SetupError::new("url: private addresses are not allowed"));
    }
    Ok(url)
}

/// Resolver that drops addresses which are not public. A check before the request could be evaded
/// by a name whose second look-up has another result.
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

/// Checks that an address is publicly routable: not this machine's, not private, and not in a
/// special-purpose registry of RFC 6890.
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
            // Only 2000::/3 is allocated; it includes tunnels to IPv4 (6to4, Teredo) and
            // addresses for documentation.
            let is_allocated = first & 0xe000 == 0x2000;
            let is_special = first == 0x2002 || (first == 0x2001 && v6.segments()[1] < 0x200);
            let is_documentation = first == 0x2001 && v6.segments()[1] == 0xdb8;
            is_allocated && !is_special && !is_documentation
        }
    }
}

/// Converts an error of the client, without the URL that it contains, because that may hold a
/// secret; only the root cause is kept.
pub(crate) fn no_response(error: &reqwest::Error) -> SendError {
    let mut cause = error.source();
    let mut text = String::from("no response");
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    SendError::unavailable(text)
}

/// Returns the error of a response that a retry may change, with its `Retry-After`.
pub(crate) fn retryable(response: &Response, note: &str) -> SendError {
    let retry_after = response.headers().get(RETRY_AFTER);
    let seconds = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
    SendError::Unavailable {
        reason: format!("status {}{note}", response.status().as_u16()),
        retry_after: seconds.map(|seconds| Duration::from_secs(seconds).min(MAX_RETRY_AFTER)),
    }
}

/// Checks whether the same request may succeed later: after an error of the server, after
/// throttling, or once an operator has corrected the credentials.
pub(crate) fn is_retryable(status: StatusCode) -> bool {
    let retryable = [
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::TOO_EARLY,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    !status.is_client_error() || retryable.contains(&status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_purpose_addresses_are_not_public() {
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
            assert!(url(text, AllowedHosts::Public).is_err(), "{text}");
            assert!(url(text, AllowedHosts::All).is_ok(), "{text}");
        }
        for text in [
            "nothing",
            "ftp://host/",
            "http://",
            "mailto:ada@example.org",
        ] {
            assert!(url(text, AllowedHosts::All).is_err(), "{text}");
        }
        assert!(url("https://shop.example/hook", AllowedHosts::Public).is_ok());
    }

    #[test]
    fn errors_of_servers_and_of_access_are_retryable() {
        for (status, expected) in [
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
            assert_eq!(is_retryable(status), expected, "{status}");
        }
    }

    #[tokio::test]
    async fn names_of_this_machine_have_no_public_address() {
        let name: Name = "localhost".parse().expect("a name");
        let Err(error) = PublicOnly.resolve(name).await else {
            panic!("the name was resolved");
        };
        assert_eq!(error.to_string(), "the host has no public address");
    }
}
