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
        (b"{} {}", "trailing"),
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
