//! Section `attachments`: storage and limits of attached files.

use std::time::Duration;

use anyhow::{Result, ensure};
use bakehouse_host::settings::list;
use bakehouse_host::{SecretText, SecretUri};
use serde::{Deserialize, Serialize};
use url::Url;

/// Bytes of a mebibyte.
const MIB: u64 = 1024 * 1024;

/// Settings of attached files.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Attachments {
    /// S3 bucket that keeps the files, as in `s3://BUCKET/PREFIX`; unset: a folder in `data_dir`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<SecretUri>,
    /// URL of the S3 server; unset: Amazon's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3_endpoint: Option<SecretUri>,
    /// Region of the bucket.
    pub s3_region: String,
    /// Id of the access key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3_access_key_id: Option<String>,
    /// Secret access key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3_secret_access_key: Option<SecretText>,
    /// Maximum size of a file, in bytes.
    #[serde(alias = "largest")]
    pub max_bytes: u64,
    /// Media types that are accepted; `*/*`: any.
    #[serde(deserialize_with = "list")]
    pub media_types: Vec<String>,
    /// Lowest average rate of an upload once `http.body_timeout` has passed, in bytes per second.
    pub min_upload_rate: u64,
    /// Maximum number of uploads at the same time.
    pub max_uploads: usize,
    /// Maximum number of uploads of one principal, or address, at the same time.
    pub max_uploads_per_client: usize,
    /// Maximum size of all files of an order, in bytes.
    pub max_bytes_per_order: u64,
    /// Maximum size of all files of an owner's orders, or of an address where orders have no
    /// owner, in bytes.
    pub max_bytes_per_client: u64,
    /// Maximum size of all files, in bytes.
    pub max_total_bytes: u64,
    /// Interval at which files that no order refers to are removed.
    #[serde(with = "humantime_serde")]
    pub sweep_interval: Duration,
    /// Age at which a file that no order refers to is removed, by the times in the log.
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
            max_bytes: 10 * MIB,
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
    /// Bucket and prefix, if files are kept on S3.
    #[must_use]
    pub fn bucket(&self) -> Option<(&str, &str)> {
        let path = self.store.as_ref()?.expose().strip_prefix("s3://")?;
        Some(path.split_once('/').unwrap_or((path, "")))
    }

    pub(super) fn check(&self) -> Result<()> {
        ensure!(
            self.max_bytes > 0,
            "attachments.max_bytes: expected a number above 0"
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
                bytes >= self.max_bytes,
                "attachments.{setting}: expected at least as many bytes as one file may have \
                 (attachments.max_bytes, {})",
                self.max_bytes
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
