//! The API of accounts. Amounts are whole numbers of cents.
//!
//! - `POST /accounts` `{"username","email","password"}`: 202 and the id;
//! - `PUT /accounts/{id}/password` `{"password"}`, `PUT /accounts/{id}/email` `{"email"}`;
//! - `POST /accounts/{id}/credit` and `/debit` `{"amount":50}`; `/snapshot`;
//! - `GET /accounts/{id}`: the account; `/accounts`, `/users`, `/users/{username}`: the
//!   read models, for operators; `GET /accounts/{id}/journal`: everything that happened to it;
//! - `/accounts-events`: the feed.
//!
//! Changes take `If-Match` for the version that they are based on, and `Prefer: wait`.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_host::http::accept::Identity;
use bakehouse_host::http::auth::operators_only;
use bakehouse_host::prelude::*;
use serde_json::json;

use crate::domain::{Bank, Command, MOST, Owner};
use crate::password::hash;
use crate::views::{ALL, Accounts, Users};

/// What is served of accounts.
pub(crate) fn definition() -> ApiDefinition {
    let location = |id: &str| format!("/accounts/{id}");
    ApiDefinition::of::<Bank>("/accounts-events", location, |config| {
        let accounts = web::resource("/accounts")
            .route(web::get().to(accounts))
            .route(web::post().to(create));
        config.service(accounts.default_service(Problem::other_methods("GET, POST")));
        for (path, route, allow) in [
            ("/accounts/{id}", web::get().to(show), "GET"),
            (
                "/accounts/{id}/password",
                web::put().to(change_password),
                "PUT",
            ),
            ("/accounts/{id}/email", web::put().to(change_email), "PUT"),
            ("/accounts/{id}/credit", web::post().to(credit), "POST"),
            ("/accounts/{id}/debit", web::post().to(debit), "POST"),
            ("/accounts/{id}/snapshot", web::post().to(snapshot), "POST"),
            ("/accounts/{id}/journal", web::get().to(journal), "GET"),
            ("/users", web::get().to(users), "GET"),
            ("/users/{username}", web::get().to(user), "GET"),
        ] {
            let resource = web::resource(path).route(route);
            config.service(resource.default_service(Problem::other_methods(allow)));
        }
    })
}

async fn create(
    request: HttpRequest,
    body: JsonBody,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let known = ["username", "email", "password"];
    let (username, email, password) = read(&body, &known, |members, faults| {
        let username = username(members, faults);
        let email = email(members, faults);
        let password = password(members, faults);
        Some((username?, email?, password?))
    })?;
    let identity = Identity::of(&request, &principal)?;
    let owner = Owner {
        username,
        email,
        password_hash: hash(password, identity.operation_id.into_bytes()).await?,
    };
    let command = Command::Create(owner);
    let id = identity.new_id.to_string();
    let location = (state.api.location)(&id);
    let terms = principal.terms_of_creation();
    let submission = Submission::of_command::<Bank>(identity, &id, location, &command, terms)?;
    Ok(with_id(accept(&state, submission).await?, &id))
}

/// A change of an account, by whoever asks.
struct Asked {
    request: HttpRequest,
    id: web::Path<PathId>,
    principal: Principal,
    state: web::Data<AppState>,
}

impl Asked {
    async fn to(self, command: Command) -> Result<HttpResponse, Problem> {
        let Self {
            request,
            id,
            principal,
            state,
        } = self;
        let submission =
            Submission::of_change::<Bank>(&request, &principal, &state, &id, &command)?;
        accept_and_wait(&request, &principal, &state, submission).await
    }
}

impl actix_web::FromRequest for Asked {
    type Error = actix_web::Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self, Self::Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut actix_web::dev::Payload) -> Self::Future {
        type Parts = (web::Path<PathId>, Principal, web::Data<AppState>);
        let parts = Parts::from_request(request, payload);
        let request = request.clone();
        Box::pin(async move {
            let (id, principal, state) = parts.await?;
            Ok(Self {
                request,
                id,
                principal,
                state,
            })
        })
    }
}

async fn change_password(asked: Asked, body: JsonBody) -> Result<HttpResponse, Problem> {
    let password = read(&body, &["password"], password)?;
    let identity = Identity::of(&asked.request, &asked.principal)?;
    // Without an idempotency key the operation gets another identity below; a salt
    // need be nothing but unique.
    let password_hash = hash(password, identity.operation_id.into_bytes()).await?;
    asked.to(Command::ChangePassword { password_hash }).await
}

async fn change_email(asked: Asked, body: JsonBody) -> Result<HttpResponse, Problem> {
    let email = read(&body, &["email"], email)?;
    asked.to(Command::ChangeEmail { email }).await
}

async fn credit(asked: Asked, body: JsonBody) -> Result<HttpResponse, Problem> {
    let amount = read(&body, &["amount"], amount)?;
    asked.to(Command::Credit(amount)).await
}

async fn debit(asked: Asked, body: JsonBody) -> Result<HttpResponse, Problem> {
    let amount = read(&body, &["amount"], amount)?;
    asked.to(Command::Debit(amount)).await
}

async fn snapshot(asked: Asked) -> Result<HttpResponse, Problem> {
    asked.to(Command::Snapshot).await
}

async fn show(asked: Asked) -> Result<HttpResponse, Problem> {
    reads::show(&asked.request, &asked.principal, &asked.state, &asked.id).await
}

async fn journal(asked: Asked) -> Result<HttpResponse, Problem> {
    let account = reads::find(&asked.state, &asked.principal, &asked.id).await?;
    account.ok_or_else(|| reads::no_such(&asked.state))?;
    let lines = asked.state.notifications.of(&asked.id).await?;
    let lines = lines.iter().map(|line| {
        json!({ "position": line.position, "type": line.kind, "at": line.occurred_at,
            "event": line.message, "status": line.status })
    });
    Ok(HttpResponse::Ok().json(lines.collect::<Vec<_>>()))
}

async fn accounts(
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    operators_only(&principal, &state)?;
    reads::rows::<Accounts>(&state, ALL).await
}

async fn users(principal: Principal, state: web::Data<AppState>) -> Result<HttpResponse, Problem> {
    operators_only(&principal, &state)?;
    reads::rows::<Users>(&state, ALL).await
}

async fn user(
    username: web::Path<String>,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    operators_only(&principal, &state)?;
    reads::row::<Users>(&state, &username).await
}

fn username(members: &mut Members<'_>, faults: &mut Collector) -> Option<String> {
    let at = members.require("username", faults)?;
    text(&at, 50, faults)
}

fn email(members: &mut Members<'_>, faults: &mut Collector) -> Option<String> {
    let at = members.require("email", faults)?;
    let email = text(&at, 254, faults)?;
    if email
        .split_once('@')
        .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
    {
        return Some(email);
    }
    faults.add(&at.pointer, "expected an address such as ada@example.org");
    None
}

fn password(members: &mut Members<'_>, faults: &mut Collector) -> Option<String> {
    let at = members.require("password", faults)?;
    let password = text(&at, 128, faults)?;
    if password.chars().count() >= 8 {
        return Some(password);
    }
    faults.add(&at.pointer, "expected at least 8 characters");
    None
}

fn amount(members: &mut Members<'_>, faults: &mut Collector) -> Option<i64> {
    let at = members.require("amount", faults)?;
    whole_number(&at, 1..=MOST, faults)
}
