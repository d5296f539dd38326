//! Read models, for operators: what is read of each, how far it has come, and having
//! one made anew while all of them go on being read.

use actix_web::{HttpResponse, web};
use bakehouse_engine::ports::ModelState;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{OpenApi, ToSchema};

use crate::auth::{Principal, operators_only};
use crate::response::openapi_components::NoSuchReadModel;
use crate::response::problem::Problem;
use crate::state::AppState;

/// The documentation of these calls.
#[derive(OpenApi)]
#[openapi(paths(list, rebuild))]
pub struct Documentation;

/// A read model.
#[derive(Serialize, ToSchema)]
struct ReadModel {
    /// Its name.
    name: String,
    /// What is read, `null` before there is anything: `version`, `round`, and how far
    /// each feed has been followed (`positions`).
    #[schema(value_type = Object, nullable)]
    serving: Value,
    /// What is being made to be read next, in the same form; `null`: nothing.
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

/// Read models, by name
#[utoipa::path(
    get,
    path = "/read-models",
    operation_id = "list_read_models",
    tag = "operations",
    responses((status = 200, description = "All that there are", body = Vec<ReadModel>))
)]
async fn list(principal: Principal, state: web::Data<AppState>) -> Result<HttpResponse, Problem> {
    operators_only(&principal, &state)?;
    let states = state.read_models.states().await?;
    let all: Vec<ReadModel> = states.iter().map(shown).collect();
    Ok(HttpResponse::Ok().json(all))
}

fn shown(state: &ModelState) -> ReadModel {
    let registration = &state.registration;
    let part = |generation: Option<&_>, positions: &_| match generation {
        None => Value::Null,
        Some(generation) => {
            let mut part = json!(generation);
            part["positions"] = json!(positions);
            part
        }
    };
    ReadModel {
        name: registration.wanted.name.clone(),
        serving: part(registration.serving.as_ref(), &state.served),
        building: part(registration.building(), &state.building),
    }
}

/// Has a read model made anew; it is read as it is until that is done
#[utoipa::path(
    post,
    path = "/read-models/{name}/rebuild",
    operation_id = "rebuild_read_model",
    tag = "operations",
    params(("name" = String, Path, description = "Of the read model")),
    responses((status = 202, description = "It is being made"), NoSuchReadModel)
)]
async fn rebuild(
    name: web::Path<String>,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    operators_only(&principal, &state)?;
    let made = state.read_models.rebuild(&name).await?;
    let made = made.ok_or_else(|| Problem::not_found("there is no read model of this name"))?;
    tracing::info!(read_model = %made, "is to be made anew");
    Ok(HttpResponse::Accepted().finish())
}
