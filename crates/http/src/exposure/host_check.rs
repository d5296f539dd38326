//! Host check, which protects against DNS rebinding while no token is required.
//!
//! If the name `evil.example` is made to resolve to this machine, a browser takes a page of
//! `evil.example` for one of the same origin as this server. Its requests still name that host.

use actix_web::dev::ServiceRequest;
use actix_web::http::header::{HOST, X_FORWARDED_HOST};
use actix_web::http::{Uri, Version};

use super::authority::{Authority, Host};
use super::state::{Exposure, LocalAddress};
use crate::response::problem::{InputFault, Problem};

/// Checks a request's host.
///
/// # Errors
/// 400 if the host is missing or malformed; 421 if no token is required and the host is not
/// served.
pub(super) fn check(exposure: &Exposure, request: &ServiceRequest) -> Result<(), Problem> {
    let Some(authority) = authority(request)? else {
        return Ok(());
    };
    if exposure.requires_token {
        return Ok(());
    }
    let local = request.conn_data::<LocalAddress>().map(|local| local.0);
    let check = |text: &str, host: Option<&Host>| {
        if host.is_some_and(|host| exposure.hosts.contains(host, local)) {
            return Ok(());
        }
        exposure.refusals.host(text);
        Err(Problem::misdirected(text))
    };
    let (text, authority) = authority;
    check(text, Some(&authority.host))?;
    // The proxy forwards the host that the browser named. Both hosts are checked, because a page
    // can send this header itself if the proxy does not replace it.
    let peer = request.peer_addr().map(|peer| peer.ip());
    for text in exposure.forwarded(request.headers(), peer, &X_FORWARDED_HOST) {
        check(
            text,
            Authority::parse(text).map(|found| found.host).as_ref(),
        )?;
    }
    Ok(())
}

/// Returns the request's host and port, as text and parsed; `None` if an HTTP/1.0 request has
/// none.
///
/// # Errors
/// 400 if the host is missing, duplicate, malformed, or differs from that in the request's target
/// (RFC 9112, section 3.2).
fn authority(request: &ServiceRequest) -> Result<Option<(&str, Authority)>, Problem> {
    let mut headers = request.headers().get_all(HOST);
    let (header, second) = (headers.next(), headers.next());
    if second.is_some() {
        return Err(malformed("expected one Host header"));
    }
    let target = target(request.uri())?;
    let Some(header) = header else {
        return match (target, request.version()) {
            (None, Version::HTTP_09 | Version::HTTP_10) => Ok(None),
            (Some(target), Version::HTTP_10 | Version::HTTP_2) => Ok(Some(target)),
            _ => Err(malformed("expected a Host header")),
        };
    };
    let text = header.to_str().ok();
    let found = text.and_then(|text| Some((text, Authority::parse(text)?)));
    let found =
        found.ok_or_else(|| malformed("expected a host and its port, such as localhost:8080"))?;
    match target {
        Some((_, target)) if target != found.1 => Err(malformed(
            "expected the same host as in the request's target",
        )),
        _ => Ok(Some(found)),
    }
}

/// Returns the authority in the request's target (`:authority` in HTTP/2), if it has one.
///
/// # Errors
/// 400 if the authority is malformed.
fn target(target: &Uri) -> Result<Option<(&str, Authority)>, Problem> {
    let Some(authority) = target.authority() else {
        return Ok(None);
    };
    let text = authority.as_str();
    let found = Authority::parse(text).map(|found| Some((text, found)));
    found.ok_or_else(|| malformed("expected a host and its port in the request's target"))
}

fn malformed(detail: &str) -> Problem {
    Problem::invalid(vec![InputFault {
        pointer: "/header/host".to_owned(),
        detail: detail.to_owned(),
    }])
}
