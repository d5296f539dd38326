//! Problems of callers: who is asking, and what they may do.

use actix_web::http::{StatusCode, header};

use serde_json::json;

use super::Problem;
use crate::auth::refusal::TokenRefusal;

impl Problem {
    /// 401: no token.
    #[must_use]
    pub fn unauthenticated() -> Self {
        let detail = "a bearer token is needed";
        Self::challenge("unauthenticated", detail, "Bearer".to_owned())
    }

    /// 401: a token that is not to be believed, with the check that it failed (RFC 6750,
    /// section 3).
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

    /// Tells whether it says that the caller is not who they say they are.
    pub(crate) fn is_unauthenticated(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    /// 403: known, but this is not for them.
    #[must_use]
    pub fn forbidden(detail: String) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail)
    }

    /// 403: a page of another origin.
    #[must_use]
    pub fn origin_refused(origin: &str, what: &str) -> Self {
        const MAX_LENGTH: usize = 200;
        let origin: String = origin.chars().take(MAX_LENGTH).collect();
        Self::forbidden(format!(
            "pages of {origin:?} may not {what}; http.cors_origins names those that may, and \
             http.public_url the server's own address behind a proxy"
        ))
    }

    /// 421: a host that is not served.
    #[must_use]
    pub fn misdirected(host: &str) -> Self {
        const MAX_LENGTH: usize = 200;
        let host: String = host.chars().take(MAX_LENGTH).collect();
        Self::new(
            StatusCode::MISDIRECTED_REQUEST,
            "misdirected-request",
            "Misdirected request",
            format!("the host {host:?} is not served; http.allowed_hosts names those that are"),
        )
    }

    /// 403: a token without the scope that this takes.
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
