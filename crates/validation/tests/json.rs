//! Bodies that are JSON, and bodies that almost are.

use bakehouse_validation::{Collector, MAX_DEPTH, Place, canonical};

#[test]
fn what_is_not_json_is_told_in_words() {
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
        let error = Place::root(body).expect_err("refused");
        assert!(error.contains(word), "{word}: {error}");
    }
    let most = "[".repeat(MAX_DEPTH) + "\"[[[\\\"[[[\"" + &"]".repeat(MAX_DEPTH);
    assert!(Place::root(most.as_bytes()).is_ok());
    assert!(Place::root(b"1e999999").is_ok(), "a number is read exactly");
}

#[test]
fn half_a_surrogate_pair_is_named() {
    let fault = |body: &str| {
        let mut faults = Collector::default();
        let root = Place::root(body.as_bytes()).expect("JSON");
        assert!(root.members(&mut faults).is_none());
        format!("{faults:?}")
    };
    assert!(fault(r#"{"\ud800":1}"#).contains("surrogate"));
    assert!(fault("[]").contains("expected an object"));
}

#[test]
fn canonical_text_is_of_what_is_said_not_of_how() {
    let of = |body: &str| canonical(body.as_bytes());
    let one = of(r#"{"b": [1, {"d":null,"c":"\u00e4"}], "a": true}"#);
    assert_eq!(one, of("{\"a\":true,\n\"b\":[1,{\"c\":\"ä\",\"d\":null}]}"));
    for other in [
        r#"{"a":true,"b":[1.0,{"c":"ä","d":null}]}"#,
        r#"{"a":true,"b":[{"c":"ä","d":null},1]}"#,
        r#"{"a":true,"b":[1,{"c":"ä"}]}"#,
        r#"{"a":"true","b":[1,{"c":"ä","d":null}]}"#,
    ] {
        assert_ne!(one, of(other), "{other}");
    }
    // A string cannot be taken for the end of one.
    assert_ne!(of(r#"["a","b"]"#), of(r#"["a\",\"b"]"#));
    assert_eq!(of("{"), None);
}
