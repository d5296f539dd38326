//! Description of JSON syntax errors for the sender of a body.

use serde_json::Error;
use serde_json::error::Category;

/// Describes a syntax error in `text`: its line and column, both from 1, and the expected syntax
/// if it is known. The column counts characters.
pub(crate) fn describe(error: &Error, text: &str) -> String {
    let line = error.line().max(1);
    let bytes = text.split('\n').nth(line - 1).unwrap_or_default().bytes();
    let is_start = |byte: &u8| byte & 0b1100_0000 != 0b1000_0000;
    let column = bytes.take(error.column()).filter(is_start).count().max(1);
    let position = format!("not valid JSON at line {line}, column {column}");
    match reason(error) {
        Some(reason) => format!("{position}: {reason}"),
        None => position,
    }
}

/// Returns the reason of an error; `None` if it is not known. The parser offers the kind of an
/// error only as text, which ends with the position.
fn reason(error: &Error) -> Option<&'static str> {
    let message = error.to_string();
    let kind = message.split(" at line ").next().unwrap_or_default();
    let reason = match kind {
        "expected value" => "expected a value",
        "expected ident" => "expected true, false or null",
        "expected `:`" => "expected a colon",
        "expected `,` or `]`" => "expected a comma or a closing bracket",
        "expected `,` or `}`" => "expected a comma or a closing brace",
        "key must be a string" => "expected a member name in double quotes",
        "trailing comma" => "expected no comma after the last element",
        "trailing characters" => "expected the end of the body",
        "invalid number" => "invalid number",
        "invalid escape" => "invalid escape in a string",
        "EOF while parsing a string" => "the body ends within a string",
        "EOF while parsing a list" => "the body ends within an array",
        "EOF while parsing an object" => "the body ends within an object",
        kind if kind.starts_with("control character") => {
            "control characters in a string must be escaped"
        }
        _ if error.classify() == Category::Eof => "the body ends before a value is complete",
        _ => return None,
    };
    Some(reason)
}
