//! Host, origin and proxy settings, and what the checks of requests share.

use std::net::IpAddr;

use actix_web::dev::Extensions;
use actix_web::http::header::{HeaderMap, HeaderName};

use super::host::AllowedHosts;
use super::origin::Origins;
use super::public_url::PublicUrl;
use super::refusals::Refusals;
use super::trusted_proxies::TrustedProxies;

/// Settings of host checks, CORS, proxies and public links.
#[derive(Clone, Debug, Default)]
pub struct ExposureSettings {
    /// True if a token is required; otherwise only allowed hosts are served.
    pub requires_token: bool,
    /// Hosts that are served in addition to `localhost`, loopback addresses and the server's own
    /// address: names in lower case, addresses, and `*.NAME` for all names below one.
    pub allowed_hosts: Vec<String>,
    /// Origins of pages that may use the API from a browser, as browsers send them; `*`: any.
    pub cors_origins: Vec<String>,
    /// Proxies whose forwarding headers are trusted.
    pub trusted_proxies: TrustedProxies,
    /// URL of the API for clients, if it is not the server's own.
    pub public_url: Option<PublicUrl>,
}

/// Host, origin and proxy settings in effect, shared by all worker threads.
pub(crate) struct Exposure {
    pub(super) requires_token: bool,
    pub(super) hosts: AllowedHosts,
    pub(super) origins: Origins,
    proxies: TrustedProxies,
    pub(super) public_url: Option<PublicUrl>,
    pub(super) refusals: Refusals,
}

/// Local address of a connection.
pub(super) struct LocalAddress(pub(super) IpAddr);

/// Stores a connection's local address, if it is known.
pub(crate) fn remember_local(address: Option<IpAddr>, data: &mut Extensions) {
    if let Some(address) = address {
        data.insert(LocalAddress(address.to_canonical()));
    }
}

impl Exposure {
    /// Creates the exposure of a server that listens at the address `bind`.
    pub(crate) fn new(settings: ExposureSettings, bind: IpAddr) -> Self {
        let public_host = settings.public_url.as_ref().map(PublicUrl::host);
        let public_origin = settings.public_url.as_ref().map(PublicUrl::origin);
        Self {
            requires_token: settings.requires_token,
            hosts: AllowedHosts::new(settings.allowed_hosts, public_host, bind),
            origins: Origins::new(&settings.cors_origins, public_origin),
            proxies: settings.trusted_proxies,
            public_url: settings.public_url,
            refusals: Refusals::default(),
        }
    }

    /// Proxies whose forwarding headers are trusted.
    pub(crate) fn trusted_proxies(&self) -> &TrustedProxies {
        &self.proxies
    }

    /// Returns the values of a forwarding header, the client's first; empty unless a trusted proxy
    /// sent it.
    pub(super) fn forwarded<'a>(
        &self,
        headers: &'a HeaderMap,
        peer: Option<IpAddr>,
        name: &HeaderName,
    ) -> Vec<&'a str> {
        if !peer.is_some_and(|peer| self.proxies.contains(peer)) {
            return Vec::new();
        }
        let lines = headers.get_all(name);
        // A value that is not ASCII text becomes empty, which is refused.
        let texts = lines.map(|line| line.to_str().unwrap_or_default());
        texts
            .flat_map(|text| text.split(','))
            .map(str::trim)
            .collect()
    }
}
