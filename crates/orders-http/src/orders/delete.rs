//! `DELETE /order/{id}`: removes the order from lists, and cancels it if it has not been shipped.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_http::AppState;
use bakehouse_http::accept::Change;
use bakehouse_http::auth::Principal;
use bakehouse_http::request::path_id::PathId;
use bakehouse_http::response::problem::Problem;
use bakehouse_orders::{Command, Orders};

use crate::docs::parts::{
    Accepted, CarriedOut, Changed, IfMatch, IfNoneMatchWrite, KeyReused, NoSuchOrder, OrderId,
    Prefer, Refused, SubmissionHeaders,
};

/// Delete an order
///
/// The order no longer appears in lists. An order that is `placed` or `paid` is cancelled; one that
/// is `shipped` or `delivered` keeps its status. The order can still be read by its id, and its
/// history remains.
#[utoipa::path(
    delete,
    path = "/order/{id}",
    tag = "orders",
    params(OrderId, SubmissionHeaders, IfMatch, IfNoneMatchWrite, Prefer),
    responses(Accepted, CarriedOut, NoSuchOrder, Refused, Changed, KeyReused)
)]
pub(super) async fn delete(
    request: HttpRequest,
    id: web::Path<PathId>,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let change = Change {
        request: &request,
        principal: &principal,
        id: &id,
    };
    change
        .accept::<Orders>(&state, async |_, _| Ok(Command::Delete))
        .await
}
