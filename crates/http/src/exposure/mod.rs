//! Checks of hosts and origins, and headers for browsers: the first thing that a request meets.
//!
//! - [`host`]: which hosts are served while no token is required (DNS rebinding);
//! - [`origin`]: which pages may write and follow the feed;
//! - [`cors`]: which pages may read answers (the Fetch standard's CORS);
//! - [`headers`]: what browsers must not do with an answer;
//! - [`public_url`]: links that are right behind a proxy;
//! - [`refusals`]: a log line for each host and origin that was refused.

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

/// How the server is exposed.
#[derive(Clone, Debug, Default)]
pub struct ExposureSettings {
    /// True if a token is required; while none is, only known hosts are served.
    pub requires_token: bool,
    /// Hosts that are served beside `localhost`, loopback addresses and the server's own:
    /// names in lower case, addresses, and `*.NAME` for all names below one.
    pub allowed_hosts: Vec<String>,
    /// Origins of pages that may use the API from a browser, as browsers send them; `*`: any.
    pub cors_origins: Vec<String>,
    /// Proxies whose forwarding headers are believed.
    pub trusted_proxies: TrustedProxies,
    /// URL under which clients find the API, where that is not the server's own.
    pub public_url: Option<PublicUrl>,
}

/// Decides who is answered, for all threads of a server.
pub(crate) struct Exposure {
    requires_token: bool,
    hosts: AllowedHosts,
    origins: Origins,
    proxies: TrustedProxies,
    public_url: Option<PublicUrl>,
    refusals: Refusals,
}

/// Address at which a connection came in.
struct LocalAddress(IpAddr);

/// Remembers the local address where it is known.
pub(crate) fn remember_local(address: Option<IpAddr>, data: &mut Extensions) {
    if let Some(address) = address {
        data.insert(LocalAddress(address.to_canonical()));
    }
}

impl Exposure {
    /// The exposure of a server that listens at the address.
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

    /// The proxies whose forwarding headers are believed.
    pub(crate) fn trusted_proxies(&self) -> &TrustedProxies {
        &self.proxies
    }

    /// Values of a forwarding header, the client's first; none unless a trusted proxy sent it.
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
        // Bytes that are no text are neither a host nor a scheme: empty, and refused.
        let texts = lines.map(|line| line.to_str().unwrap_or_default());
        texts
            .flat_map(|text| text.split(','))
            .map(str::trim)
            .collect()
    }

    /// Refuses what a page of another origin asks for.
    ///
    /// # Errors
    /// 403 that names the setting.
    pub(crate) fn check_origin(&self, request: &HttpRequest, what: &str) -> Result<(), Problem> {
        let refused = match origin::check(self, request) {
            Ok(()) => return Ok(()),
            Err(refused) => refused,
        };
        self.refusals.origin(&refused);
        Err(Problem::origin_refused(&refused, what))
    }
}

/// Answers what may not be asked, and completes every other answer.
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
