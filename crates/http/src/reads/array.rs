//! JSON array that is written in pieces.

/// Writer of one JSON array.
#[derive(Default)]
pub(super) struct ArrayWriter {
    has_elements: bool,
}

impl ArrayWriter {
    /// Appends an element, which must be JSON.
    pub(super) fn push(&mut self, text: &mut String, element: &str) {
        text.push(if self.has_elements { ',' } else { '[' });
        text.push_str(element);
        self.has_elements = true;
    }

    /// Appends the end of the array.
    pub(super) fn end(&self, text: &mut String) {
        text.push_str(if self.has_elements { "]" } else { "[]" });
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
