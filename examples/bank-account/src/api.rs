//! HTTP API of accounts. Amounts are whole numbers of cents.
//!
//! - `POST /accounts` `{"username","email","password"}` answers 202 with the id;
//! - `PUT /accounts/{id}/password` `{"password"}` and `PUT /accounts/{id}/email` `{"email"}` change
//!   an account;
//! - `POST /accounts/{id}/credit` and `/debit` `{"amount":50}` change the balance; `/snapshot` stores
//!   a snapshot;
//! - `GET /accounts/{id}` returns the account, `GET /accounts/{id}/journal` its journal;
//! - `GET /accounts`, `/users` and `/users/{username}` return read models, for operators;
//! - `/accounts-events` is the feed.
//!
//! Changes accept `If-Match` with the version that they are based on, and `Prefer: wait`.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_host::http::accept::Identity;
use bakehouse_host::http::auth::require_operator;
use bakehouse_host::prelude::*;
use serde_json::json;

use crate::domain::{Bank, Command, MAX_BALANCE, Owner};
use crate::password::hash;
use crate::views::{ALL, Accounts, Users};

/// Returns the API definition: feed, locations and routes.
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

/// Request that concerns one account.
struct AccountRequest {
    request: HttpRequest,
    id: web::Path<PathId>,
    principal: Principal,
    state: web::Data<AppState>,
}

impl AccountRequest {
    /// Accepts a command on the account, and waits for its result if the client asks for it.
    async fn submit(self, command: Command) -> Result<HttpResponse, Problem> {
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

impl actix_web::FromRequest for AccountRequest {
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

async fn change_password(account: AccountRequest, body: JsonBody) -> Result<HttpResponse, Problem> {
    let password = read(&body, &["password"], password)?;
    let identity = Identity::of(&account.request, &account.principal)?;
    // Without an idempotency key the submitted operation gets another id; that does not matter,
    // since the salt only has to be unique.
    let password_hash = hash(password, identity.operation_id.into_bytes()).await?;
    account
        .submit(Command::ChangePassword { password_hash })
        .await
}

async fn change_email(account: AccountRequest, body: JsonBody) -> Result<HttpResponse, Problem> {
    let email = read(&body, &["email"], email)?;
    account.submit(Command::ChangeEmail { email }).await
}

async fn credit(account: AccountRequest, body: JsonBody) -> Result<HttpResponse, Problem> {
    let amount = read(&body, &["amount"], amount)?;
    account.submit(Command::Credit(amount)).await
}

async fn debit(account: AccountRequest, body: JsonBody) -> Result<HttpResponse, Problem> {
    let amount = read(&body, &["amount"], amount)?;
    account.submit(Command::Debit(amount)).await
}

async fn snapshot(account: AccountRequest) -> Result<HttpResponse, Problem> {
    account.submit(Command::Snapshot).await
}

async fn show(account: AccountRequest) -> Result<HttpResponse, Problem> {
    reads::get(
        &account.request,
        &account.principal,
        &account.state,
        &account.id,
    )
    .await
}

async fn journal(account: AccountRequest) -> Result<HttpResponse, Problem> {
    let document = reads::find(&account.state, &account.principal, &account.id).await?;
    document.ok_or_else(|| reads::entity_not_found(&account.state))?;
    let lines = account.state.notifications.of(&account.id).await?;
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
    require_operator(&principal, &state)?;
    reads::rows::<Accounts>(&state, ALL).await
}

async fn users(principal: Principal, state: web::Data<AppState>) -> Result<HttpResponse, Problem> {
    require_operator(&principal, &state)?;
    reads::rows::<Users>(&state, ALL).await
}

async fn user(
    username: web::Path<String>,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    require_operator(&principal, &state)?;
    reads::row::<Users>(&state, &username).await
}

fn username(members: &mut Members<'_>, faults: &mut ErrorCollector) -> Option<String> {
    let at = members.require("username", faults)?;
    text(&at, 50, faults)
}

fn email(members: &mut Members<'_>, faults: &mut ErrorCollector) -> Option<String> {
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

fn password(members: &mut Members<'_>, faults: &mut ErrorCollector) -> Option<String> {
    let at = members.require("password", faults)?;
    let password = text(&at, 128, faults)?;
    if password.chars().count() >= 8 {
        return Some(password);
    }
    faults.add(&at.pointer, "expected at least 8 characters");
    None
}

fn amount(members: &mut Members<'_>, faults: &mut ErrorCollector) -> Option<i64> {
    let at = members.require("amount", faults)?;
    whole_number(&at, 1..=MAX_BALANCE, faults)
}
