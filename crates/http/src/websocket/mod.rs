//! A websocket as far as it is not about orders: messages in, bytes out.
//!
//! Incoming messages are actix-ws's, behind a [`guard`] that looks at every frame's
//! header before anything is kept of it. Outgoing [`frame`]s are bytes of our own:
//! what many clients get is made once. They are the response's body, which the
//! server asks for more only when the socket has taken what there was: a client
//! that does not read holds up nobody, and nothing gathers for it. Past the server
//! they go by a `line` of their own, without being copied.

pub mod frame;
pub mod guard;
pub mod line;
mod messages;

use actix_web::body::BoxBody;
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};

pub use messages::{Incoming, Messages};

/// Answers the handshake. The response has no body yet: it is to be a stream of
/// frames, and must keep the [`Messages`].
///
/// # Errors
/// When the request is no handshake.
pub async fn upgrade(
    request: &HttpRequest,
    payload: web::Payload,
    limits: guard::Limits,
) -> actix_web::Result<(HttpResponse<()>, Messages)> {
    let (mut guarded, verdict) = guard::guard(payload.into_inner(), limits);
    let payload = web::Payload::from_request(request, &mut guarded).await?;
    let (response, _, messages) = actix_ws::handle(request, payload)?;
    let (response, body): (_, BoxBody) = response.into_parts();
    // The guard's limits are the tighter ones.
    let most = usize::try_from(limits.longest_message).unwrap_or(usize::MAX);
    let messages = messages
        .max_frame_size(most)
        .aggregate_continuations()
        .max_continuation_size(most);
    Ok((response, Messages::new(messages, verdict, body)))
}
