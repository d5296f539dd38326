//! The settings as `--help` lists them.

use crate::settings::variable;

/// Key and meaning, in the order of the sections. The defaults are shown beside
/// them as they are in the code.
const SETTINGS: &[(&str, &str)] = &[
    (
        "instance",
        "name of this instance, unique among those of its kind",
    ),
    ("data_dir", "where the embedded store keeps its file"),
    (
        "mode",
        "asynchronous; or, on the embedded store, synchronous: an answer waits for all that a \
         request leads to; or memory: likewise, and nothing is kept",
    ),
    (
        "follow.NAME",
        "where the feed of the service of the domain NAME is: http://host/NAME-events",
    ),
    ("follow.NAME.url", "the same, where there is more to say"),
    (
        "follow.NAME.token_file",
        "file of a bearer token for it, read again for each connection; over https only",
    ),
    ("http.bind", "address that api-server listens at"),
    (
        "http.allow_open_bind",
        "whether it may be reached from other machines",
    ),
    ("http.body_limit", "bytes that a body may have"),
    ("http.workers", "threads that answer; 0: one a core"),
    (
        "http.head_timeout",
        "how long a client may take to send a request's head",
    ),
    ("http.body_timeout", "how long it may take to send its body"),
    (
        "http.cors_origins",
        "origins of pages that may use the API from a browser; *: any",
    ),
    (
        "http.allow_any_origin",
        "whether * is meant while no token is required",
    ),
    (
        "http.allowed_hosts",
        "hosts served while no token is required, beside localhost, loopback and http.bind: \
         shop.example or *.shop.example",
    ),
    (
        "http.public_url",
        "where clients find the API behind a proxy, prefix included: https://shop.example/orders",
    ),
    (
        "http.trusted_proxies",
        "proxies whose X-Forwarded-For is believed: addresses, or networks such as 10.0.0.0/8",
    ),
    (
        "http.max_connections",
        "open connections at most; 0: as many as open files allow, at most 25,000",
    ),
    (
        "http.max_connections_per_client",
        "those of one client address; 0: half of all",
    ),
    (
        "http.rate_limit",
        "requests a second of one principal, or address; 0: any",
    ),
    ("http.rate_burst", "how many of them at once"),
    (
        "http.max_waits",
        "maximum number of answers that wait at the same time (Prefer: wait)",
    ),
    (
        "http.max_waits_per_client",
        "maximum number of those for one principal, or address",
    ),
    (
        "http.max_log_reads",
        "maximum number of reads of the log (histories, as_of) at the same time",
    ),
    (
        "http.max_refused_changes",
        "maximum number of changes of one entity by one principal that may be refused within a \
         minute; 0: any number",
    ),
    (
        "auth.jwks",
        "the token issuer's public keys, an https URL or a file; unset: no tokens",
    ),
    ("auth.issuer", "the tokens' iss"),
    ("auth.audience", "what must be among the tokens' aud"),
    ("auth.algorithms", "how tokens may be signed"),
    (
        "auth.owner_claim",
        "the claim that says whose orders a token is for",
    ),
    ("auth.leeway", "by how much the clocks may differ"),
    (
        "auth.keys_lifetime",
        "how long keys are used without looking for newer ones",
    ),
    (
        "attachments.store",
        "s3://BUCKET/PREFIX; unset: the folder attachments in data_dir",
    ),
    (
        "attachments.s3_endpoint",
        "the S3 server, if it is not Amazon's",
    ),
    ("attachments.s3_region", "the bucket's region"),
    ("attachments.s3_access_key_id", "whose key"),
    ("attachments.s3_secret_access_key", "the key"),
    ("attachments.largest", "bytes that a file may have"),
    ("attachments.media_types", "of which types; */*: any"),
    (
        "attachments.min_upload_rate",
        "bytes a second that an upload must come at on the average, once http.body_timeout is over",
    ),
    ("attachments.max_uploads", "uploads at the same time"),
    (
        "attachments.max_uploads_per_client",
        "uploads of one principal, or one address, at the same time",
    ),
    (
        "attachments.max_bytes_per_order",
        "bytes of all files of an order",
    ),
    (
        "attachments.max_bytes_per_client",
        "bytes of all files of an owner's orders; of an address, where orders have no owner",
    ),
    ("attachments.max_total_bytes", "bytes of all files"),
    (
        "attachments.sweep_interval",
        "how often files are looked for that no order refers to",
    ),
    (
        "attachments.sweep_grace",
        "how long those stay that the log says nothing of, counted by the orders that come after them",
    ),
    (
        "health.bind",
        "address for health checks of the services without HTTP",
    ),
    (
        "health.stall_timeout",
        "time after which a stage that has work and does not move makes the server not ready",
    ),
    (
        "health.integrity_interval",
        "interval at which the embedded store's file is checked for damaged pages; 0s: never",
    ),
    (
        "mongodb.source_uri",
        "the source database, with its name in the path",
    ),
    (
        "mongodb.presentation_uri",
        "the presentation database, likewise",
    ),
    (
        "mongodb.initiate_replica_set",
        "whether to initiate the URIs' replica sets",
    ),
    ("amqp.uri", "the broker"),
    (
        "amqp.management_uri",
        "the broker's management API, where policies are checked",
    ),
    (
        "amqp.prefix",
        "put before the names of exchanges and queues",
    ),
    (
        "amqp.confirm_timeout",
        "how long the broker may take to confirm an order",
    ),
    (
        "amqp.prefetch",
        "messages that events-writer may have in hand",
    ),
    (
        "writer.max_batch",
        "events that events-writer stores at once, at most",
    ),
    (
        "manager.poll_interval",
        "how often orders-manager looks for events",
    ),
    (
        "manager.max_batch",
        "events that it executes at once, at most",
    ),
    ("manager.lease_ttl", "after which a standby takes over"),
    (
        "baker.sweep_interval",
        "how often data-baker looks for changes",
    ),
    ("baker.max_batch", "events that it bakes at once, at most"),
    ("baker.lease_ttl", "after which a standby takes over"),
    (
        "notify.sweep_interval",
        "how often notifier looks for events, and for what is due",
    ),
    (
        "notify.max_batch",
        "events that it follows at once, at most",
    ),
    ("notify.lease_ttl", "after which a standby takes over"),
    ("notify.timeout", "how long an attempt to send may take"),
    (
        "notify.at_once",
        "how many are sent at the same time, each way",
    ),
    (
        "notify.first_wait",
        "before a second attempt; later waits are three times as long",
    ),
    ("notify.longest_wait", "but not longer than this"),
    (
        "notify.give_up_after",
        "age of an event that nobody is told of any more",
    ),
    (
        "email.uri",
        "smtp://USER:PASSWORD@HOST:PORT (?tls=required) or smtps://; unset: no mail",
    ),
    ("email.from", "the sender, NAME <ADDRESS>"),
    (
        "email.events",
        "of which events customers get a mail; *: all",
    ),
    ("sms.url", "the gateway for text messages; unset: none"),
    ("sms.token", "sent to it as a bearer token"),
    (
        "sms.body",
        "JSON that is posted to it; {to}, {text} and {id} are filled in",
    ),
    ("sms.events", "of which events customers get one; *: all"),
    ("webhook.urls", "who else is told; empty: nobody"),
    (
        "webhook.secret",
        "what requests are signed with: whsec_ and 24 to 64 bytes in base64",
    ),
    ("webhook.events", "of which events they are told; *: all"),
    (
        "webhook.allow_private",
        "whether they may be on this machine or in a private network",
    ),
    ("feed.ring", "latest frames that are kept in memory"),
    ("feed.sweep_interval", "how often the feed looks for frames"),
    ("feed.heartbeat", "how often a feed client is pinged"),
    (
        "feed.places",
        "how many may follow the feed at the same time",
    ),
    (
        "feed.places_each",
        "how many of one principal, or address; 0: any",
    ),
    (
        "feed.max_unauthenticated",
        "websockets that have yet to show a token, at most",
    ),
    (
        "feed.max_unauthenticated_per_client",
        "those of one client address; 0: any",
    ),
    ("orders.currency", "of orders that name none"),
    ("log.format", "auto, human or json"),
    (
        "log.filter",
        "what is logged: info, or bakehouse_engine=debug, …",
    ),
];

