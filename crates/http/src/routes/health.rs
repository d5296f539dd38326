//! Liveness and readiness probes.

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

/// Time after which a dependency that does not answer counts as missing.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Minimum interval between two runs of the probes, however many requests there are.
const CACHE_TTL: Duration = Duration::from_secs(1);

/// Probes of all dependencies of a service.
pub type Probes = Vec<Arc<dyn Probe>>;

/// Readiness of a service: the results of its probes, cached for a second.
pub(crate) struct Readiness {
    probes: Probes,
    results: Cached<ProbeResults>,
}

/// Results of the probes.
#[derive(Clone)]
struct ProbeResults {
    /// Missing dependencies, each with `name` and `reason`.
    missing: Vec<Value>,
    /// Notes that do not affect readiness, each with `name` and `note`.
    notes: Vec<Value>,
}

impl Readiness {
    pub(crate) fn new(probes: Probes) -> Self {
        Self {
            probes,
            results: Cached::new(CACHE_TTL),
        }
    }

    async fn check(&self) -> ProbeResults {
        let run = async {
            let checks = self.probes.iter().map(|probe| check(probe.as_ref()));
            let missing = join_all(checks).await.into_iter().flatten().collect();
            let notes = self.probes.iter().filter_map(|probe| note(probe.as_ref()));
            ProbeResults {
                missing,
                notes: notes.collect(),
            }
        };
        self.results.get(run).await
    }
}

/// Response of a healthy service.
#[derive(Serialize, ToSchema)]
struct Health {
    /// `live` or `ready`.
    status: &'static str,
    /// Checks that could not be made, each with `name` and `note`.
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

/// OpenAPI documentation of these routes.
#[derive(OpenApi)]
#[openapi(paths(live, ready))]
pub struct Documentation;

/// Check whether the process is alive
#[utoipa::path(
    get,
    path = "/health/live",
    tag = "health",
    responses((status = 200, description = "The process is alive", body = Health))
)]
async fn live() -> HttpResponse {
    HttpResponse::Ok().json(Health {
        status: "live",
        notes: Vec::new(),
    })
}

/// Check whether all dependencies of the service are available
///
/// If not, the response is 503 with `missing`: the `name` of each missing dependency and the
/// `reason`. `notes` lists what could not be checked. Results are cached for a second.
#[utoipa::path(
    get,
    path = "/health/ready",
    tag = "health",
    responses((status = 200, description = "The service is ready", body = Health))
)]
async fn ready(readiness: web::Data<Readiness>) -> Result<HttpResponse, Problem> {
    let ProbeResults { missing, notes } = readiness.check().await;
    if missing.is_empty() {
        return Ok(HttpResponse::Ok().json(Health {
            status: "ready",
            notes,
        }));
    }
    let names: Vec<&str> = missing
        .iter()
        .filter_map(|dependency| dependency["name"].as_str())
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
