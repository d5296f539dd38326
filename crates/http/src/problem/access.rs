//! Problems of callers: who is asking, and what they may do.

use actix_web::http::{StatusCode, header};

use super::Problem;

impl Problem {
    /// 401: no token.
    #[must_use]
    pub fn unauthenticated() -> Self {
        Self::challenge("unauthenticated", "a bearer token is needed", "Bearer")
    }

    /// 401: a token that is not to be believed: expired, say, or somebody else's.
    #[must_use]
    pub fn invalid_token() -> Self {
        let challenge = "Bearer error=\"invalid_token\"";
        Self::challenge("invalid-token", "the bearer token is not valid", challenge)
    }

    fn challenge(kind: &'static str, detail: &str, challenge: &'static str) -> Self {
        let title = "Not authenticated";
        let mut problem = Self::new(StatusCode::UNAUTHORIZED, kind, title, detail.to_owned());
        problem
            .headers
            .push((header::WWW_AUTHENTICATE, challenge.to_owned()));
        problem
    }

    /// 403: known, but this is not for them.
    #[must_use]
    pub fn forbidden(detail: String) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail)
    }

    /// 403: a token without the scope that this takes.
    #[must_use]
    pub fn insufficient_scope(scope: &str) -> Self {
        let mut problem = Self::forbidden(format!("the token lacks the scope {scope}"));
        let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
        problem.headers.push((header::WWW_AUTHENTICATE, challenge));
        problem
    }
}
