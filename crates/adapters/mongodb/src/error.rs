//! What the driver's errors mean to the engine.

use bakehouse_engine::ports::StoreError;
use mongodb::error::{Error, ErrorKind, IndexedWriteError, WriteFailure};

pub(crate) const DUPLICATE_KEY: i32 = 11000;
const WRITE_CONFLICT: i32 = 112;

/// Everything that is not told apart elsewhere: try again, it can be repeated.
pub(crate) fn store_error(database: &str, error: &Error) -> StoreError {
    match code(error) {
        // Another transaction moved the same checkpoint first.
        Some(WRITE_CONFLICT) => StoreError::Fenced,
        _ => StoreError::unavailable(format!("{database}: {}", error.kind)),
    }
}

/// The server's code for it.
pub(crate) fn code(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(error) => Some(error.code),
        ErrorKind::Write(WriteFailure::WriteError(error)) => Some(error.code),
        ErrorKind::InsertMany(error) => {
            let first = error.write_errors.as_ref()?.first()?;
            Some(first.code)
        }
        _ => None,
    }
}

/// The first operation of a batch that met a duplicate key; `None` as well where
/// what came before it is not known to be on the majority.
pub(crate) fn duplicate(error: &Error) -> Option<usize> {
    let ErrorKind::InsertMany(error) = error.kind.as_ref() else {
        return None;
    };
    let is_duplicate = |error: &&IndexedWriteError| error.code == DUPLICATE_KEY;
    if error.write_concern_error.is_some() {
        return None;
    }
    let errors = error.write_errors.as_ref()?;
    errors.first().filter(is_duplicate).map(|error| error.index)
}
