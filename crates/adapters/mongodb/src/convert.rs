//! Between BSON and the engine's types. The way out and back gives the same
//! text: field order is kept, and the JSON we store has no form of its own in BSON.

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

/// BSON's integers are signed; positions never reach their limit.
pub(crate) fn integer(position: Position) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

pub(crate) fn date(time: Timestamp) -> DateTime {
    DateTime::from_millis(time.millis())
}

/// Reads fields out of a document, and names the one that is not as it was written.
pub(crate) struct Fields<'a>(pub(crate) &'a Document);

impl<'a> Fields<'a> {
    fn wrong(&self, key: &str) -> StoreError {
        let id = self.0.get("_id").unwrap_or(&Bson::Null);
        StoreError::Corrupt(format!(
            "document {id}: field {key} is not as it was written"
        ))
    }

    pub(crate) fn text(&self, key: &str) -> Result<&'a str, StoreError> {
        self.0.get_str(key).map_err(|_| self.wrong(key))
    }

    pub(crate) fn optional_text(&self, key: &str) -> Option<&'a str> {
        self.0.get_str(key).ok()
    }

    pub(crate) fn position(&self, key: &str) -> Result<Position, StoreError> {
        let value = match self.0.get(key) {
            Some(Bson::Int64(value)) => *value,
            Some(Bson::Int32(value)) => i64::from(*value),
            _ => return Err(self.wrong(key)),
        };
        Position::try_from(value).map_err(|_| self.wrong(key))
    }

    pub(crate) fn optional_position(&self, key: &str) -> Result<Option<Position>, StoreError> {
        match self.0.get(key) {
            None | Some(Bson::Null) => Ok(None),
            Some(_) => self.position(key).map(Some),
        }
    }

    pub(crate) fn time(&self, key: &str) -> Result<Timestamp, StoreError> {
        self.optional_time(key).ok_or_else(|| self.wrong(key))
    }

    pub(crate) fn optional_time(&self, key: &str) -> Option<Timestamp> {
        let date = self.0.get_datetime(key).ok()?;
        Timestamp::from_millis(date.timestamp_millis())
    }

    pub(crate) fn json(&self, key: &str) -> Result<Json, StoreError> {
        from_bson(self.0.get(key).ok_or_else(|| self.wrong(key))?)
    }

    pub(crate) fn parsed<T>(
        &self,
        key: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        parse(self.text(key)?).ok_or_else(|| self.wrong(key))
    }
}
