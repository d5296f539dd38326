//! Public URL of the API behind a proxy, and its insertion into links such as `Location`.

use actix_web::http::header::{
    CONTENT_LOCATION, HeaderMap, HeaderName, HeaderValue, LINK, LOCATION,
};
use url::Url;

use super::authority::{Authority, Host};
use super::origin::Origin;

/// Headers whose value is a single link.
const LINK_HEADERS: [HeaderName; 3] = [
    LOCATION,
    CONTENT_LOCATION,
    HeaderName::from_static("operation-location"),
];

/// URL of the API for clients: scheme, host, port and a path prefix.
#[derive(Clone, Debug)]
pub struct PublicUrl {
    /// URL without a trailing slash.
    base: String,
    host: Host,
    origin: Origin,
}

impl PublicUrl {
    /// Parses a URL; `None` if it is malformed or has no host.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let authority = Authority {
            host: Host::parse(url.host_str()?)?,
            port: url.port(),
        };
        Some(Self {
            base: text.trim_end_matches('/').to_owned(),
            host: authority.host.clone(),
            origin: Origin::new(url.scheme(), authority),
        })
    }

    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Prepends the URL to every path in the link headers of a response.
    pub(super) fn complete(&self, headers: &mut HeaderMap) {
        for name in LINK_HEADERS {
            if let Some(link) = headers.get(&name).and_then(|link| self.absolute(link)) {
                headers.insert(name, link);
            }
        }
        if headers.contains_key(LINK) {
            let links: Vec<HeaderValue> = headers.get_all(LINK).cloned().collect();
            headers.remove(LINK);
            for link in links {
                let link = self.absolute_targets(&link).unwrap_or(link);
                headers.append(LINK, link);
            }
        }
    }

    fn absolute(&self, link: &HeaderValue) -> Option<HeaderValue> {
        let path = link.to_str().ok()?;
        let is_path = path.starts_with('/') && !path.starts_with("//");
        let link = is_path.then(|| format!("{}{path}", self.base))?;
        HeaderValue::from_str(&link).ok()
    }

    /// Prepends the URL to the targets of a `Link` header, such as
    /// `</order?cursor=a>; rel="next"`.
    fn absolute_targets(&self, links: &HeaderValue) -> Option<HeaderValue> {
        let links = links.to_str().ok()?;
        let links = links.replace("</", &format!("<{}/", self.base));
        HeaderValue::from_str(&links).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_get_the_public_url() {
        let url = PublicUrl::parse("https://shop.example:8443/orders/").expect("a URL");
        let mut headers = HeaderMap::new();
        let mut put = |name: HeaderName, value| {
            headers.append(name, HeaderValue::from_static(value));
        };
        put(LOCATION, "/order/1");
        put(LINK_HEADERS[2].clone(), "/operation/2");
        put(CONTENT_LOCATION, "https://other.example/");
        put(LINK, "</order?a>; rel=\"next\", </order?b>; rel=\"prev\"");
        put(LINK, "<https://other.example/>; rel=\"help\"");
        url.complete(&mut headers);
        let at = |name: &HeaderName| -> Vec<&str> {
            let values = headers.get_all(name);
            values.map(|value| value.to_str().expect("text")).collect()
        };
        assert_eq!(at(&LOCATION), ["https://shop.example:8443/orders/order/1"]);
        assert_eq!(
            at(&LINK_HEADERS[2]),
            ["https://shop.example:8443/orders/operation/2"]
        );
        assert_eq!(at(&CONTENT_LOCATION), ["https://other.example/"]);
        assert_eq!(
            at(&LINK),
            [
                "<https://shop.example:8443/orders/order?a>; rel=\"next\", \
                 <https://shop.example:8443/orders/order?b>; rel=\"prev\"",
                "<https://other.example/>; rel=\"help\"",
            ]
        );
    }
}
