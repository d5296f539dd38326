//! Exposure middleware: checks of hosts and origins, and headers for browsers. It runs before
//! any other check of a request.
//!
//! - [`authority`]: parsing of hosts and ports;
//! - [`host`]: hosts that are served while no token is required (DNS rebinding);
//! - [`origin`]: pages that may write and subscribe to the feed;
//! - [`cors`]: pages that may read responses (CORS);
//! - [`headers`]: security headers;
//! - [`public_url`]: links under the public URL behind a proxy;
//! - [`refusals`]: log lines and counts of refused hosts and origins.

mod authority;
mod cors;
mod headers;
mod host;
mod origin;
mod public_url;
mod refusals;

use std::net::IpAddr;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Extensions, ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, ResponseError, web};

use crate::auth::TrustedProxies;
use crate::response::problem::Problem;
use host::AllowedHosts;
use origin::Origins;
pub use public_url::PublicUrl;
use refusals::Refusals;

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
    requires_token: bool,
    hosts: AllowedHosts,
    origins: Origins,
    proxies: TrustedProxies,
    public_url: Option<PublicUrl>,
    refusals: Refusals,
}

/// Local address of a connection.
struct LocalAddress(IpAddr);

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
        Self {
            requires_token: settings.requires_token,
            hosts: AllowedHosts::new(settings.allowed_hosts, public_host, bind),
            origins: Origins::new(&settings.cors_origins, settings.public_url.as_ref()),
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
    fn forwarded<'a>(
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

    /// Checks that the request does not come from a page of a disallowed origin. `action`
    /// completes "pages of … may not".
    ///
    /// # Errors
    /// 403 with the names of the settings that allow the origin.
    pub(crate) fn check_origin(&self, request: &HttpRequest, action: &str) -> Result<(), Problem> {
        let refused = match origin::check(self, request) {
            Ok(()) => return Ok(()),
            Err(refused) => refused,
        };
        self.refusals.origin(&refused);
        Err(Problem::origin_refused(&refused, action))
    }
}

/// Middleware that refuses disallowed hosts, responds to preflights, and adds headers to every
/// response.
pub(crate) async fn exposure<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(exposure) = request.app_data::<web::Data<Exposure>>().cloned() else {
        let answer = Problem::internal().error_response();
        return Ok(request.into_response(answer));
    };
    if let Err(problem) = host::check(&exposure, &request) {
        let mut answer = request.into_response(problem.error_response());
        headers::protect(answer.response_mut());
        return Ok(answer);
    }
    let page = cors::Page::of(&exposure, request.headers());
    let preflight = page
        .as_ref()
        .and_then(|page| page.preflight(&exposure, &request));
    let mut answer = match preflight {
        Some(answer) => request.into_response(answer),
        None => next.call(request).await?.map_into_boxed_body(),
    };
    cors::complete(&exposure, page.as_ref(), answer.response_mut());
    headers::protect(answer.response_mut());
    if let Some(url) = &exposure.public_url {
        url.complete(answer.headers_mut());
    }
    Ok(answer)
}
