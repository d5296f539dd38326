//! HTTP API of values.
//!
//! - `POST /values` `{"value":2}` answers 202 with the id;
//! - `PUT /values/{id}` `{"operation":"ADD","value":3}` answers 202, and is rejected at execution if
//!   the value does not exist; with `Prefer: wait=5` it answers with the result or the rejection;
//! - `GET /values/{id}` returns `{"value":…}`;
//! - `/values-events` is the feed.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_host::prelude::*;

use crate::domain::{Calculator, Command, EXACT, Operator};

/// Returns the API definition: feed, locations and routes.
pub(crate) fn definition() -> ApiDefinition {
    let location = |id: &str| format!("/values/{id}");
    ApiDefinition::of::<Calculator>("/values-events", location, |config| {
        let all = web::resource("/values").route(web::post().to(create));
        let one = web::resource("/values/{id}")
            .route(web::get().to(show))
            .route(web::put().to(update));
        config
            .service(all.default_service(Problem::other_methods("POST")))
            .service(one.default_service(Problem::other_methods("GET, HEAD, PUT")));
    })
}

async fn create(
    request: HttpRequest,
    body: JsonBody,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let command = new(&body)?;
    let submission = Submission::of_new::<Calculator>(&request, &principal, &state, &command)?;
    let id = submission.entity_id().to_owned();
    Ok(with_id(accept(&state, submission).await?, &id))
}

async fn update(
    request: HttpRequest,
    id: web::Path<PathId>,
    body: JsonBody,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let command = change(&body)?;
    let submission =
        Submission::of_change::<Calculator>(&request, &principal, &state, &id, &command)?;
    accept_and_wait(&request, &principal, &state, submission).await
}

async fn show(
    request: HttpRequest,
    id: web::Path<PathId>,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    reads::get(&request, &principal, &state, &id).await
}

fn new(body: &[u8]) -> Result<Command, Faults> {
    read(body, &["value"], |members, faults| {
        value(members, faults).map(Command::Create)
    })
}

fn change(body: &[u8]) -> Result<Command, Faults> {
    read(body, &["operation", "value"], |members, faults| {
        let operator = members.require("operation", faults);
        let operator = operator.and_then(|at| self::operator(&at, faults));
        let value = value(members, faults);
        Some(Command::Apply(operator?, value?))
    })
}

fn operator(at: &JsonNode<'_>, faults: &mut ErrorCollector) -> Option<Operator> {
    let known = [("ADD", Operator::Add), ("MULTIPLY", Operator::Multiply)];
    one_of(at, &known, faults)
}

fn value(members: &mut Members<'_>, faults: &mut ErrorCollector) -> Option<i64> {
    let value = members.require("value", faults)?;
    whole_number(&value, EXACT, faults)
}
