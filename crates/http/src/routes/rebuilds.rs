//! Making anew, for operators: the source state or the presentation, from the log's first
//! event on, while both go on being written and read.

use actix_web::{HttpResponse, web};
use bakehouse_engine::Position;
use bakehouse_engine::ports::{Rebuild, RebuildState, Rebuilds, StoreError};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use crate::auth::{Principal, operators_only};
use crate::response::openapi_components::NoSuchPart;
use crate::response::problem::Problem;
use crate::state::AppState;

/// The documentation of these calls.
#[derive(OpenApi)]
#[openapi(paths(list, begin, give_up))]
pub struct Documentation;

/// The last round of making one part anew.
#[derive(Serialize, ToSchema)]
struct Round {
    /// `source` or `presentation`.
    name: &'static str,
    /// Which round: 1, 2, 3, …; 0: there has been none.
    round: u64,
    /// `under-way`; `done`, also when there has been none; or `given-up`.
    state: &'static str,
    /// Why it was given up.
    #[schema(nullable)]
    reason: Option<String>,
    /// While it is under way, the position up to which the part has been made anew;
    /// then the same as `of`.
    position: Position,
    /// The position up to which what is read has been made.
    of: Position,
}

impl Round {
    async fn of(
        name: &'static str,
        part: &dyn Rebuilds,
        last: Rebuild,
    ) -> Result<Self, StoreError> {
        let (made, of) = part.progress(last.round).await?;
        let position = match last.state {
            RebuildState::UnderWay => made,
            RebuildState::Done | RebuildState::GivenUp => of,
        };
        Ok(Self {
            name,
            round: last.round,
            state: last.state.as_str(),
            reason: last.reason,
            position,
            of,
        })
    }
}

/// Adds the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    let all = web::resource("/rebuilds")
        .route(web::get().to(list))
        .default_service(Problem::other_methods("GET, HEAD"));
    let one = web::resource("/rebuilds/{name}")
        .route(web::post().to(begin))
        .route(web::delete().to(give_up))
        .default_service(Problem::other_methods("POST, DELETE"));
    config.service(all).service(one);
}

/// What can be made anew, and how far the last round has come
#[utoipa::path(
    get,
    path = "/rebuilds",
    operation_id = "list_rebuilds",
    tag = "operations",
    responses((status = 200, description = "Source and presentation", body = Vec<Round>))
)]
async fn list(principal: Principal, state: web::Data<AppState>) -> Result<HttpResponse, Problem> {
    operators_only(&principal, &state)?;
    let mut rounds = Vec::new();
    for (name, part) in state.rebuilds.all() {
        let last = part.last().await?;
        rounds.push(Round::of(name, part, last).await?);
    }
    Ok(HttpResponse::Ok().json(rounds))
}

/// The part of that name, for operators.
fn part<'a>(
    name: &str,
    principal: &Principal,
    state: &'a AppState,
) -> Result<(&'static str, &'a dyn Rebuilds), Problem> {
    operators_only(principal, state)?;
    let mut all = state.rebuilds.all().into_iter();
    let part = all.find(|(known, _)| *known == name);
    let missing = "what can be made anew is `source` and `presentation`";
    part.ok_or_else(|| Problem::not_found(missing))
}

/// Has a part made anew from the log; it is read and written as it is until that is done.
/// A round that is under way goes on
#[utoipa::path(
    post,
    path = "/rebuilds/{name}",
    operation_id = "begin_rebuild",
    tag = "operations",
    params(("name" = String, Path, description = "`source` or `presentation`")),
    responses((status = 202, description = "It is being made", body = Round), NoSuchPart)
)]
async fn begin(
    name: web::Path<String>,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let (name, part) = part(&name, &principal, &state)?;
    let last = part.ask().await?;
    tracing::info!(part = name, round = last.round, "is to be made anew");
    let round = Round::of(name, part, last).await?;
    Ok(HttpResponse::Accepted().json(round))
}

/// Gives up the round that is under way, if one is
#[utoipa::path(
    delete,
    path = "/rebuilds/{name}",
    operation_id = "give_up_rebuild",
    tag = "operations",
    params(("name" = String, Path, description = "`source` or `presentation`")),
    responses((status = 204, description = "No round is under way"), NoSuchPart)
)]
async fn give_up(
    name: web::Path<String>,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let (name, part) = part(&name, &principal, &state)?;
    if let Some(round) = part.last().await?.under_way() {
        part.give_up(round, "an operator gave it up").await?;
        tracing::info!(part = name, round, "is given up");
    }
    Ok(HttpResponse::NoContent().finish())
}
