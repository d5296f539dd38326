//! Which pages may do what browsers let any page do: they ask nobody before they open a
//! websocket, or send a body that says of no type. The server has to look for itself.

use actix_web::HttpRequest;
use actix_web::http::header::{HOST, ORIGIN};
use url::Url;

use crate::problem::Problem;

/// Lets in who is no page, pages of this very server, and those of the list.
///
/// # Errors
/// 403 for pages from elsewhere.
pub(crate) fn check(request: &HttpRequest, allowed: &[String], what: &str) -> Result<(), Problem> {
    let Some(origin) = request.headers().get(ORIGIN) else {
        return Ok(());
    };
    let origin = origin.to_str().unwrap_or_default();
    let host = request.headers().get(HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    if is_of(origin, host) || allowed.iter().any(|one| one == "*" || one == origin) {
        return Ok(());
    }
    Err(Problem::forbidden(format!(
        "pages of {origin:?} may not {what}; http.cors_origins names those that may"
    )))
}

/// Whether the origin is the one that the host header speaks of.
fn is_of(origin: &str, host: &str) -> bool {
    let Ok(url) = Url::parse(origin) else {
        return false;
    };
    let Some(name) = url.host_str() else {
        return false;
    };
    let own = match url.port() {
        Some(port) => format!("{name}:{port}"),
        None => name.to_owned(),
    };
    own.eq_ignore_ascii_case(host)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn pages_from_elsewhere_are_refused_unless_they_are_on_the_list() {
        let is_let_in = |origin: Option<&str>, allowed: &[&str]| {
            let mut request = TestRequest::get().insert_header((HOST, "shop.example:8080"));
            if let Some(origin) = origin {
                request = request.insert_header((ORIGIN, origin));
            }
            let allowed: Vec<String> = allowed.iter().map(|one| (*one).to_owned()).collect();
            check(&request.to_http_request(), &allowed, "write").is_ok()
        };
        assert!(is_let_in(None, &[]));
        assert!(is_let_in(Some("http://shop.example:8080"), &[]));
        assert!(is_let_in(
            Some("https://other.example"),
            &["https://other.example"]
        ));
        assert!(is_let_in(Some("https://other.example"), &["*"]));
        for origin in [
            "http://shop.example",
            "https://evil.example",
            "null",
            "",
            "shop.example:8080",
        ] {
            assert!(
                !is_let_in(Some(origin), &["https://other.example"]),
                "{origin}"
            );
        }
    }
}
