//! Table of settings and the tests that set them to a value other than the default and observe the
//! effect on a running program, or exceptions with a reason. The table is compared with `--help`, so
//! that a new setting without a test fails.

use std::collections::BTreeMap;
use std::path::Path;

use bakehouse_e2e::process::command;

/// Setting, and its test or the helper that its tests share, as `module::function`.
#[rustfmt::skip]
const TESTED: &[(&str, &str)] = &[
    ("instance", "settings_stages::leases_name_their_holder_and_last_as_set"),
    ("data_dir", "command_line::failed_starts_are_reported_with_exit_code_1"),
    ("mode", "warehouse::start"),
    ("follow.NAME", "blog::start"),
    ("follow.NAME.url", "settings_effects::a_remote_feed_is_read_with_a_token"),
    ("follow.NAME.token_file", "settings_effects::a_remote_feed_is_read_with_a_token"),
    ("http.bind", "settings_effects::http_settings_take_effect"),
    ("http.allow_open_bind", "settings_effects::http_settings_take_effect"),
    ("http.body_limit", "settings_effects::http_settings_take_effect"),
    ("http.workers", "settings_effects::http_settings_take_effect"),
    ("http.header_timeout", "access::slow_requests_time_out"),
    ("http.body_timeout", "access::slow_requests_time_out"),
    ("http.cors_origins", "access::pages_of_other_origins_cannot_write"),
    ("http.allow_any_origin", "exposure::any_origin_without_tokens_needs_a_second_setting"),
    ("http.allowed_hosts", "exposure::only_known_hosts_are_served"),
    ("http.public_url", "exposure::links_are_right_behind_a_prefix"),
    ("http.trusted_proxies", "exposure::clients_behind_a_proxy_are_counted_one_by_one"),
    ("http.max_connections", "connections::connections_are_limited_by_address"),
    ("http.max_connections_per_client", "connections::connections_are_limited_by_address"),
    ("http.rate_limit", "access::requests_are_limited_by_principal"),
    ("http.rate_burst", "access::requests_are_limited_by_principal"),
    ("http.max_waits", "bounded_reads::waits_are_bounded_for_each_client_and_in_all"),
    ("http.max_waits_per_client", "bounded_reads::waits_are_bounded_for_each_client_and_in_all"),
    ("http.max_log_reads", "settings_effects::log_reads_are_limited_as_set"),
    ("http.max_refused_changes", "bounded_reads::refused_changes_are_limited"),
    ("auth.jwks", "../src/issuer::settings"),
    ("auth.issuer", "../src/issuer::settings"),
    ("auth.audience", "../src/issuer::settings"),
    ("auth.algorithms", "settings_effects::tokens_are_checked_as_set"),
    ("auth.owner_claim", "access::owners_see_and_change_only_their_own_orders"),
    ("auth.leeway", "settings_effects::tokens_are_checked_as_set"),
    ("auth.jwks_cache_ttl", "access::keys_are_rotated"),
    ("attachments.store", "attachments::files_can_be_kept_on_s3"),
    ("attachments.s3_endpoint", "attachments::files_can_be_kept_on_s3"),
    ("attachments.s3_region", "settings_effects::s3_requests_use_the_region_that_is_set"),
    ("attachments.s3_access_key_id", "attachments::files_can_be_kept_on_s3"),
    ("attachments.s3_secret_access_key", "attachments::files_can_be_kept_on_s3"),
    ("attachments.max_bytes", "uploads::quotas_are_enforced_and_removed_files_free_space"),
    ("attachments.media_types", "contract::any_text"),
    ("attachments.min_upload_rate", "uploads::stalled_uploads_are_aborted_and_free_their_slots"),
    ("attachments.max_uploads", "uploads::an_order_has_at_most_fifty_files"),
    ("attachments.max_uploads_per_client", "uploads::an_order_has_at_most_fifty_files"),
    ("attachments.max_bytes_per_order", "uploads::quotas_are_enforced_and_removed_files_free_space"),
    ("attachments.max_bytes_per_client", "uploads::quotas_are_enforced_and_removed_files_free_space"),
    ("attachments.max_total_bytes", "uploads::quotas_are_enforced_and_removed_files_free_space"),
    ("attachments.sweep_interval", "attachments::unreferenced_files_are_removed"),
    ("attachments.sweep_grace", "attachments::unreferenced_files_are_removed"),
    ("health.bind", "observability::exported_metrics_are_those_documented"),
    ("health.stall_timeout", "readiness::a_stalled_stage_is_named"),
    ("health.integrity_interval", "settings_effects::store_integrity_is_checked_as_often_as_set"),
    ("mongodb.source_uri", "operator::doctor_reports_a_missing_store"),
    ("mongodb.presentation_uri", "operator::doctor_reports_a_missing_store"),
    ("mongodb.initiate_replica_set", "server_outages::absent_servers_are_waited_for_and_survived"),
    ("amqp.management_uri", "broker_policies::a_policy_that_can_lose_operations_fails_readiness"),
    ("amqp.uri", "../src/world::prepare_programs"),
    ("amqp.prefix", "settings_stages::stages_poll_as_often_as_set_without_notices"),
    ("amqp.confirm_timeout", "secured::databases_and_broker_take_tls_and_passwords"),
    ("amqp.prefetch", "secured::databases_and_broker_take_tls_and_passwords"),
    ("writer.max_batch", "settings_stages::batches_are_limited_as_set"),
    ("manager.poll_interval", "settings_stages::stages_poll_as_often_as_set_without_notices"),
    ("manager.max_batch", "settings_stages::batches_are_limited_as_set"),
    ("manager.lease_ttl", "settings_stages::leases_name_their_holder_and_last_as_set"),
    ("baker.poll_interval", "settings_stages::stages_poll_as_often_as_set_without_notices"),
    ("baker.max_batch", "settings_stages::batches_are_limited_as_set"),
    ("baker.lease_ttl", "settings_stages::leases_name_their_holder_and_last_as_set"),
    ("notify.poll_interval", "notifications::short_intervals"),
    ("notify.max_batch", "settings_stages::batches_are_limited_as_set"),
    ("notify.lease_ttl", "settings_stages::leases_name_their_holder_and_last_as_set"),
    ("notify.timeout", "notifications::short_intervals"),
    ("notify.concurrency", "settings_effects::concurrent_deliveries_are_limited_as_set"),
    ("notify.initial_backoff", "notifications::short_intervals"),
    ("notify.max_backoff", "notifications::short_intervals"),
    ("notify.give_up_after", "notifications::failing_deliveries_are_retried_or_end_as_failed"),
    ("email.uri", "secured::mail_goes_over_tls_to_a_server_that_asks_for_a_password"),
    ("email.from", "secured::mail_goes_over_tls_to_a_server_that_asks_for_a_password"),
    ("email.events", "secured::mail_goes_over_tls_to_a_server_that_asks_for_a_password"),
    ("sms.url", "secured::key_sets_webhooks_and_sms_use_https"),
    ("sms.token", "notifications::events_are_sent_by_mail_sms_and_webhook"),
    ("sms.body", "secured::key_sets_webhooks_and_sms_use_https"),
    ("sms.events", "notifications::events_are_sent_by_mail_sms_and_webhook"),
    ("webhook.urls", "secured::key_sets_webhooks_and_sms_use_https"),
    ("webhook.secret", "notifications::by_webhook"),
    ("webhook.events", "secured::key_sets_webhooks_and_sms_use_https"),
    ("webhook.allow_private", "notifications::by_webhook"),
    ("feed.buffer_frames", "feed_limits::a_subscriber_that_does_not_read_is_disconnected"),
    ("feed.poll_interval", "settings_stages::stages_poll_as_often_as_set_without_notices"),
    ("feed.heartbeat", "description::frames_are_as_described"),
    ("feed.max_subscribers", "connections::unauthenticated_sockets_do_not_count_as_subscribers"),
    ("feed.max_subscribers_per_client", "connections::unauthenticated_sockets_do_not_count_as_subscribers"),
    ("feed.max_unauthenticated", "connections::unauthenticated_sockets_do_not_count_as_subscribers"),
    ("feed.max_unauthenticated_per_client", "settings_effects::unauthenticated_sockets_are_limited_as_set"),
    ("orders.currency", "conditional_writes::idempotency_keys_are_known_after_a_change_of_settings"),
    ("log.format", "settings_effects::http_settings_take_effect"),
    ("log.filter", "logging::prepare"),
    ("log.requests", "settings_effects::requests_are_logged_where_that_is_set"),
];

