//! HTTP API of the todo list.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_host::prelude::*;

use crate::domain::{Command, Todos};

pub(crate) fn definition() -> ApiDefinition {
    let location = |id: &str| format!("/todos/{id}");
    ApiDefinition::of::<Todos>("/todo-events", location, |config| {
        config
            .route("/todos", web::post().to(add))
            .route("/todos/{id}", web::get().to(show))
            .route("/todos/{id}/done", web::put().to(finish));
    })
}

async fn add(
    request: HttpRequest,
    body: JsonBody,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let command = read(&body, &["title"], |members, faults| {
        let title = members.require("title", faults)?;
        text(&title, 200, faults).map(Command::Add)
    })?;
    accept(
        &state,
        Submission::of_new::<Todos>(&request, &principal, &state, &command)?,
    )
    .await
}

async fn finish(
    request: HttpRequest,
    id: web::Path<PathId>,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let command = Command::Finish;
    let change = Submission::of_change::<Todos>(&request, &principal, &state, &id, &command)?;
    accept(&state, change).await
}

async fn show(
    request: HttpRequest,
    id: web::Path<PathId>,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    reads::get(&request, &principal, &state, &id).await
}
