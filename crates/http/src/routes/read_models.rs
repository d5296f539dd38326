//! Read models, for operators: the generation that serves reads, its positions, and online
//! rebuilds.

use actix_web::{HttpResponse, web};
use bakehouse_engine::ports::ModelState;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{OpenApi, ToSchema};

use crate::auth::{Principal, require_operator};
use crate::response::openapi_components::NoSuchReadModel;
use crate::response::problem::Problem;
use crate::state::AppState;

/// OpenAPI documentation of these routes.
#[derive(OpenApi)]
#[openapi(paths(list, rebuild))]
pub struct Documentation;

/// Read model.
#[derive(Serialize, ToSchema)]
struct ReadModel {
    /// Name of the read model.
    name: String,
    /// Generation that serves reads: `version`, `round`, and the position reached in each feed
    /// (`positions`). `null` before the first one is built.
    #[schema(value_type = Object, nullable)]
    serving: Value,
    /// Generation that is being built to replace it, in the same form; `null` if there is none.
    #[schema(value_type = Object, nullable)]
    building: Value,
}

/// Adds the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    let all = web::resource("/read-models")
        .route(web::get().to(list))
        .default_service(Problem::other_methods("GET, HEAD"));
    let one = web::resource("/read-models/{name}/rebuild")
        .route(web::post().to(rebuild))
        .default_service(Problem::other_methods("POST"));
    config.service(all).service(one);
}

/// List the read models
#[utoipa::path(
    get,
    path = "/read-models",
    operation_id = "list_read_models",
    tag = "operations",
    responses((status = 200, description = "All read models, by name", body = Vec<ReadModel>))
)]
async fn list(principal: Principal, state: web::Data<AppState>) -> Result<HttpResponse, Problem> {
    require_operator(&principal, &state)?;
    let states = state.read_models.states().await?;
    let all: Vec<ReadModel> = states.iter().map(read_model).collect();
    Ok(HttpResponse::Ok().json(all))
}

fn read_model(state: &ModelState) -> ReadModel {
    let registration = &state.registration;
    let describe = |generation: Option<&_>, positions: &_| match generation {
        None => Value::Null,
        Some(generation) => {
            let mut description = json!(generation);
            description["positions"] = json!(positions);
            description
        }
    };
    ReadModel {
        name: registration.wanted.name.clone(),
        serving: describe(registration.serving.as_ref(), &state.served),
        building: describe(registration.building(), &state.building),
    }
}

/// Rebuild a read model online
///
/// The current generation serves reads until the new one is complete.
#[utoipa::path(
    post,
    path = "/read-models/{name}/rebuild",
    operation_id = "rebuild_read_model",
    tag = "operations",
    params(("name" = String, Path, description = "Name of the read model")),
    responses((status = 202, description = "The rebuild has been requested"), NoSuchReadModel)
)]
async fn rebuild(
    name: web::Path<String>,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    require_operator(&principal, &state)?;
    let generation = state.read_models.rebuild(&name).await?;
    let generation =
        generation.ok_or_else(|| Problem::not_found("there is no read model of this name"))?;
    tracing::info!(read_model = %generation, "rebuild of a read model requested");
    Ok(HttpResponse::Accepted().finish())
}
