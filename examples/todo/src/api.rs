//! The API of things to be done.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_host::prelude::*;

use crate::domain::{Command, Todos};

pub(crate) fn menu() -> Menu {
    let location = |id: &str| format!("/todos/{id}");
    Menu::of::<Todos>("/todo-events", location, |config| {
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
    doors: web::Data<Doors>,
) -> Result<HttpResponse, Problem> {
    let command = read(&body, &["title"], |members, faults| {
        let title = members.require("title", faults)?;
        text(&title, 200, faults).map(Command::Add)
    })?;
    accept(
        &doors,
        Submission::of_new::<Todos>(&request, &principal, &doors, &command)?,
    )
    .await
}

async fn finish(
    request: HttpRequest,
    id: web::Path<PathId>,
    principal: Principal,
    doors: web::Data<Doors>,
) -> Result<HttpResponse, Problem> {
    let command = Command::Finish;
    let change = Submission::of_change::<Todos>(&request, &principal, &doors, &id, &command)?;
    accept(&doors, change).await
}

async fn show(
    request: HttpRequest,
    id: web::Path<PathId>,
    principal: Principal,
    doors: web::Data<Doors>,
) -> Result<HttpResponse, Problem> {
    reading::show(&request, &principal, &doors, &id).await
}
