//! Just enough JSON, safe inside a script element.

use std::fmt::Write as _;

/// A text of JSON that grows.
#[derive(Debug, Default)]
pub(super) struct Json {
    text: String,
    /// Whether a comma is due before the next value.
    comma: bool,
}

impl Json {
    /// Begins an object or a list.
    pub(super) fn open(&mut self, bracket: char) {
        self.before();
        self.text.push(bracket);
        self.comma = false;
    }

    /// Ends one.
    pub(super) fn close(&mut self, bracket: char) {
        self.text.push(bracket);
        self.comma = true;
    }

    /// Ends a list, without the nulls at its end.
    pub(super) fn close_row(&mut self) {
        while self.text.ends_with(",null") {
            self.text.truncate(self.text.len() - ",null".len());
        }
        self.close(']');
    }

    /// A name; its value comes next.
    pub(super) fn key(&mut self, name: &str) -> &mut Self {
        self.text(name);
        self.text.push(':');
        self.comma = false;
        self
    }

    /// A number.
    pub(super) fn number(&mut self, number: u64) {
        self.before();
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{number}");
    }

    /// A number, or null.
    pub(super) fn maybe(&mut self, number: Option<u64>) {
        match number {
            Some(number) => self.number(number),
            None => self.null(),
        }
    }

    /// Null.
    pub(super) fn null(&mut self) {
        self.before();
        self.text.push_str("null");
    }

    /// True or false.
    pub(super) fn truth(&mut self, truth: bool) {
        self.before();
        self.text.push_str(if truth { "true" } else { "false" });
    }

    /// A text.
    pub(super) fn text(&mut self, text: &str) {
        self.before();
        self.text.push('"');
        for letter in text.chars() {
            match letter {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                // The end of a script element or a comment must not be found in a text.
                '<' | '>' | '&' | '\u{0}'..='\u{1f}' | '\u{2028}' | '\u{2029}' => {
                    let _ = write!(self.text, "\\u{:04x}", u32::from(letter));
                }
                other => self.text.push(other),
            }
        }
        self.text.push('"');
    }

    /// A list of texts.
    pub(super) fn texts<'t>(&mut self, texts: impl Iterator<Item = &'t str>) {
        self.open('[');
        texts.for_each(|text| self.text(text));
        self.close(']');
    }

    /// All of it.
    pub(super) fn done(self) -> String {
        self.text
    }

    fn before(&mut self) {
        if self.comma {
            self.text.push(',');
        }
        self.comma = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_parted_and_texts_are_harmless() {
        let mut json = Json::default();
        json.open('{');
        json.key("a").texts(["</script>", "b\"\\\n"].into_iter());
        json.key("c").open('[');
        json.number(1);
        json.maybe(None);
        json.truth(true);
        json.null();
        json.null();
        json.close_row();
        json.key("d").null();
        json.close('}');
        let wanted = r#"{"a":["\u003c/script\u003e","b\"\\\n"],"c":[1,null,true],"d":null}"#;
        assert_eq!(json.done(), wanted);
    }
}
