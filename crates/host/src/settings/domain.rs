//! Settings of one domain, and all settings of its program.

use std::fmt::Debug;

use anyhow::Result;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::host::Settings;

/// Top-level sections of the settings that belong to a domain.
///
/// The type is deserialized from a table with only these sections; its fields are named like the
/// sections.
pub trait DomainSettings:
    Clone + Debug + Default + DeserializeOwned + Serialize + Send + Sync + 'static
{
    /// Names of the sections.
    const SECTIONS: &'static [&'static str] = &[];
    /// Key and meaning of each setting, for `--help`.
    const REFERENCE: &'static [(&'static str, &'static str)] = &[];
    /// Former and current key of each setting that was renamed. The former one still works, as
    /// an alias, with a warning.
    const RENAMED: &'static [(&'static str, &'static str)] = &[];

    /// Keys of the settings that turn channels of notifications on.
    const CHANNELS: &'static [&'static str] = &[];

    /// Checks what the types of the settings cannot express.
    ///
    /// # Errors
    /// An error that names the setting and the expected value.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// True if notifications are configured.
    fn notifies(&self) -> bool {
        false
    }

    /// Note for an operator who copies or restores the embedded store.
    fn backup_note(&self) -> Option<&'static str> {
        None
    }
}

/// Settings of a domain that has none of its own.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

impl DomainSettings for NoSettings {}

/// All settings of a program.
#[derive(Clone, Debug, Default)]
pub struct Configuration<S = NoSettings> {
    /// Settings that every domain has.
    pub host: Settings,
    /// Settings of this domain.
    pub domain: S,
}

impl<S: DomainSettings> Configuration<S> {
    /// Returns all settings as a TOML table, with secrets hidden.
    ///
    /// # Errors
    /// An error if a value has no TOML form.
    pub fn to_toml(&self) -> Result<toml::Table> {
        let mut table = toml::Table::try_from(&self.host)?;
        table.extend(toml::Table::try_from(&self.domain)?);
        Ok(table)
    }
}

/// Error: a setting has an invalid value, detected when it is used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct InvalidSetting {
    key: String,
    reason: String,
}

impl InvalidSetting {
    /// Error of the setting `key`.
    #[must_use]
    pub fn new(key: &str, reason: impl std::fmt::Display) -> Self {
        let (key, reason) = (key.to_owned(), format!("{reason:#}"));
        Self { key, reason }
    }
}
