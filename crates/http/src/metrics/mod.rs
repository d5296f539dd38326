//! `GET /metrics`: what the process has counted, in Prometheus' text form.
//!
//! Whatever counts does so through the `metrics` facade, wherever it is; here is
//! the one recorder of the process, and what is looked up only when somebody asks.

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
pub(crate) use requests::measure;

/// Upper bounds of histograms of times, in seconds: from an answer out of memory
/// to a wait that a client has asked for.
const SECONDS: [f64; 12] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 60.0,
];
/// Of batch sizes.
const SIZES: [f64; 8] = [1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 250.0, 500.0];

/// How often what histograms have gathered is summed up, asked for or not.
const UPKEEP: Duration = Duration::from_secs(5);

/// The documentation of this call.
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

/// The process's recorder, made when it is first asked for.
fn recorder() -> Option<&'static PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let made = RECORDER.get_or_init(|| {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)
            .and_then(|builder| {
                builder.set_buckets_for_metric(Matcher::Suffix("_batch_events".into()), &SIZES)
            });
        let installed = builder.and_then(PrometheusBuilder::install_recorder);
        installed
            .inspect(|_| describe())
            .inspect_err(|error| tracing::warn!("nothing will be counted: {error}"))
            .ok()
    });
    made.as_ref()
}

/// Sums up what has been counted, until shutdown.
pub(crate) async fn upkeep(shutdown: Shutdown) {
    let Some(recorder) = recorder() else { return };
    let mut tick = tokio::time::interval(UPKEEP);
    while !shutdown.is_cancelled() {
        tokio::select! {
            _ = tick.tick() => recorder.run_upkeep(),
            () = shutdown.cancelled() => return,
        }
    }
}

fn describe() {
    use metrics::{
        describe_counter as counter, describe_gauge as gauge, describe_histogram as histogram,
    };
    counter!(
        "bakehouse_operations_stored_total",
        "Operations that reached events-writer, by outcome"
    );
    counter!(
        "bakehouse_events_executed_total",
        "Events that orders-manager has dealt with, by outcome"
    );
    counter!(
        "bakehouse_documents_baked_total",
        "Documents that data-baker has written"
    );
    counter!(
        "bakehouse_stage_errors_total",
        "Batches that a stage has to do again, by stage"
    );
    histogram!(
        "bakehouse_stage_batch_seconds",
        "How long batches took, by stage"
    );
    histogram!(
        "bakehouse_stage_batch_events",
        "Events in a batch, by stage"
    );
    counter!(
        "bakehouse_http_requests_total",
        "Answers, by method, route and status"
    );
    histogram!(
        "bakehouse_http_request_seconds",
        "How long answers took, by method and route"
    );
    counter!(
        "bakehouse_http_refused_total",
        "Requests for a host, or of a page of an origin, that is not served, by reason"
    );
    counter!(
        "bakehouse_feed_closed_total",
        "Subscribers that were sent away, by close code"
    );
    gauge!("bakehouse_feed_clients", "Subscribers of this process");
    gauge!("bakehouse_http_connections", "Open connections");
    counter!(
        "bakehouse_http_connections_refused_total",
        "Connections refused or ended since a bound was reached, by bound"
    );
    gauge!("bakehouse_position", "How far each stage has come");
    gauge!(
        "bakehouse_stage_lag_events",
        "Events that a stage has yet to deal with"
    );
    gauge!(
        "bakehouse_stage_lag_seconds",
        "How old the oldest of those is"
    );
    gauge!("bakehouse_parked_events", "Events that have been set aside");
    counter!(
        "bakehouse_unreadable_messages_total",
        "Messages of the schedule queue that were no operation, and are kept aside"
    );
    counter!(
        "bakehouse_dead_letters_total",
        "Accepted operations that the broker removed from the schedule queue, and that were taken back"
    );
    counter!(
        "bakehouse_schedule_queue_lost_total",
        "Times that the schedule queue was found deleted and was declared again"
    );
    gauge!(
        "bakehouse_queue_risks",
        "Policies and arguments of the broker's queues that can lose accepted operations"
    );
    counter!(
        "bakehouse_queue_check_errors_total",
        "Checks of those that could not be made"
    );
    counter!(
        "bakehouse_token_refusals_total",
        "Requests refused for their token, by reason"
    );
    counter!(
        "bakehouse_token_key_loads_total",
        "Loads of the token issuer's keys, by outcome"
    );
    counter!(
        "bakehouse_events_remade_total",
        "Events that a stage has gone through again, to make anew what it makes"
    );
    counter!(
        "bakehouse_rebuild_errors_total",
        "What went wrong while that was made anew, by stage"
    );
    gauge!("bakehouse_uploads", "Uploads under way in this process");
    gauge!(
        "bakehouse_attachment_bytes",
        "Bytes of attached files, as of the last sweep and since"
    );
    counter!(
        "bakehouse_attachments_removed_total",
        "Files removed because no order refers to them"
    );
    counter!(
        "bakehouse_log_lines_lost_total",
        "Log lines that were not written: nobody read them in time, or writing failed"
    );
}

/// What has been counted
///
/// Prometheus' text form.
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
        positions.look().await;
    }
    let text = recorder().map(PrometheusHandle::render);
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(text.unwrap_or_default())
}

/// Makes sure that counting has begun.
pub(crate) fn begin() {
    let _ = recorder();
}

/// Counts the subscribers of the process.
pub(crate) fn clients(count: usize) {
    #[expect(clippy::cast_precision_loss, reason = "nobody has that many")]
    metrics::gauge!("bakehouse_feed_clients").set(count as f64);
}

/// Records how many connections are open.
pub(crate) fn connections(count: usize) {
    #[expect(clippy::cast_precision_loss, reason = "nobody has that many")]
    metrics::gauge!("bakehouse_http_connections").set(count as f64);
}

/// Counts a connection that was refused or ended since it exceeded a bound.
pub(crate) fn connection_refused(bound: &'static str) {
    metrics::counter!("bakehouse_http_connections_refused_total", "bound" => bound).increment(1);
}

/// Counts a subscriber that was sent away.
pub(crate) fn sent_away(code: u16) {
    metrics::counter!("bakehouse_feed_closed_total", "code" => code.to_string()).increment(1);
}

/// How far the stages are behind, for whoever answers `/metrics`.
pub(crate) fn positions(state: &web::Data<crate::AppState>) -> web::Data<Positions> {
    web::Data::from(Arc::new(Positions::new(state.clone())))
}