/// Settings without an observable effect on a running program, each with the reason.
const EXCEPTIONS: &[(&str, &str)] = &[];

#[test]
fn every_setting_has_a_test() {
    let output = command("bakehouse")
        .arg("--help")
        .output()
        .expect("it runs");
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    let listed: BTreeMap<&str, &str> = help.lines().filter_map(setting).collect();
    assert!(listed.len() > 90, "{help}");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for (key, test) in TESTED {
        let variable = listed.get(key);
        let variable: &str = variable.unwrap_or_else(|| panic!("{key}: unknown setting"));
        let (module, name) = test.split_once("::").expect("module::test");
        let file = folder.join(format!("{module}.rs"));
        let text = std::fs::read_to_string(&file).expect("a module");
        let is_there = text.contains(&format!("fn {name}"));
        assert!(is_there, "{key}: {module} has no {name}");
        // Some variables contain a name of the user's choice.
        let is_set = variable.split("NAME").all(|part| text.contains(part));
        assert!(is_set, "{key}: {module} does not set {variable}");
    }
    let mut covered: Vec<&str> = TESTED
        .iter()
        .chain(EXCEPTIONS)
        .map(|(key, _)| *key)
        .collect();
    covered.sort_unstable();
    let known: Vec<&str> = listed.keys().copied().collect();
    assert_eq!(
        covered, known,
        "covered (left) and listed by --help (right)"
    );
}

/// Parses a line of `--help`; returns key and variable if it describes a setting.
fn setting(line: &str) -> Option<(&str, &str)> {
    let mut words = line.strip_prefix("  ")?.split_whitespace();
    let (key, variable) = (words.next()?, words.next()?);
    let is_setting = variable.starts_with("BAKEHOUSE_") && !key.starts_with('[');
    (is_setting && words.next().is_none()).then_some((key, variable))
}
