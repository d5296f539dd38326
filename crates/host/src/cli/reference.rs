//! Settings as `--help` lists them.

use anyhow::{Error, Result};

use crate::SecretUri;
use crate::settings::{Configuration, DomainSettings, FollowedFeed, Settings, variable};

/// Key and meaning of each setting that every domain has, in the order of the sections.
const SETTINGS: &[(&str, &str)] = &[
    (
        "instance",
        "unique name of this instance among those of its service",
    ),
    ("data_dir", "folder of the embedded store"),
    (
        "mode",
        "asynchronous; or, on the embedded store, synchronous: a response waits until all effects \
         of the request are durable; or memory: likewise, but all data is lost at exit",
    ),
    (
        "follow.NAME",
        "URL of the feed of the service whose domain is NAME: http://host/NAME-events",
    ),
    (
        "follow.NAME.url",
        "URL of that feed, if NAME is a section because it has a token_file",
    ),
    (
        "follow.NAME.token_file",
        "file with a bearer token for that feed, read for each connection; the URL must be https",
    ),
    ("http.bind", "address that the HTTP server listens on"),
    (
        "http.allow_open_bind",
        "true if the address may be reachable from other machines without tokens",
    ),
    (
        "http.body_limit",
        "maximum length of a request body, in bytes",
    ),
    (
        "http.workers",
        "threads that serve requests; 0: one for each core",
    ),
    (
        "http.header_timeout",
        "time that a client may take to send the header of a request",
    ),
    (
        "http.body_timeout",
        "time that a client may take to send the body of a request",
    ),
    (
        "http.cors_origins",
        "origins of pages that may use the API from a browser; *: any",
    ),
    (
        "http.allow_any_origin",
        "true if http.cors_origins may be * while no token is required",
    ),
    (
        "http.allowed_hosts",
        "host names that are served while no token is required, in addition to localhost, loopback \
         addresses and http.bind: shop.example or *.shop.example",
    ),
    (
        "http.public_url",
        "URL of the API behind a proxy, with its path: https://shop.example/orders",
    ),
    (
        "http.trusted_proxies",
        "proxies whose X-Forwarded-For is trusted: addresses, or networks such as 10.0.0.0/8",
    ),
    (
        "http.max_connections",
        "maximum number of open connections; 0: as many as the limit on open files allows, at most \
         25,000",
    ),
    (
        "http.max_connections_per_client",
        "maximum number of connections of one client address; 0: half of all",
    ),
    (
        "http.rate_limit",
        "requests per second of one principal, or address; 0: unlimited",
    ),
    (
        "http.rate_burst",
        "requests that one principal, or address, may send at once before http.rate_limit applies",
    ),
    (
        "http.max_waits",
        "maximum number of requests that wait at the same time (Prefer: wait)",
    ),
    (
        "http.max_waits_per_client",
        "maximum number of waiting requests of one principal, or address",
    ),
    (
        "http.max_log_reads",
        "maximum number of reads of the log (histories, as_of) at the same time",
    ),
    (
        "http.max_refused_changes",
        "maximum number of changes of one entity by one principal that may be refused within a \
         minute; 0: unlimited",
    ),
    (
        "auth.jwks",
        "public keys of the token issuer (JWKS), an https URL or a file; unset: no token is required",
    ),
    ("auth.issuer", "issuer of the tokens (iss)"),
    ("auth.audience", "audience that tokens must name (aud)"),
    ("auth.algorithms", "signature algorithms that are accepted"),
    (
        "auth.owner_claim",
        "claim whose value is the owner of entities",
    ),
    (
        "auth.leeway",
        "allowed difference between the clocks of issuer and server",
    ),
    (
        "auth.jwks_cache_ttl",
        "time for which fetched keys are cached",
    ),
    (
        "health.bind",
        "address of the health checks of services without an API",
    ),
    (
        "health.stall_timeout",
        "time after which a stage that has work and makes no progress makes the server not ready",
    ),
    (
        "health.integrity_interval",
        "interval of the check of the embedded store's file for damaged pages; 0s: never",
    ),
    (
        "mongodb.source_uri",
        "URI of the source database, with its name in the path",
    ),
    (
        "mongodb.presentation_uri",
        "URI of the presentation database, with its name in the path",
    ),
    (
        "mongodb.initiate_replica_set",
        "true if replica sets of the URIs are initiated where needed",
    ),
    (
        "amqp.uri",
        "URI of RabbitMQ: amqp://USER:PASSWORD@HOST:PORT/VHOST",
    ),
    (
        "amqp.management_uri",
        "URL of RabbitMQ's management API, where its policies are checked; unset: they are not",
    ),
    (
        "amqp.prefix",
        "prefix of the names of exchanges and queues; the same for all services",
    ),
    (
        "amqp.confirm_timeout",
        "time that RabbitMQ may take to confirm an operation, before the client gets 503",
    ),
    (
        "amqp.prefetch",
        "maximum number of messages that events-writer holds unacknowledged",
    ),
    (
        "writer.max_batch",
        "maximum number of operations that events-writer appends at once",
    ),
    (
        "manager.poll_interval",
        "interval at which orders-manager polls the log without a notice",
    ),
    (
        "manager.max_batch",
        "maximum number of entries that orders-manager executes at once",
    ),
    (
        "manager.lease_ttl",
        "time after which a standby of orders-manager takes over from a leader that has stopped",
    ),
    (
        "baker.poll_interval",
        "interval at which data-baker polls for executed operations without a notice",
    ),
    (
        "baker.max_batch",
        "maximum number of entries that data-baker bakes at once",
    ),
    (
        "baker.lease_ttl",
        "time after which a standby of data-baker takes over from a leader that has stopped",
    ),
    (
        "notify.poll_interval",
        "interval at which notifier polls for frames, and for notifications that are due",
    ),
    (
        "notify.max_batch",
        "maximum number of frames that notifier reads at once",
    ),
    (
        "notify.lease_ttl",
        "time after which a standby of notifier takes over from a leader that has stopped",
    ),
    ("notify.timeout", "time that one attempt to send may take"),
    (
        "notify.concurrency",
        "notifications that are sent at the same time, for each channel",
    ),
    (
        "notify.initial_backoff",
        "time between the first and the second attempt; later ones grow threefold",
    ),
    ("notify.max_backoff", "longest time between two attempts"),
    (
        "notify.give_up_after",
        "age of an event after which its notification is no longer sent",
    ),
    (
        "feed.buffer_frames",
        "number of latest frames kept in memory; a live subscriber that falls further behind is \
         disconnected",
    ),
    (
        "feed.poll_interval",
        "interval at which the feed polls for frames without a notice",
    ),
    ("feed.heartbeat", "interval of pings to a subscriber"),
    ("feed.max_subscribers", "maximum number of subscribers"),
    (
        "feed.max_subscribers_per_client",
        "maximum number of subscribers of one principal, or address; 0: unlimited",
    ),
    (
        "feed.max_unauthenticated",
        "maximum number of websockets that have not sent a token yet; they are no subscribers",
    ),
    (
        "feed.max_unauthenticated_per_client",
        "maximum number of such websockets of one client address; 0: unlimited",
    ),
    ("log.format", "auto, human or json"),
    (
        "log.filter",
        "level, or levels by target: info, or info,bakehouse_engine=debug",
    ),
    (
        "log.requests",
        "true if each HTTP request is logged at level info, with route, status and duration",
    ),
];

