//! A JSON array that is written in pieces.

/// Writer of one array: `[`, its elements with commas between them, `]`.
#[derive(Default)]
pub(super) struct ArrayWriter {
    is_begun: bool,
}

impl ArrayWriter {
    /// Appends an element, which is JSON.
    pub(super) fn push(&mut self, text: &mut String, element: &str) {
        text.push(if self.is_begun { ',' } else { '[' });
        text.push_str(element);
        self.is_begun = true;
    }

    /// Appends the end.
    pub(super) fn end(&self, text: &mut String) {
        text.push_str(if self.is_begun { "]" } else { "[]" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_of_any_length_is_json() {
        for (elements, expected) in [
            (&[][..], "[]"),
            (&["{}"], "[{}]"),
            (&["1", "2", "3"], "[1,2,3]"),
        ] {
            let (mut array, mut text) = (ArrayWriter::default(), String::new());
            for element in elements {
                array.push(&mut text, element);
            }
            array.end(&mut text);
            assert_eq!(text, expected);
        }
    }
}
