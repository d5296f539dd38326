//! Where attached files are kept, and what may be attached.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use url::Url;

use super::load;
use crate::{SecretText, SecretUri};

/// Bytes of a mebibyte.
const MIB: u64 = 1024 * 1024;

/// Attached files.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Attachments {
    /// An S3 bucket, as in `s3://BUCKET/PREFIX`; unset: a folder in `data_dir`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<SecretUri>,
    /// The S3 server, if it is not Amazon's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3_endpoint: Option<SecretUri>,
    /// The bucket's region.
    pub s3_region: String,
    /// Whose key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3_access_key_id: Option<String>,
    /// The key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3_secret_access_key: Option<SecretText>,
    /// Bytes that a file may have.
    pub largest: u64,
    /// Of which types; `*/*`: any.
    #[serde(deserialize_with = "load::list")]
    pub media_types: Vec<String>,
    /// Bytes a second that an upload must come at on the average, once `http.body_timeout` is
    /// over.
    pub min_upload_rate: u64,
    /// Uploads at the same time.
    pub max_uploads: usize,
    /// Uploads of one principal, or one address, at the same time.
    pub max_uploads_per_client: usize,
    /// Bytes of all files of an order.
    pub max_bytes_per_order: u64,
    /// Bytes of all files of an owner's orders; of an address, where orders have no owner.
    pub max_bytes_per_client: u64,
    /// Bytes of all files.
    pub max_total_bytes: u64,
    /// How often bytes are looked for that no order refers to.
    #[serde(with = "humantime_serde")]
    pub sweep_interval: Duration,
    /// After which time those are removed.
    #[serde(with = "humantime_serde")]
    pub sweep_grace: Duration,
}

impl Default for Attachments {
    fn default() -> Self {
        let media_types = [
            "application/pdf",
            "image/jpeg",
            "image/png",
            "image/webp",
            "text/csv",
            "text/plain",
        ];
        Self {
            store: None,
            s3_endpoint: None,
            s3_region: "us-east-1".into(),
            s3_access_key_id: None,
            s3_secret_access_key: None,
            largest: 10 * MIB,
            media_types: media_types.map(str::to_owned).into(),
            min_upload_rate: 16 * 1024,
            max_uploads: 64,
            max_uploads_per_client: 16,
            max_bytes_per_order: 100 * MIB,
            max_bytes_per_client: 2 * 1024 * MIB,
            max_total_bytes: 20 * 1024 * MIB,
            sweep_interval: Duration::from_secs(6 * 60 * 60),
            sweep_grace: Duration::from_secs(7 * 24 * 60 * 60),
        }
    }
}

impl Attachments {
    /// Bucket and prefix, where files are kept on S3.
    #[must_use]
    pub fn bucket(&self) -> Option<(&str, &str)> {
        let place = self.store.as_ref()?.expose().strip_prefix("s3://")?;
        Some(place.split_once('/').unwrap_or((place, "")))
    }

    pub(super) fn check(&self) -> Result<()> {
        ensure!(
            self.largest > 0,
            "attachments.largest: expected a number above 0"
        );
        if let Some(endpoint) = &self.s3_endpoint {
            let url = Url::parse(endpoint.expose()).ok();
            let url = url.filter(|url| ["http", "https"].contains(&url.scheme()));
            let is_plain = url.is_some_and(|url| {
                url.username().is_empty() && url.password().is_none() && url.query().is_none()
            });
            ensure!(
                is_plain,
                "attachments.s3_endpoint: expected http://HOST:PORT or https://HOST:PORT; keys go to \
                 attachments.s3_access_key_id and attachments.s3_secret_access_key"
            );
        }
        ensure!(
            self.min_upload_rate > 0,
            "attachments.min_upload_rate: expected a number above 0, in bytes a second"
        );
        for (setting, bytes) in [
            ("max_bytes_per_order", self.max_bytes_per_order),
            ("max_bytes_per_client", self.max_bytes_per_client),
            ("max_total_bytes", self.max_total_bytes),
        ] {
            ensure!(
                bytes >= self.largest,
                "attachments.{setting}: expected at least as many bytes as one file may have \
                 (attachments.largest, {})",
                self.largest
            );
        }
        if self.store.is_some() {
            let is_named = self.bucket().is_some_and(|(bucket, _)| !bucket.is_empty());
            // Not a user's name and password.
            let is_plain = self
                .bucket()
                .is_some_and(|(bucket, _)| !bucket.contains(['@', ':']));
            ensure!(
                is_named && is_plain,
                "attachments.store: expected s3://BUCKET or s3://BUCKET/PREFIX"
            );
            ensure!(
                self.s3_access_key_id.is_some() && self.s3_secret_access_key.is_some(),
                "attachments.s3_access_key_id, attachments.s3_secret_access_key: required where \
                 attachments.store is set"
            );
        }
        Ok(())
    }
}
