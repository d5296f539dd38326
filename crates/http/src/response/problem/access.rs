//! Problems of authentication, authorisation, origins and hosts.

use actix_web::http::{StatusCode, header};

use serde_json::json;

use super::Problem;
use crate::auth::refusal::TokenRefusal;

impl Problem {
    /// 401: the request has no token.
    #[must_use]
    pub fn unauthenticated() -> Self {
        let detail = "a bearer token is required";
        Self::challenge("unauthenticated", detail, "Bearer".to_owned())
    }

    /// 401: the token is invalid; with the check that failed (RFC 6750, section 3).
    #[must_use]
    pub(crate) fn invalid_token(refusal: TokenRefusal) -> Self {
        let detail = refusal.description();
        let challenge = format!("Bearer error=\"invalid_token\", error_description=\"{detail}\"");
        Self::challenge("invalid-token", &detail, challenge).with("reason", json!(refusal.reason()))
    }

    fn challenge(kind: &'static str, detail: &str, challenge: String) -> Self {
        let title = "Not authenticated";
        let mut problem = Self::new(StatusCode::UNAUTHORIZED, kind, title, detail.to_owned());
        problem.headers.push((header::WWW_AUTHENTICATE, challenge));
        problem
    }

    /// Checks whether the problem is a failed authentication.
    pub(crate) fn is_unauthenticated(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    /// 403: the caller is authenticated but lacks a permission.
    #[must_use]
    pub fn forbidden(detail: String) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail)
    }

    /// 403: the request comes from a page of an origin that is not allowed; `action` is what it
    /// tried.
    #[must_use]
    pub fn origin_refused(origin: &str, action: &str) -> Self {
        const MAX_LENGTH: usize = 200;
        let origin: String = origin.chars().take(MAX_LENGTH).collect();
        Self::forbidden(format!(
            "pages of {origin:?} may not {action}; add the origin to http.cors_origins, or set \
             http.public_url if it is the server's own address behind a proxy"
        ))
    }

    /// 421: the host is not served.
    #[must_use]
    pub fn misdirected(host: &str) -> Self {
        const MAX_LENGTH: usize = 200;
        let host: String = host.chars().take(MAX_LENGTH).collect();
        Self::new(
            StatusCode::MISDIRECTED_REQUEST,
            "misdirected-request",
            "Misdirected request",
            format!("the host {host:?} is not served; add it to http.allowed_hosts"),
        )
    }

    /// 403: the token lacks the required scope.
    #[must_use]
    pub fn insufficient_scope(scope: &str) -> Self {
        let detail = format!("the token lacks the scope {scope}");
        let challenge = format!(
            "Bearer error=\"insufficient_scope\", error_description=\"{detail}\", \
             scope=\"{scope}\""
        );
        let mut problem = Self::forbidden(detail);
        problem.headers.push((header::WWW_AUTHENTICATE, challenge));
        problem
    }
}
