//! Conversion between BSON and the engine's types. JSON survives the round trip byte for byte:
//! field order is kept, and every stored JSON value has exactly one BSON form.

use bakehouse_engine::ports::StoreError;
use bakehouse_engine::{Json, Position, Timestamp, to_json};
use mongodb::bson::{Bson, DateTime, Document};

pub(crate) fn to_bson(json: &Json) -> Result<Bson, StoreError> {
    serde_json::from_str(json.get()).map_err(StoreError::corrupt)
}

pub(crate) fn to_document(json: &Json) -> Result<Document, StoreError> {
    serde_json::from_str(json.get()).map_err(StoreError::corrupt)
}

pub(crate) fn from_bson(value: &Bson) -> Result<Json, StoreError> {
    to_json(value).map_err(StoreError::corrupt)
}

/// Converts a position to BSON's signed integer; positions never reach its limit.
pub(crate) fn integer(position: Position) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

pub(crate) fn date(time: Timestamp) -> DateTime {
    DateTime::from_millis(time.millis())
}

/// Typed access to the fields of a document; errors name the document and the field.
pub(crate) struct Fields<'a>(pub(crate) &'a Document);

impl<'a> Fields<'a> {
    pub(crate) fn malformed(&self, key: &str) -> StoreError {
        let id = self.0.get("_id").unwrap_or(&Bson::Null);
        StoreError::Corrupt(format!("document {id}: field {key}: missing or invalid"))
    }

    pub(crate) fn text(&self, key: &str) -> Result<&'a str, StoreError> {
        self.0.get_str(key).map_err(|_| self.malformed(key))
    }

    pub(crate) fn optional_text(&self, key: &str) -> Option<&'a str> {
        self.0.get_str(key).ok()
    }

    pub(crate) fn document(&self, key: &str) -> Result<&'a Document, StoreError> {
        self.0.get_document(key).map_err(|_| self.malformed(key))
    }

    pub(crate) fn u32(&self, key: &str) -> Result<u32, StoreError> {
        u32::try_from(self.position(key)?).map_err(|_| self.malformed(key))
    }

    pub(crate) fn position(&self, key: &str) -> Result<Position, StoreError> {
        let value = match self.0.get(key) {
            Some(Bson::Int64(value)) => *value,
            Some(Bson::Int32(value)) => i64::from(*value),
            _ => return Err(self.malformed(key)),
        };
        Position::try_from(value).map_err(|_| self.malformed(key))
    }

    pub(crate) fn optional_position(&self, key: &str) -> Result<Option<Position>, StoreError> {
        match self.0.get(key) {
            None | Some(Bson::Null) => Ok(None),
            Some(_) => self.position(key).map(Some),
        }
    }

    pub(crate) fn time(&self, key: &str) -> Result<Timestamp, StoreError> {
        self.optional_time(key).ok_or_else(|| self.malformed(key))
    }

    pub(crate) fn optional_time(&self, key: &str) -> Option<Timestamp> {
        let date = self.0.get_datetime(key).ok()?;
        Timestamp::from_millis(date.timestamp_millis())
    }

    pub(crate) fn json(&self, key: &str) -> Result<Json, StoreError> {
        from_bson(self.0.get(key).ok_or_else(|| self.malformed(key))?)
    }

    pub(crate) fn parsed<T>(
        &self,
        key: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        parse(self.text(key)?).ok_or_else(|| self.malformed(key))
    }
}
