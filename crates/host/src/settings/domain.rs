//! Settings of one domain beside those that every domain has, and both together.

use std::fmt::Debug;

use anyhow::Result;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Settings;

/// Top-level sections of the settings that belong to a domain.
///
/// Deserialized from a table that has these sections alone; the fields of the type are named
/// like the sections.
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
    /// A sentence that names the setting and what was expected.
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
    /// All settings as a TOML table, secrets hidden.
    ///
    /// # Errors
    /// When a value has no TOML form.
    pub fn to_toml(&self) -> Result<toml::Table> {
        let mut table = toml::Table::try_from(&self.host)?;
        table.extend(toml::Table::try_from(&self.domain)?);
        Ok(table)
    }
}

/// Error: a setting has a value that cannot be used, found when it is put to use.
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
