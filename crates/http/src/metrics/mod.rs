//! `GET /metrics`: metrics of the process in Prometheus' text format.
//!
//! Code anywhere in the process records through the `metrics` facade. This module owns the
//! process's recorder, and the gauges that are read from the stores on request.

mod positions;
mod requests;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix_web::{HttpResponse, web};
use bakehouse_engine::Shutdown;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use utoipa::OpenApi;

use crate::response::problem::Problem;
pub(crate) use positions::Positions;
pub(crate) use requests::{measure, method, route};

/// Buckets of histograms of durations, in seconds: from a response out of memory to the longest
/// wait that a client may ask for.
const DURATION_BUCKETS: [f64; 12] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 60.0,
];
/// Buckets of histograms of batch sizes, in events.
const BATCH_SIZE_BUCKETS: [f64; 8] = [1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 250.0, 500.0];

/// Interval at which the samples of histograms are aggregated, whether or not they are scraped.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// OpenAPI documentation of this route.
#[derive(OpenApi)]
#[openapi(paths(show))]
pub struct Documentation;

/// Adds the route.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    let metrics = web::resource("/metrics")
        .route(web::get().to(show))
        .default_service(Problem::other_methods("GET, HEAD"));
    config.service(metrics);
}

/// Recorder of the process, installed at the first call; `None` if that failed.
fn recorder() -> Option<&'static PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let recorder = RECORDER.get_or_init(|| {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &DURATION_BUCKETS)
            .and_then(|builder| {
                let batch_sizes = Matcher::Suffix("_batch_events".into());
                builder.set_buckets_for_metric(batch_sizes, &BATCH_SIZE_BUCKETS)
            });
        let installed = builder.and_then(PrometheusBuilder::install_recorder);
        installed
            .inspect(|_| describe())
            .inspect_err(|error| {
                tracing::warn!("metrics recorder not installed; no metrics are recorded: {error}")
            })
            .ok()
    });
    recorder.as_ref()
}

/// Aggregates the samples of histograms periodically, until shutdown.
pub(crate) async fn upkeep(shutdown: Shutdown) {
    let Some(recorder) = recorder() else { return };
    let mut tick = tokio::time::interval(UPKEEP_INTERVAL);
    while !shutdown.is_cancelled() {
        tokio::select! {
            _ = tick.tick() => recorder.run_upkeep(),
            () = shutdown.cancelled() => return,
        }
    }
}

/// Registers the help texts of all metrics.
fn describe() {
    use metrics::{
        describe_counter as counter, describe_gauge as gauge, describe_histogram as histogram,
    };
    counter!(
        "bakehouse_operations_stored_total",
        "Operations received by events-writer, by outcome"
    );
    counter!(
        "bakehouse_events_executed_total",
        "Events processed by orders-manager, by outcome"
    );
    counter!(
        "bakehouse_documents_baked_total",
        "Documents written by data-baker"
    );
    counter!(
        "bakehouse_stage_errors_total",
        "Failed batches that a stage retries, by stage"
    );
    histogram!(
        "bakehouse_stage_batch_seconds",
        "Duration of batches, by stage"
    );
    histogram!(
        "bakehouse_stage_batch_events",
        "Events in a batch, by stage"
    );
    counter!(
        "bakehouse_http_requests_total",
        "Responses, by method, route and status"
    );
    histogram!(
        "bakehouse_http_request_seconds",
        "Duration of responses, by method and route"
    );
    counter!(
        "bakehouse_http_refused_total",
        "Requests refused because of their host or origin, by reason"
    );
    counter!(
        "bakehouse_feed_closed_total",
        "Subscriptions closed by the server, by close code"
    );
    gauge!("bakehouse_feed_clients", "Subscribers of this process");
    gauge!("bakehouse_http_connections", "Open connections");
    counter!(
        "bakehouse_http_connections_refused_total",
        "Connections refused or closed because a limit was reached, by limit"
    );
    gauge!("bakehouse_position", "Position of each stage");
    gauge!(
        "bakehouse_stage_lag_events",
        "Events not processed yet, by stage"
    );
    gauge!(
        "bakehouse_stage_lag_seconds",
        "Age of the oldest event not processed yet, by stage"
    );
    gauge!("bakehouse_parked_events", "Parked events");
    counter!(
        "bakehouse_unreadable_messages_total",
        "Messages of the schedule queue that could not be decoded and were parked"
    );
    counter!(
        "bakehouse_dead_letters_total",
        "Accepted operations that the broker removed from the schedule queue, and that were recovered"
    );
    counter!(
        "bakehouse_schedule_queue_lost_total",
        "Times that the schedule queue was deleted and has been declared again"
    );
    gauge!(
        "bakehouse_queue_risks",
        "Policies and arguments of the broker's queues that can lose accepted operations"
    );
    counter!(
        "bakehouse_queue_check_errors_total",
        "Failed checks of the broker's policies and arguments"
    );
    counter!(
        "bakehouse_token_refusals_total",
        "Requests refused because of their token, by reason"
    );
    counter!(
        "bakehouse_token_key_loads_total",
        "Loads of the token issuer's keys, by outcome"
    );
    counter!(
        "bakehouse_events_remade_total",
        "Events processed by rebuilds, by stage"
    );
    counter!(
        "bakehouse_rebuild_errors_total",
        "Errors of rebuilds, by stage"
    );
    gauge!("bakehouse_uploads", "Uploads in progress in this process");
    gauge!(
        "bakehouse_attachment_bytes",
        "Bytes of attached files, counted since the last sweep"
    );
    counter!(
        "bakehouse_attachments_removed_total",
        "Files removed because no order refers to them"
    );
    counter!(
        "bakehouse_log_lines_lost_total",
        "Log lines dropped because the output was blocked or failed"
    );
}

/// Get the metrics of the process
///
/// Responds in Prometheus' text format.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "health",
    responses((status = 200, description = "Counters, gauges and histograms", body = String,
        content_type = "text/plain"))
)]
async fn show(positions: Option<web::Data<Positions>>) -> HttpResponse {
    if let Some(positions) = positions {
        positions.update().await;
    }
    let text = recorder().map(PrometheusHandle::render);
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(text.unwrap_or_default())
}

/// Installs the recorder of the process, unless that has been done. Metrics that are recorded
/// before it are lost: programs call it first of all.
pub fn install() {
    let _ = recorder();
}

/// Sets the number of subscribers of the process.
pub(crate) fn subscribers(count: usize) {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
    metrics::gauge!("bakehouse_feed_clients").set(count as f64);
}

/// Sets the number of open connections.
pub(crate) fn connections(count: usize) {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
    metrics::gauge!("bakehouse_http_connections").set(count as f64);
}

/// Counts a connection that was refused or closed because it exceeded a limit.
pub(crate) fn connection_refused(bound: &'static str) {
    metrics::counter!("bakehouse_http_connections_refused_total", "bound" => bound).increment(1);
}

/// Counts a subscription that the server closed, by close code.
pub(crate) fn subscription_closed(code: u16) {
    metrics::counter!("bakehouse_feed_closed_total", "code" => code.to_string()).increment(1);
}

/// Creates the gauges of the stages' positions and lags, for the handler of `/metrics`.
pub(crate) fn positions(state: &web::Data<crate::AppState>) -> web::Data<Positions> {
    web::Data::from(Arc::new(Positions::new(state.clone())))
}
