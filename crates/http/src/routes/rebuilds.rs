//! Online rebuilds of the source state or the presentation from the log, for operators.

use actix_web::{HttpResponse, web};
use bakehouse_engine::Position;
use bakehouse_engine::ports::{Rebuild, RebuildState, Rebuilds, StoreError};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use crate::auth::{Principal, require_operator};
use crate::response::openapi_components::NoSuchPart;
use crate::response::problem::Problem;
use crate::state::AppState;

/// OpenAPI documentation of these routes.
#[derive(OpenApi)]
#[openapi(paths(list, start, cancel))]
pub struct Documentation;

/// Last rebuild of one part.
#[derive(Serialize, ToSchema)]
#[schema(as = Round)]
struct RebuildStatus {
    /// Rebuilt part: `source` or `presentation`.
    name: &'static str,
    /// Number of the rebuild: 1, 2, 3, …; 0 if there has been none.
    #[serde(rename = "round")]
    rebuild_id: u64,
    /// `under-way`, `given-up`, or `done`; also `done` if there has been none.
    state: &'static str,
    /// Reason for which the rebuild was given up: an error, or an operator cancelled it.
    #[schema(nullable)]
    reason: Option<String>,
    /// Position that the rebuild has reached while it is under way; afterwards equal to `of`.
    position: Position,
    /// Position of the store that serves reads.
    #[serde(rename = "of")]
    live_position: Position,
}

impl RebuildStatus {
    async fn read(
        name: &'static str,
        part: &dyn Rebuilds,
        last: Rebuild,
    ) -> Result<Self, StoreError> {
        let (shadow_position, live_position) = part.progress(last.rebuild_id).await?;
        let position = match last.state {
            RebuildState::InProgress => shadow_position,
            RebuildState::Done | RebuildState::Abandoned => live_position,
        };
        Ok(Self {
            name,
            rebuild_id: last.rebuild_id,
            state: last.state.as_str(),
            reason: last.reason,
            position,
            live_position,
        })
    }
}

/// Adds the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    let all = web::resource("/rebuilds")
        .route(web::get().to(list))
        .default_service(Problem::other_methods("GET, HEAD"));
    let one = web::resource("/rebuilds/{name}")
        .route(web::post().to(start))
        .route(web::delete().to(cancel))
        .default_service(Problem::other_methods("POST, DELETE"));
    config.service(all).service(one);
}

/// List the parts that can be rebuilt, with their last rebuild
#[utoipa::path(
    get,
    path = "/rebuilds",
    operation_id = "list_rebuilds",
    tag = "operations",
    responses((status = 200, description = "Source and presentation", body = Vec<RebuildStatus>))
)]
async fn list(principal: Principal, state: web::Data<AppState>) -> Result<HttpResponse, Problem> {
    require_operator(&principal, &state)?;
    let mut rebuilds = Vec::new();
    for (name, part) in state.rebuilds.all() {
        let last = part.last().await?;
        rebuilds.push(RebuildStatus::read(name, part, last).await?);
    }
    Ok(HttpResponse::Ok().json(rebuilds))
}

/// Finds a part by its name, for operators.
///
/// # Errors
/// 403 when the principal is not an operator, 404 when there is no such part.
fn part<'a>(
    name: &str,
    principal: &Principal,
    state: &'a AppState,
) -> Result<(&'static str, &'a dyn Rebuilds), Problem> {
    require_operator(principal, state)?;
    let mut all = state.rebuilds.all().into_iter();
    let part = all.find(|(known, _)| *known == name);
    let unknown = "unknown part; expected `source` or `presentation`";
    part.ok_or_else(|| Problem::not_found(unknown))
}

/// Rebuild a part online from the log
///
/// The part is read and written as before until the rebuild is done. If a rebuild is under way
/// already, it continues.
#[utoipa::path(
    post,
    path = "/rebuilds/{name}",
    operation_id = "begin_rebuild",
    tag = "operations",
    params(("name" = String, Path, description = "`source` or `presentation`")),
    responses(
        (status = 202, description = "A rebuild is under way", body = RebuildStatus),
        NoSuchPart,
    )
)]
async fn start(
    name: web::Path<String>,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let (name, part) = part(&name, &principal, &state)?;
    let last = part.request().await?;
    tracing::info!(
        part = name,
        rebuild_id = last.rebuild_id,
        "rebuild requested"
    );
    let status = RebuildStatus::read(name, part, last).await?;
    Ok(HttpResponse::Accepted().json(status))
}

/// Cancel the rebuild that is under way, if there is one
#[utoipa::path(
    delete,
    path = "/rebuilds/{name}",
    operation_id = "give_up_rebuild",
    tag = "operations",
    params(("name" = String, Path, description = "`source` or `presentation`")),
    responses((status = 204, description = "No rebuild is under way"), NoSuchPart)
)]
async fn cancel(
    name: web::Path<String>,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let (name, part) = part(&name, &principal, &state)?;
    if let Some(rebuild_id) = part.last().await?.in_progress() {
        part.abandon(rebuild_id, "cancelled by an operator").await?;
        tracing::info!(part = name, rebuild_id, "rebuild cancelled");
    }
    Ok(HttpResponse::NoContent().finish())
}
