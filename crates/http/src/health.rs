//! Liveness and readiness.

use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpResponse, web};
use bakehouse_pipeline::ports::Probe;
use futures_util::future::join_all;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{OpenApi, ToSchema};

use crate::cached::Cached;
use crate::problem::Problem;

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
    missing: Cached<Vec<Value>>,
}

impl Readiness {
    pub(crate) fn new(probes: Probes) -> Self {
        Self {
            probes,
            missing: Cached::new(LIFETIME),
        }
    }

    /// Missing things, and why.
    async fn missing(&self) -> Vec<Value> {
        let look = async {
            let checks = self.probes.iter().map(|probe| check(probe.as_ref()));
            join_all(checks).await.into_iter().flatten().collect()
        };
        self.missing.get(look).await
    }
}

/// What a healthy service says.
#[derive(Serialize, ToSchema)]
struct Health {
    /// `live` or `ready`.
    status: &'static str,
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
    HttpResponse::Ok().json(Health { status: "live" })
}

/// Is everything there that it needs?
///
/// If not, 503 with `missing`: the name of each thing that is not there, and why. Looked up
/// at most once a second.
#[utoipa::path(
    get,
    path = "/health/ready",
    tag = "health",
    responses((status = 200, description = "It is", body = Health))
)]
async fn ready(readiness: web::Data<Readiness>) -> Result<HttpResponse, Problem> {
    let missing = readiness.missing().await;
    if missing.is_empty() {
        return Ok(HttpResponse::Ok().json(Health { status: "ready" }));
    }
    let names: Vec<&str> = missing
        .iter()
        .filter_map(|one| one["name"].as_str())
        .collect();
    let detail = format!("missing: {}", names.join(", "));
    Err(Problem::unavailable(detail).with("missing", json!(missing)))
}

async fn check(probe: &dyn Probe) -> Option<Value> {
    let reason = match tokio::time::timeout(PROBE_TIMEOUT, probe.check()).await {
        Ok(Ok(())) => return None,
        Ok(Err(reason)) => reason,
        Err(_) => format!("no answer within {} s", PROBE_TIMEOUT.as_secs()),
    };
    Some(json!({ "name": probe.name(), "reason": reason }))
}
