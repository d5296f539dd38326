//! Origin check of requests that browsers send without a preflight: websocket handshakes, and
//! bodies without a content type.

use actix_web::HttpRequest;
use actix_web::http::header::{
    HOST, HeaderName, HeaderValue, ORIGIN, X_FORWARDED_HOST, X_FORWARDED_PROTO,
};

use super::authority::Authority;
use super::origin::Origin;
use super::state::Exposure;
use crate::response::problem::Problem;

/// Header in which a browser relates a request's initiator to its target.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

impl Exposure {
    /// Checks that the request does not come from a page of a disallowed origin. `action`
    /// completes "pages of … may not".
    ///
    /// # Errors
    /// 403 with the names of the settings that allow the origin.
    pub(crate) fn check_origin(&self, request: &HttpRequest, action: &str) -> Result<(), Problem> {
        let refused = match check(self, request) {
            Ok(()) => return Ok(()),
            Err(refused) => refused,
        };
        self.refusals.origin(&refused);
        Err(Problem::origin_refused(&refused, action))
    }
}

/// Accepts requests that do not come from a page, and those of pages of the server's own and of
/// allowed origins.
///
/// # Errors
/// The origin that is refused.
fn check(exposure: &Exposure, request: &HttpRequest) -> Result<(), String> {
    let mut origins = request.headers().get_all(ORIGIN);
    let Some(origin) = origins.next() else {
        return check_site(exposure, request);
    };
    let text = origin.to_str().ok().filter(|_| origins.next().is_none());
    let is_allowed = text.is_some_and(|text| {
        let is_own = |origin| own_origins(exposure, request).contains(&origin);
        exposure.origins.contain(text) || Origin::parse(text).is_some_and(is_own)
    });
    if is_allowed {
        return Ok(());
    }
    Err(String::from_utf8_lossy(origin.as_bytes()).into_owned())
}

/// Checks a request without an `Origin` header by its `Sec-Fetch-Site` header.
///
/// # Errors
/// A description of the origin that is refused.
fn check_site(exposure: &Exposure, request: &HttpRequest) -> Result<(), String> {
    let mut sites = request
        .headers()
        .get_all(SEC_FETCH_SITE)
        .map(HeaderValue::as_bytes);
    let is_own = |site: &[u8]| matches!(site, b"same-origin" | b"none");
    if exposure.origins.allow_any() || sites.all(is_own) {
        return Ok(());
    }
    Err("another site".to_owned())
}