/// The text after the options in `--help`.
pub(crate) fn text() -> String {
    let defaults = defaults();
    let line = |(key, meaning): &(&str, &str)| {
        let variable = variable(key);
        let default = defaults.iter().find(|(known, _)| known == key);
        let default = match default {
            Some((_, value)) if *key != "instance" => format!(" [{value}]"),
            _ => String::new(),
        };
        format!("  {key:<33} {variable}\n      {meaning}{default}\n")
    };
    let lines: String = SETTINGS.iter().map(line).collect();
    format!("Settings, as a key of the TOML file and as a variable that goes over it:\n{lines}")
}

/// Keys and values of the default settings.
fn defaults() -> Vec<(String, String)> {
    let mut flat = Vec::new();
    if let Ok(table) = toml::Table::try_from(crate::Settings::default()) {
        for (key, value) in table {
            flatten(key, &value, &mut flat);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{FollowedFeed, Health, MongoDb};
    use crate::{SecretUri, Settings};

    #[test]
    fn every_setting_is_listed_and_nothing_else() {
        let uri = || Some(SecretUri::from("amqp://host"));
        let mut full = Settings {
            health: Health {
                bind: Some(([127, 0, 0, 1], 1).into()),
                ..Health::default()
            },
            mongodb: MongoDb {
                source_uri: uri(),
                presentation_uri: uri(),
                initiate_replica_set: true,
            },
            ..Settings::default()
        };
        full.amqp.uri = uri();
        let management = "http://localhost:15672".to_owned();
        full.amqp.management_uri = Some(management.try_into().expect("a URL"));
        full.http.public_url = Some("https://shop.example".parse().expect("a URL"));
        full.auth.jwks = Some("keys.json".to_owned().try_into().expect("a file"));
        full.auth.issuer = Some("https://issuer".into());
        full.auth.audience = Some("orders".into());
        full.attachments.store = Some("s3://bucket".into());
        full.attachments.s3_endpoint = Some("http://s3".into());
        full.attachments.s3_access_key_id = Some("key".into());
        full.attachments.s3_secret_access_key = Some("secret".to_owned().into());
        full.email.uri = uri();
        full.email.from = Some("a@example.org".into());
        full.sms.url = uri();
        full.sms.token = Some("secret".to_owned().into());
        full.webhook.secret = Some("secret".to_owned().into());
        let feed = "http://host/feed".to_owned().try_into().expect("a URL");
        let feed = FollowedFeed {
            url: feed,
            token_file: Some("token".into()),
        };
        full.follow.insert("NAME".into(), feed);
        // The short form.
        let mut flat = vec![("follow.NAME".to_owned(), String::new())];
        for (key, value) in toml::Table::try_from(full).expect("TOML") {
            flatten(key, &value, &mut flat);
        }
        let mut known: Vec<&str> = flat.iter().map(|(key, _)| key.as_str()).collect();
        let mut listed: Vec<&str> = SETTINGS.iter().map(|(key, _)| *key).collect();
        known.sort_unstable();
        listed.sort_unstable();
        assert_eq!(listed, known);
    }

    #[test]
    fn defaults_are_shown() {
        assert!(text().contains("[127.0.0.1:8080]"), "{}", text());
        assert!(text().contains("[200ms]"));
    }
}
