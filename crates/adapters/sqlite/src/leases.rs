//! Leases in SQLite; they expire by SQLite's clock.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bakehouse_engine::ports::{Lease, Leases, StoreError};
use rusqlite::{OptionalExtension, params};

use crate::database::Database;

/// SQL expression of the current time in milliseconds since 1970.
const NOW: &str = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";

pub(crate) struct SqliteLeases(pub(crate) Arc<Database>);

#[async_trait]
impl Leases for SqliteLeases {
    async fn acquire(
        &self,
        name: &str,
        holder: &str,
        time_to_live: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let (name, holder, millis) = (name.to_owned(), holder.to_owned(), millis(time_to_live));
        let statement = format!(
            "INSERT INTO leases VALUES (?1, ?2, 1, {NOW} + ?3) ON CONFLICT (name) DO UPDATE SET \
             epoch = epoch + (holder <> excluded.holder), holder = excluded.holder, \
             expires_at = excluded.expires_at \
             WHERE holder = excluded.holder OR expires_at <= {NOW} RETURNING epoch"
        );
        self.0
            .write(move |connection| {
                let mut statement = connection.prepare_cached(&statement)?;
                let epoch: Option<i64> = statement
                    .query_row(params![name, holder, millis], |row| row.get(0))
                    .optional()?;
                Ok(epoch.map(|epoch| Lease {
                    holder,
                    epoch: epoch.unsigned_abs(),
                }))
            })
            .await
    }

    async fn renew(
        &self,
        name: &str,
        lease: &Lease,
        time_to_live: Duration,
    ) -> Result<bool, StoreError> {
        let touched = self.expire(name, lease, millis(time_to_live)).await?;
        Ok(touched == 1)
    }

    async fn release(&self, name: &str, lease: &Lease) -> Result<(), StoreError> {
        self.expire(name, lease, 0).await.map(|_| ())
    }
}

impl SqliteLeases {
    /// Sets the expiry of a lease to `millis` from now if it still belongs to its holder and
    /// epoch; returns the number of changed rows, 0 or 1.
    async fn expire(&self, name: &str, lease: &Lease, millis: i64) -> Result<usize, StoreError> {
        let (name, holder) = (name.to_owned(), lease.holder.clone());
        let epoch = crate::rows::integer(lease.epoch);
        let statement = format!(
            "UPDATE leases SET expires_at = {NOW} + ?4 \
             WHERE name = ?1 AND holder = ?2 AND epoch = ?3"
        );
        self.0
            .write(move |connection| {
                let mut statement = connection.prepare_cached(&statement)?;
                Ok(statement.execute(params![name, holder, epoch, millis])?)
            })
            .await
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
