//! Liveness and readiness.

use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpResponse, web};
use bakehouse_engine::ports::Probe;
use futures_util::future::join_all;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{OpenApi, ToSchema};

use crate::cached::Cached;
use crate::response::problem::Problem;

/// Time after which what a probe asks counts as missing.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Time for which the answer of the probes is kept: however many ask, the stores are asked
/// once.
const LIFETIME: Duration = Duration::from_secs(1);

/// Everything that a service needs.
pub type Probes = Vec<Arc<dyn Probe>>;

/// True if everything is there that a service needs, as of a moment ago.
pub(crate) struct Readiness {
    probes: Probes,
    found: Cached<Found>,
}

/// Answers of the probes.
#[derive(Clone)]
struct Found {
    /// Missing things, and why.
    missing: Vec<Value>,
    /// Remarks that do not decide whether the service is ready.
    notes: Vec<Value>,
}

impl Readiness {
    pub(crate) fn new(probes: Probes) -> Self {
        Self {
            probes,
            found: Cached::new(LIFETIME),
        }
    }

    async fn find(&self) -> Found {
        let look = async {
            let checks = self.probes.iter().map(|probe| check(probe.as_ref()));
            let missing = join_all(checks).await.into_iter().flatten().collect();
            let notes = self.probes.iter().filter_map(|probe| note(probe.as_ref()));
            Found {
                missing,
                notes: notes.collect(),
            }
        };
        self.found.get(look).await
    }
}

/// What a healthy service says.
#[derive(Serialize, ToSchema)]
struct Health {
    /// `live` or `ready`.
    status: &'static str,
    /// Remarks, each with `name` and `note`: what could not be checked, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>, required = false)]
    notes: Vec<Value>,
}

/// Adds `/health/live` and `/health/ready`.
pub fn routes(config: &mut web::ServiceConfig) {
    let live = web::resource("/health/live")
        .route(web::get().to(live))
        .default_service(Problem::other_methods("GET, HEAD"));
    let ready = web::resource("/health/ready")
        .route(web::get().to(ready))
        .default_service(Problem::other_methods("GET, HEAD"));
    config.service(live).service(ready);
}

/// The documentation of these calls.
#[derive(OpenApi)]
#[openapi(paths(live, ready))]
pub struct Documentation;

/// Is the process alive?
#[utoipa::path(
    get,
    path = "/health/live",
    tag = "health",
    responses((status = 200, description = "It is", body = Health))
)]
async fn live() -> HttpResponse {
    HttpResponse::Ok().json(Health {
        status: "live",
        notes: Vec::new(),
    })
}

/// Is everything there that it needs?
///
/// If not, 503 with `missing`: the name of each thing that is not there, and why. `notes` says what
/// could not be checked. Looked up at most once a second.
#[utoipa::path(
    get,
    path = "/health/ready",
    tag = "health",
    responses((status = 200, description = "It is", body = Health))
)]
async fn ready(readiness: web::Data<Readiness>) -> Result<HttpResponse, Problem> {
    let Found { missing, notes } = readiness.find().await;
    if missing.is_empty() {
        return Ok(HttpResponse::Ok().json(Health {
            status: "ready",
            notes,
        }));
    }
    let names: Vec<&str> = missing
        .iter()
        .filter_map(|one| one["name"].as_str())
        .collect();
    let detail = format!("missing: {}", names.join(", "));
    let problem = Problem::unavailable(detail).with("missing", json!(missing));
    Err(match notes.is_empty() {
        true => problem,
        false => problem.with("notes", json!(notes)),
    })
}

fn note(probe: &dyn Probe) -> Option<Value> {
    let note = probe.note()?;
    Some(json!({ "name": probe.name(), "note": note }))
}

async fn check(probe: &dyn Probe) -> Option<Value> {
    let reason = match tokio::time::timeout(PROBE_TIMEOUT, probe.check()).await {
        Ok(Ok(())) => return None,
        Ok(Err(reason)) => reason,
        Err(_) => format!("no answer within {} s", PROBE_TIMEOUT.as_secs()),
    };
    Some(json!({ "name": probe.name(), "reason": reason }))
}
