//! Dead letters: accepted operations that the broker has removed from the schedule queue.
//!
//! They are in a queue, and in a stream beside it. The queue is consumed as any other. The
//! stream keeps what it has: it is read from its beginning once a process, and what the log has
//! already is dropped there as a repeat.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

use crate::publisher::MARKER;

/// Header of a stream's message, and argument of a stream's consumer.
const OFFSET: &str = "x-stream-offset";
/// Header in which the broker says why it removed a message.
const REASON: &str = "x-first-death-reason";

/// Arguments of a consumer that continues after an offset.
pub(crate) fn offset_after(offset: Option<i64>) -> FieldTable {
    let from = match offset {
        Some(offset) => AMQPValue::LongLongInt(offset + 1),
        None => AMQPValue::LongString("first".into()),
    };
    let mut arguments = FieldTable::default();
    arguments.insert(OFFSET.into(), from);
    arguments
}

/// Offset of a message of a stream.
pub(crate) fn offset(properties: &BasicProperties) -> Option<i64> {
    match header(properties, OFFSET)? {
        AMQPValue::LongLongInt(offset) => Some(*offset),
        AMQPValue::LongInt(offset) => Some(i64::from(*offset)),
        _ => None,
    }
}

/// Tells whether a message is a marker of a migration.
pub(crate) fn is_marker(properties: &BasicProperties) -> bool {
    let kind = properties.kind().as_ref();
    kind.is_some_and(|kind| kind.as_str() == MARKER)
}

/// Reason for which the broker removed a message, as it says.
pub(crate) fn reason(properties: &BasicProperties) -> String {
    let why = header(properties, REASON).and_then(AMQPValue::as_long_string);
    why.map_or_else(|| "unknown".to_owned(), ToString::to_string)
}

fn header<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a AMQPValue> {
    properties.headers().as_ref()?.inner().get(name)
}
