//! The API that users, posts and comments have in common.
//!
//! - `POST /things`: 202 and the id; `PUT /things/{id}`, `DELETE /things/{id}`: 202; all
//!   of them with `Prefer: wait=5`: what came of it, or 409 with the reason why not;
//! - `GET /things`, `GET /things/{id}`: rows of the read model;
//! - `/things-events`: the feed.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_host::engine::model::ids;
use bakehouse_host::prelude::*;

/// What all rows are found by that readers get.
pub(crate) const ALL: &str = "all";

/// One of the three, as its API needs it.
pub(crate) trait Content: Domain {
    /// What readers get.
    type View: ReadModel;

    /// Reads what is to be created.
    fn create(body: &[u8]) -> Result<Self::Command, Faults>;
    /// Reads what is to become of it.
    fn update(body: &[u8]) -> Result<Self::Command, Faults>;
    /// That it is to be deleted.
    fn delete() -> Self::Command;

    /// What there can be one of only: its id is derived from that, so that the second
    /// one meets the first. `None`: any number of them.
    fn name(_: &Self::Command) -> Option<&str> {
        None
    }
}

/// Where it is served: `/users`.
pub(crate) fn routes<C: Content>(config: &mut web::ServiceConfig) {
    let all = web::resource(format!("/{}s", C::NAME))
        .route(web::get().to(list::<C>))
        .route(web::post().to(create::<C>));
    let one = web::resource(format!("/{}s/{{id}}", C::NAME))
        .route(web::get().to(show::<C>))
        .route(web::put().to(update::<C>))
        .route(web::delete().to(delete::<C>));
    config
        .service(all.default_service(Problem::other_methods("GET, POST")))
        .service(one.default_service(Problem::other_methods("GET, PUT, DELETE")));
}

/// The id of what has this name, however it is capitalised.
pub(crate) fn id_of(kind: &str, name: &str) -> String {
    ids::derived(&[kind, &name.to_lowercase()]).to_string()
}

async fn create<C: Content>(
    request: HttpRequest,
    body: JsonBody,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let command = C::create(&body)?;
    let submission = match C::name(&command) {
        Some(name) => {
            let id = id_of(C::NAME, name);
            Submission::of_change::<C>(&request, &principal, &state, &id, &command)?.creates()
        }
        None => Submission::of_new::<C>(&request, &principal, &state, &command)?,
    };
    let id = submission.entity_id().to_owned();
    let answer = accept_and_wait(&request, &principal, &state, submission).await?;
    Ok(match answer.status() {
        StatusCode::ACCEPTED => with_id(answer, &id),
        _ => answer,
    })
}

async fn update<C: Content>(
    request: HttpRequest,
    id: web::Path<PathId>,
    body: JsonBody,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let command = C::update(&body)?;
    let submission = Submission::of_change::<C>(&request, &principal, &state, &id, &command)?;
    accept_and_wait(&request, &principal, &state, submission).await
}

async fn delete<C: Content>(
    request: HttpRequest,
    id: web::Path<PathId>,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let command = C::delete();
    let submission = Submission::of_change::<C>(&request, &principal, &state, &id, &command)?;
    accept_and_wait(&request, &principal, &state, submission).await
}

async fn show<C: Content>(
    id: web::Path<PathId>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    reads::row::<C::View>(&state, &id).await
}

async fn list<C: Content>(state: web::Data<AppState>) -> Result<HttpResponse, Problem> {
    reads::rows::<C::View>(&state, ALL).await
}

/// A member that is text of at most so many characters.
pub(crate) fn required(
    members: &mut Members<'_>,
    name: &str,
    most: usize,
    faults: &mut Collector,
) -> Option<String> {
    let at = members.require(name, faults)?;
    text(&at, most, faults)
}

/// A member that is the id of something.
pub(crate) fn required_id(
    members: &mut Members<'_>,
    name: &str,
    faults: &mut Collector,
) -> Option<String> {
    let at = members.require(name, faults)?;
    let id = at.string().and_then(|text| text.parse::<PathId>().ok());
    if id.is_none() {
        faults.add(&at.pointer, "expected an id, a UUID");
    }
    id.map(|id| id.to_string())
}
