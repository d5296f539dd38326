//! Authentication middleware: identifies the principal, and checks its rate limit and its scope
//! before every route. Checks of an entity's owner are left to the routes.

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::AUTHORIZATION;
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, ResponseError, web};

use super::rate::RateLimitKey;
use super::refusal::{self, TokenRefusal};
use super::{Access, MaybePrincipal, Principal, Scope, lacks};
use crate::api_definition::ApiDefinition;
use crate::connections::is_handshake;
use crate::exposure::Exposure;
use crate::response::problem::Problem;

/// Public paths of every domain: they and all paths below them need no authentication.
const PUBLIC_PATHS: [&str; 2] = ["/health", "/metrics"];

/// Passes the request on with its [`Principal`], or responds with a problem.
pub(crate) async fn authenticate<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    match admit(&request).await {
        Ok(maybe_principal) => {
            if let Some(principal) = maybe_principal.principal() {
                request.extensions_mut().insert(principal);
            }
            request.extensions_mut().insert(maybe_principal);
            next.call(request)
                .await
                .map(ServiceResponse::map_into_left_body)
        }
        Err(problem) => {
            let answer = problem.error_response();
            Ok(request.into_response(answer).map_into_right_body())
        }
    }
}

async fn admit(request: &ServiceRequest) -> Result<MaybePrincipal, Problem> {
    let access = request
        .app_data::<web::Data<Access>>()
        .ok_or_else(Problem::internal)?;
    if is_public(&access.api, request.path()) {
        return Ok(MaybePrincipal::Known(Principal::anonymous()));
    }
    let identified = identify(access, request).await;
    // Requests that fail authentication count as well.
    count(access, request, identified.as_ref().ok())?;
    if may_authenticate_later(access, request) {
        return Ok(MaybePrincipal::Unknown);
    }
    let principal = identified?;
    let scope = Scope::of_method(request.method().as_str());
    // A page cannot make a browser add a token. Without tokens, any page on this machine could
    // write.
    if access.verifier.is_none() && scope == Scope::Write {
        let exposure = request.app_data::<web::Data<Exposure>>();
        let exposure = exposure.ok_or_else(Problem::internal)?;
        exposure.check_origin(request.request(), "write")?;
    }
    if principal.may(scope) {
        return Ok(MaybePrincipal::Known(principal));
    }
    Err(lacks(&access.api, scope))
}

/// Checks whether the token may come in the first frame: the websocket of a page cannot send an
/// `Authorization` header.
fn may_authenticate_later(access: &Access, request: &ServiceRequest) -> bool {
    let headers = request.headers();
    access.verifier.is_some()
        && request.path() == access.api.feed
        && is_handshake(request.head())
        && !headers.contains_key(AUTHORIZATION)
}

fn is_public(api: &ApiDefinition, path: &str) -> bool {
    let is_below = |public: &str| {
        let rest = path.strip_prefix(public);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let is_match = |public: &&str| match *public {
        // Every path is below it.
        "/" => path == "/",
        public => is_below(public),
    };
    PUBLIC_PATHS.iter().chain(api.public_paths).any(is_match)
}

async fn identify(access: &Access, request: &ServiceRequest) -> Result<Principal, Problem> {
    if access.verifier.is_none() {
        return Ok(Principal::anonymous());
    }
    let mut headers = request.headers().get_all(AUTHORIZATION);
    let missing = || {
        refusal::count(refusal::MISSING);
        Problem::unauthenticated()
    };
    let header = headers.next().ok_or_else(missing)?;
    // A value that is not ASCII text has no known scheme.
    let header = header.to_str().unwrap_or_default();
    let (scheme, token) = header.split_once(' ').unwrap_or((header, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(missing());
    }
    if headers.next().is_some() {
        let refusal = TokenRefusal::Malformed("there are several Authorization headers");
        refusal.record();
        return Err(Problem::invalid_token(refusal));
    }
    let address = RateLimitKey::of_request(None, request.request());
    access.verify(token.trim(), &address).await
}

fn count(
    access: &Access,
    request: &ServiceRequest,
    principal: Option<&Principal>,
) -> Result<(), Problem> {
    let Some(limiter) = &access.limiter else {
        return Ok(());
    };
    let key = RateLimitKey::of_request(principal, request.request());
    limiter.count(&key).map_err(Problem::too_many_requests)
}
