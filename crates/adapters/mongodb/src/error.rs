//! Translation of the driver's errors into the engine's.

use bakehouse_engine::ports::StoreError;
use mongodb::error::{Error, ErrorKind, IndexedWriteError, WriteFailure};

pub(crate) const DUPLICATE_KEY: i32 = 11000;
const WRITE_CONFLICT: i32 = 112;

/// Converts an error without special meaning to the caller: the operation can be repeated.
pub(crate) fn store_error(database: &str, error: &Error) -> StoreError {
    match code(error) {
        // Another transaction moved the same checkpoint first.
        Some(WRITE_CONFLICT) => StoreError::Fenced,
        _ => StoreError::unavailable(format!("{database}: {}", describe(&error.kind))),
    }
}

/// Returns the cause for an operator, with the way out where one is known.
fn describe(kind: &ErrorKind) -> String {
    match kind {
        ErrorKind::ServerSelection { message, .. } => {
            format!("no primary found; check the servers and the hosts in the URI: {message}")
        }
        ErrorKind::Authentication { message, .. } => {
            format!("authentication failed; check user and password in the URI: {message}")
        }
        ErrorKind::Command(error) => format!("{} (code {})", error.message, error.code),
        ErrorKind::Write(WriteFailure::WriteError(error)) => {
            format!("write refused: {} (code {})", error.message, error.code)
        }
        ErrorKind::Write(WriteFailure::WriteConcernError(error)) => {
            format!("write not replicated to a majority: {}", error.message)
        }
        ErrorKind::InsertMany(error) => {
            let first = error
                .write_errors
                .as_ref()
                .and_then(|errors| errors.first());
            let message = first.map(|error| &error.message);
            let concern = error.write_concern_error.as_ref();
            let message = message.or(concern.map(|error| &error.message));
            let message = message.map_or("unknown reason", String::as_str);
            format!("insert refused: {message}")
        }
        kind => kind.to_string(),
    }
}

/// Returns the server's error code.
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

/// Returns the index of the first operation of a batch that met a duplicate key. Returns `None`
/// also if the operations before it are not known to be on the majority.
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
