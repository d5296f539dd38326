//! Names of settings: their environment variables, and former names.

use crate::SecretUri;

/// Former and current key of each renamed setting. The former one still works, as an alias, with a
/// warning.
pub(super) const RENAMED: &[(&str, &str)] = &[
    ("http.head_timeout", "http.header_timeout"),
    ("auth.keys_lifetime", "auth.jwks_cache_ttl"),
    ("baker.sweep_interval", "baker.poll_interval"),
    ("notify.sweep_interval", "notify.poll_interval"),
    ("notify.at_once", "notify.concurrency"),
    ("notify.first_wait", "notify.initial_backoff"),
    ("notify.longest_wait", "notify.max_backoff"),
    ("feed.sweep_interval", "feed.poll_interval"),
    ("feed.ring", "feed.buffer_frames"),
    ("feed.places", "feed.max_subscribers"),
    ("feed.places_each", "feed.max_subscribers_per_client"),
];

/// Error: a setting that this service needs is not set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} is not set ({variable}): expected something like {example}")]
pub struct Unset {
    key: &'static str,
    variable: String,
    example: &'static str,
}

pub(super) fn required<'a>(
    value: &'a Option<SecretUri>,
    key: &'static str,
    example: &'static str,
) -> Result<&'a SecretUri, Unset> {
    value.as_ref().ok_or_else(|| Unset {
        key,
        variable: variable(key),
        example,
    })
}

/// Environment variable of a key: `BAKEHOUSE_HTTP__BIND` for `http.bind`.
pub(crate) fn variable(key: &str) -> String {
    format!("BAKEHOUSE_{}", key.replace('.', "__").to_uppercase())
}