/// Returns the server's own origins: that to which the request was sent, and the public one.
fn own_origins(exposure: &Exposure, request: &HttpRequest) -> Vec<Origin> {
    let headers = request.headers();
    let peer = request.peer_addr().map(|peer| peer.ip());
    let forwarded = |name| exposure.forwarded(headers, peer, &name).first().copied();
    let scheme = match forwarded(X_FORWARDED_PROTO) {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => "https",
        _ => "http",
    };
    let header = headers.get(HOST).and_then(|host| host.to_str().ok());
    let target = request.uri().authority().map(|target| target.as_str());
    let host = forwarded(X_FORWARDED_HOST).or(header).or(target);
    let authority = host.and_then(Authority::parse);
    let origin = authority.map(|authority| Origin::new(scheme, authority));
    origin
        .into_iter()
        .chain(exposure.origins.public.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};

    use actix_web::test::TestRequest;

    use super::super::public_url::PublicUrl;
    use super::super::state::ExposureSettings;
    use super::super::trusted_proxies::{Network, TrustedProxies};
    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn exposure(cors_origins: &[&str], public: Option<&str>) -> Exposure {
        let settings = ExposureSettings {
            cors_origins: cors_origins.iter().map(|one| (*one).to_owned()).collect(),
            trusted_proxies: TrustedProxies::new(vec![Network::new(LOCAL, 32)]),
            public_url: public.map(|url| PublicUrl::parse(url).expect("a URL")),
            ..ExposureSettings::default()
        };
        Exposure::new(settings, LOCAL)
    }

    fn is_allowed(exposure: &Exposure, peer: [u8; 4], headers: &[(&str, &str)]) -> bool {
        let mut request = TestRequest::get().peer_addr(SocketAddr::from((peer, 1)));
        for (name, value) in headers {
            request = request.append_header((*name, *value));
        }
        check(exposure, &request.to_http_request()).is_ok()
    }

    #[test]
    fn pages_of_other_origins_are_refused_unless_they_are_listed() {
        let shop = ("host", "shop.example:8080");
        let listed = exposure(&["https://other.example"], None);
        let is_in = |exposure: &Exposure, origin| {
            is_allowed(exposure, [192, 0, 2, 1], &[shop, ("origin", origin)])
        };
        for origin in [
            "http://shop.example:8080",
            "HTTP://Shop.Example:8080",
            "http://shop.example.:8080",
            "https://other.example",
            "https://other.example:443",
            "https://OTHER.example",
        ] {
            assert!(is_in(&listed, origin), "{origin}");
        }
        for origin in [
            "http://shop.example",
            "https://shop.example:8080",
            "https://evil.example",
            "null",
            "",
            "shop.example:8080",
            "//shop.example:8080",
            "http://user@shop.example:8080",
            "http://shop.example:8080/",
            "https://other.example.evil.example",
            "http://other.example",
            "https://other.example:80",
            "https://other.example, x",
        ] {
            assert!(!is_in(&listed, origin), "{origin}");
        }
        assert!(is_in(&exposure(&["*"], None), "https://evil.example"));
        let twice = [
            shop,
            ("origin", "http://shop.example:8080"),
            ("origin", "null"),
        ];
        assert!(!is_allowed(&listed, [192, 0, 2, 1], &twice));
    }

    #[test]
    fn a_default_port_may_be_omitted() {
        let own = exposure(&[], None);
        for (host, origin) in [
            ("localhost", "http://localhost:80"),
            ("localhost:80", "http://localhost"),
            ("[::1]:80", "http://[0::1]"),
        ] {
            assert!(is_allowed(
                &own,
                [192, 0, 2, 1],
                &[("host", host), ("origin", origin)]
            ));
        }
        let tls = [("host", "localhost:443"), ("origin", "https://localhost")];
        assert!(
            !is_allowed(&own, [192, 0, 2, 1], &tls),
            "the server has no TLS"
        );
    }

    #[test]
    fn behind_a_proxy_the_origin_is_the_public_one() {
        let public = exposure(&[], Some("https://shop.example/orders"));
        let inside = ("host", "127.0.0.1:8080");
        let page = ("origin", "https://shop.example");
        assert!(is_allowed(&public, [192, 0, 2, 1], &[inside, page]));
        let own = exposure(&[], None);
        assert!(!is_allowed(&own, [127, 0, 0, 1], &[inside, page]));
        let forwarded = [
            inside,
            page,
            ("x-forwarded-host", "shop.example"),
            ("x-forwarded-proto", "https"),
        ];
        assert!(is_allowed(&own, [127, 0, 0, 1], &forwarded));
        assert!(
            !is_allowed(&own, [192, 0, 2, 1], &forwarded),
            "the peer is not trusted"
        );
    }

    #[test]
    fn without_an_origin_sec_fetch_site_decides() {
        let own = exposure(&["https://other.example"], None);
        let is_in = |exposure: &Exposure, site| {
            is_allowed(
                exposure,
                [127, 0, 0, 1],
                &[("host", "localhost"), ("sec-fetch-site", site)],
            )
        };
        assert!(is_allowed(&own, [127, 0, 0, 1], &[("host", "localhost")]));
        assert!(is_in(&own, "same-origin") && is_in(&own, "none"));
        assert!(!is_in(&own, "cross-site") && !is_in(&own, "same-site") && !is_in(&own, "x"));
        assert!(is_in(&exposure(&["*"], None), "cross-site"));
    }
}