/// Text after the options in `--help`: settings that begin with one of these prefixes, or all if
/// there are no prefixes.
pub(super) fn text<S: DomainSettings>(prefixes: &[&str]) -> String {
    let defaults = defaults::<S>();
    let is_read =
        |key: &str| prefixes.is_empty() || prefixes.iter().any(|prefix| key.starts_with(prefix));
    let mut text = "Settings: key in the TOML file, environment variable (which overrides the \
                    file), meaning [default]\n"
        .to_owned();
    let mut group = "";
    for (key, meaning) in SETTINGS.iter().chain(S::REFERENCE) {
        if !is_read(key) {
            continue;
        }
        let section = key.split_once('.').map_or("", |(section, _)| section);
        if section != group {
            group = section;
            text += &format!("\n[{section}]\n");
        }
        let default = defaults.iter().find(|(known, _)| known == key);
        let default = match default {
            Some((_, value)) if *key != "instance" => format!(" [{value}]"),
            _ => String::new(),
        };
        let variable = variable(key);
        text += &format!("  {key:<33} {variable}\n      {meaning}{default}\n");
    }
    text
}

/// Keys and values of the default settings.
fn defaults<S: DomainSettings>() -> Vec<(String, String)> {
    let mut flat = Vec::new();
    for (key, value) in Configuration::<S>::default().to_toml().unwrap_or_default() {
        flatten(key, &value, &mut flat);
    }
    flat
}

