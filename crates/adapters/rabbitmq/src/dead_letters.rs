//! Dead letters: accepted operations that the broker has removed from the schedule queue.
//!
//! They are kept in a queue and in a stream. The queue is consumed like any other. The stream keeps
//! its messages: each process reads it once from the beginning, and the log drops the operations
//! that it has already as duplicates.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

use crate::publisher::MARKER;

/// Header of a stream's messages, and argument of a stream's consumer.
const OFFSET: &str = "x-stream-offset";
/// Header with the reason for which the broker removed a message.
const REASON: &str = "x-first-death-reason";

/// Returns the arguments of a stream consumer that starts after an offset.
pub(crate) fn offset_after(offset: Option<i64>) -> FieldTable {
    let from = match offset {
        Some(offset) => AMQPValue::LongLongInt(offset + 1),
        None => AMQPValue::LongString("first".into()),
    };
    let mut arguments = FieldTable::default();
    arguments.insert(OFFSET.into(), from);
    arguments
}

/// Returns the offset of a message of a stream.
pub(crate) fn offset(properties: &BasicProperties) -> Option<i64> {
    match header(properties, OFFSET)? {
        AMQPValue::LongLongInt(offset) => Some(*offset),
        AMQPValue::LongInt(offset) => Some(i64::from(*offset)),
        _ => None,
    }
}

/// Checks whether a message is a marker of a migration.
pub(crate) fn is_marker(properties: &BasicProperties) -> bool {
    let kind = properties.kind().as_ref();
    kind.is_some_and(|kind| kind.as_str() == MARKER)
}

/// Returns the reason for which the broker removed a message, in the broker's words.
pub(crate) fn reason(properties: &BasicProperties) -> String {
    let reason = header(properties, REASON).and_then(AMQPValue::as_long_string);
    reason.map_or_else(|| "unknown".to_owned(), ToString::to_string)
}

fn header<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a AMQPValue> {
    properties.headers().as_ref()?.inner().get(name)
}
