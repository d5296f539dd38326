//! Characters that are not allowed in names: control characters, invisible ones, and those that
//! change the direction of text.

/// Returns an error message if a text has a character that is not allowed.
#[must_use]
pub fn forbidden_character(text: &str) -> Option<String> {
    if text.chars().any(char::is_control) {
        return Some("must not contain control characters".to_owned());
    }
    let found = text.chars().find(|c| is_invisible(*c))?;
    Some(format!(
        "must not contain invisible or text-direction characters; found U+{:04X}",
        u32::from(found)
    ))
}

/// Checks whether a text has no visible character.
#[must_use]
pub fn is_blank(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_whitespace() || is_invisible(c) || is_joiner_or_selector(c))
}

/// Zero-width joiner and non-joiner, which scripts and emoji need, and variation selectors:
/// allowed, but invisible by themselves.
fn is_joiner_or_selector(c: char) -> bool {
    matches!(
        c,
        '\u{200C}' | '\u{200D}' | '\u{FE00}'..='\u{FE0F}' | '\u{180B}'..='\u{180D}' | '\u{E0100}'..='\u{E01EF}'
    )
}

/// Characters without a glyph (Unicode's default-ignorable ones, fillers, line separators,
/// interlinear annotations, noncharacters) and those that set the direction of text (bidi).
/// They can make one name look like another.
fn is_invisible(c: char) -> bool {
    if is_joiner_or_selector(c) {
        return false;
    }
    let code = u32::from(c);
    let is_noncharacter = code & 0xFFFE == 0xFFFE;
    is_noncharacter
        || matches!(
            c,
            '\u{00AD}'
                | '\u{034F}'
                | '\u{061C}'
                | '\u{115F}'..='\u{1160}'
                | '\u{17B4}'..='\u{17B5}'
                | '\u{180E}'..='\u{180F}'
                | '\u{200B}'..='\u{200F}'
                | '\u{2028}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{FDD0}'..='\u{FDEF}'
                | '\u{FEFF}'
                | '\u{FFA0}'
                | '\u{FFF0}'..='\u{FFFB}'
                | '\u{1BCA0}'..='\u{1BCA3}'
                | '\u{1D173}'..='\u{1D17A}'
                | '\u{E0000}'..='\u{E0FFF}'
        )
}