fn flatten(path: String, value: &toml::Value, into: &mut Vec<(String, String)>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                flatten(format!("{path}.{key}"), value, into);
            }
        }
        toml::Value::String(text) => into.push((path, text.clone())),
        value => into.push((path, value.to_string())),
    }
}

/// Returns the keys that `--help` lists, and those of a configuration that sets every optional
/// setting of the host beside `domain`; both sorted. A domain's test compares them: a setting that
/// [`DomainSettings::REFERENCE`] lacks, or lists in vain, makes the difference.
///
/// # Errors
/// An error if a setting has no TOML form.
pub fn listed_and_known_settings<S: DomainSettings>(
    domain: S,
) -> Result<(Vec<String>, Vec<String>)> {
    let uri = || Some(SecretUri::from("amqp://host"));
    let mut host = Settings::default();
    host.health.bind = Some(([127, 0, 0, 1], 1).into());
    host.mongodb.source_uri = uri();
    host.mongodb.presentation_uri = uri();
    host.amqp.uri = uri();
    let management = "http://localhost:15672".to_owned();
    host.amqp.management_uri = Some(management.try_into().map_err(Error::msg)?);
    host.http.public_url = Some("https://shop.example".parse().map_err(Error::msg)?);
    host.auth.jwks = Some("keys.json".to_owned().try_into().map_err(Error::msg)?);
    host.auth.issuer = Some("https://issuer".into());
    host.auth.audience = Some("orders".into());
    let feed = FollowedFeed {
        url: "http://host/feed"
            .to_owned()
            .try_into()
            .map_err(Error::msg)?,
        token_file: Some("token".into()),
    };
    host.follow.insert("NAME".into(), feed);
    // Short form of the table.
    let mut known = vec![("follow.NAME".to_owned(), String::new())];
    for (key, value) in (Configuration { host, domain }).to_toml()? {
        flatten(key, &value, &mut known);
    }
    let mut known: Vec<_> = known.into_iter().map(|(key, _)| key).collect();
    let listed = SETTINGS.iter().chain(S::REFERENCE);
    let mut listed: Vec<_> = listed.map(|(key, _)| (*key).to_owned()).collect();
    known.sort_unstable();
    listed.sort_unstable();
    Ok((listed, known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::NoSettings;

    #[test]
    fn every_setting_is_listed_and_nothing_else() {
        let (listed, known) = listed_and_known_settings(NoSettings {}).expect("TOML");
        assert!(known.len() > 50, "{known:?}");
        assert_eq!(listed, known);
    }

    #[test]
    fn defaults_are_shown() {
        let text = text::<NoSettings>(&[]);
        assert!(text.contains("[127.0.0.1:8080]"), "{text}");
        assert!(text.contains("[200ms]"), "{text}");
    }

    #[test]
    fn a_program_lists_the_settings_that_it_reads() {
        let text = text::<NoSettings>(&["log.", "mongodb.source_uri"]);
        assert!(text.contains("BAKEHOUSE_MONGODB__SOURCE_URI"), "{text}");
        assert!(text.contains("\n[log]\n"), "{text}");
        assert!(!text.contains("presentation_uri"), "{text}");
        assert!(!text.contains("[http]"), "{text}");
    }
}
