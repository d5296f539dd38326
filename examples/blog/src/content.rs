//! HTTP API that users, posts and comments share; `things` stands for one of them.
//!
//! - `POST /things` answers 202 with the id; `PUT /things/{id}` and `DELETE /things/{id}` answer 202;
//!   with `Prefer: wait=5` they answer with the result, or 409 with the reason of the rejection;
//! - `GET /things` and `GET /things/{id}` return rows of the read model;
//! - `/things-events` is the feed.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_host::engine::model::ids;
use bakehouse_host::prelude::*;

/// Link of all rows that the API returns.
pub(crate) const ALL: &str = "all";

/// Domain with the shared API.
pub(crate) trait Content: Domain {
    /// Parses the body of a creation.
    ///
    /// # Errors
    /// Returns all faults of the body.
    fn create(body: &[u8]) -> Result<Self::Command, Faults>;
    /// Parses the body of an update.
    ///
    /// # Errors
    /// Returns all faults of the body.
    fn update(body: &[u8]) -> Result<Self::Command, Faults>;
    /// Returns the command that deletes an entity.
    fn delete() -> Self::Command;

    /// Returns the unique name of the entity to create, from which its id is derived; `None` if
    /// names need not be unique.
    fn unique_name(_: &Self::Command) -> Option<&str> {
        None
    }
}

/// Registers the routes, such as `/users`, that return rows of the read model `V`.
pub(crate) fn routes<C: Content, V: ReadModel>(config: &mut web::ServiceConfig) {
    let all = web::resource(format!("/{}s", C::NAME))
        .route(web::get().to(list::<V>))
        .route(web::post().to(create::<C>));
    let one = web::resource(format!("/{}s/{{id}}", C::NAME))
        .route(web::get().to(show::<V>))
        .route(web::put().to(update::<C>))
        .route(web::delete().to(delete::<C>));
    config
        .service(all.default_service(Problem::other_methods("GET, POST")))
        .service(one.default_service(Problem::other_methods("GET, PUT, DELETE")));
}

/// Returns the id of the entity with this unique name; case is ignored.
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
    let submission = match C::unique_name(&command) {
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

async fn show<V: ReadModel>(
    id: web::Path<PathId>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    reads::row::<V>(&state, &id).await
}

async fn list<V: ReadModel>(state: web::Data<AppState>) -> Result<HttpResponse, Problem> {
    reads::rows::<V>(&state, ALL).await
}

/// Reads a required member: text of at most `max_chars` characters.
pub(crate) fn required(
    members: &mut Members<'_>,
    name: &str,
    max_chars: usize,
    faults: &mut ErrorCollector,
) -> Option<String> {
    let at = members.require(name, faults)?;
    text(&at, max_chars, faults)
}

/// Reads a required member: the id of an entity.
pub(crate) fn required_id(
    members: &mut Members<'_>,
    name: &str,
    faults: &mut ErrorCollector,
) -> Option<String> {
    let at = members.require(name, faults)?;
    let id = at.string().and_then(|text| text.parse::<PathId>().ok());
    if id.is_none() {
        faults.add(&at.pointer, "expected a UUID");
    }
    id.map(|id| id.to_string())
}
