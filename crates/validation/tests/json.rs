//! Parsing of valid and invalid JSON bodies.

use bakehouse_validation::{ErrorCollector, JsonNode, MAX_DEPTH, canonical};

#[test]
fn syntax_errors_are_described() {
    let deep = "[".repeat(MAX_DEPTH + 1) + &"]".repeat(MAX_DEPTH + 1);
    let bomb = "[".repeat(60_000);
    for (body, word) in [
        (&b"\xef\xbb\xbf{}"[..], "byte order mark"),
        (b"{\"a\":\"\xff\"}", "byte 6"),
        (b"\xff\xfe{\0}\0", "UTF-8"),
        (b" \r\n", "empty"),
        (deep.as_bytes(), "32 levels"),
        (bomb.as_bytes(), "32 levels"),
        (b"{} {}", "end of the body"),
        (b"{\"a\":01}", "line 1"),
        (b"{\"a\":NaN}", "line 1"),
        (b"{\"a\":1,}", "line 1"),
    ] {
        let error = JsonNode::root(body).expect_err("invalid");
        assert!(error.contains(word), "{word}: {error}");
    }
    let deepest = "[".repeat(MAX_DEPTH) + "\"[[[\\\"[[[\"" + &"]".repeat(MAX_DEPTH);
    assert!(JsonNode::root(deepest.as_bytes()).is_ok());
    assert!(
        JsonNode::root(b"1e999999").is_ok(),
        "a number is kept exactly"
    );
}

#[test]
fn syntax_errors_name_the_position_and_the_reason() {
    for (body, line, column, reason) in [
        ("{\"a\":NaN}", 1, 6, "expected a value"),
        ("[1,]", 1, 4, "expected a value"),
        ("[\n  1,\n  ?\n]", 3, 3, "expected a value"),
        ("trie", 1, 3, "expected true, false or null"),
        ("{\"a\" 1}", 1, 6, "expected a colon"),
        ("[1 2]", 1, 4, "expected a comma or a closing bracket"),
        ("[1}", 1, 3, "expected a comma or a closing bracket"),
        (
            "{\"a\":1 \"b\":2}",
            1,
            8,
            "expected a comma or a closing brace",
        ),
        // The column counts characters, not bytes.
        (
            "[\"\u{e4}\u{20ac}\" 2]",
            1,
            7,
            "expected a comma or a closing bracket",
        ),
        (
            "{\"a\":1,}",
            1,
            8,
            "expected a member name in double quotes",
        ),
        ("{a:1}", 1, 2, "expected a member name in double quotes"),
        ("{} {}", 1, 4, "expected the end of the body"),
        ("01", 1, 2, "invalid number"),
        ("[1.]", 1, 4, "invalid number"),
        ("-", 1, 1, "invalid number"),
        ("\"\\x\"", 1, 3, "invalid escape in a string"),
        ("\"\\u12g4\"", 1, 7, "invalid escape in a string"),
        (
            "[\"a\tb\"]",
            1,
            3,
            "control characters in a string must be escaped",
        ),
        ("\"a", 1, 2, "the body ends within a string"),
        ("[1", 1, 2, "the body ends within an array"),
        ("{\n", 2, 1, "the body ends within an object"),
        ("{\"a\"", 1, 4, "the body ends within an object"),
        ("{\"a\":", 1, 5, "the body ends before a value is complete"),
        ("tru", 1, 3, "the body ends before a value is complete"),
    ] {
        let error = JsonNode::root(body.as_bytes()).expect_err("invalid");
        let expected = format!("not valid JSON at line {line}, column {column}: {reason}");
        assert_eq!(error, expected, "{body:?}");
    }
}

#[test]
fn an_unpaired_surrogate_is_reported() {
    let fault = |body: &str| {
        let mut faults = ErrorCollector::default();
        let root = JsonNode::root(body.as_bytes()).expect("JSON");
        assert!(root.members(&mut faults).is_none());
        format!("{faults:?}")
    };
    assert!(fault(r#"{"\ud800":1}"#).contains("surrogate"));
    assert!(fault("[]").contains("expected an object"));
}

#[test]
fn canonical_text_depends_on_values_and_not_on_spelling() {
    let form = |body: &str| canonical(body.as_bytes());
    let one = form(r#"{"b": [1, {"d":null,"c":"\u00e4"}], "a": true}"#);
    assert_eq!(
        one,
        form("{\"a\":true,\n\"b\":[1,{\"c\":\"ä\",\"d\":null}]}")
    );
    for other in [
        r#"{"a":true,"b":[1.0,{"c":"ä","d":null}]}"#,
        r#"{"a":true,"b":[{"c":"ä","d":null},1]}"#,
        r#"{"a":true,"b":[1,{"c":"ä"}]}"#,
        r#"{"a":"true","b":[1,{"c":"ä","d":null}]}"#,
    ] {
        assert_ne!(one, form(other), "{other}");
    }
    // An escaped quote does not end a string.
    assert_ne!(form(r#"["a","b"]"#), form(r#"["a\",\"b"]"#));
    assert_eq!(form("{"), None);
}
