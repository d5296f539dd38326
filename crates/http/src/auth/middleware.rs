//! The guard before every route: says who is asking, how often they may, and
//! whether they may read or change anything at all. Whose things those are is
//! for the routes to respect.

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

/// What anybody may have, of any domain: it shows nothing of anybody's.
const OPEN: [&str; 2] = ["/health", "/metrics"];

/// Lets the request through with its [`Principal`], or answers it.
pub(crate) async fn authenticate<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    match admit(&request).await {
        Ok(visitor) => {
            if let Some(principal) = visitor.principal() {
                request.extensions_mut().insert(principal);
            }
            request.extensions_mut().insert(visitor);
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
    if is_open(&access.api, request.path()) {
        return Ok(MaybePrincipal::Known(Principal::anybody()));
    }
    let identified = identify(access, request).await;
    // Those who cannot say who they are get to try just as often as others.
    count(access, request, identified.as_ref().ok())?;
    if may_say_so_later(access, request) {
        return Ok(MaybePrincipal::Unknown);
    }
    let principal = identified?;
    let scope = Scope::of_method(request.method().as_str());
    // A token no page can have a browser add; where none is asked for, any page on this
    // machine could write.
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

/// A page's websocket cannot send a header: it shows its token in its first frame.
fn may_say_so_later(access: &Access, request: &ServiceRequest) -> bool {
    let headers = request.headers();
    access.verifier.is_some()
        && request.path() == access.api.feed
        && is_handshake(request.head())
        && !headers.contains_key(AUTHORIZATION)
}

fn is_open(api: &ApiDefinition, path: &str) -> bool {
    let is_below = |open: &str| {
        let rest = path.strip_prefix(open);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let is_open = |open: &&str| match *open {
        // Everything is below it.
        "/" => path == "/",
        open => is_below(open),
    };
    OPEN.iter().chain(api.open).any(is_open)
}

async fn identify(access: &Access, request: &ServiceRequest) -> Result<Principal, Problem> {
    if access.verifier.is_none() {
        return Ok(Principal::anybody());
    }
    let mut headers = request.headers().get_all(AUTHORIZATION);
    let missing = || {
        refusal::count(refusal::MISSING);
        Problem::unauthenticated()
    };
    let header = headers.next().ok_or_else(missing)?;
    // What is no text is no token of any scheme.
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
    let caller = RateLimitKey::of_request(principal, request.request());
    limiter.count(&caller).map_err(Problem::too_many_requests)
}
