//! Comma-separated values (RFC 4180) that a spreadsheet opens without harm.

use std::fmt::{Display, Write};

/// The content type.
pub const CONTENT_TYPE: &str = "text/csv; charset=utf-8; header=present";

/// A line that is being written.
#[derive(Debug, Clone, Default)]
pub struct Line {
    text: String,
    has_cells: bool,
}

impl Line {
    /// A line of headings.
    pub fn of(headings: &[&str]) -> String {
        headings.iter().fold(Self::default(), |line, heading| line.text(heading)).end()
    }

    /// Adds a text, which may come from outside. One that a spreadsheet would take for a formula gets an apostrophe before it:
    /// then it is shown and not computed.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        self.separate();
        let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
        self.text.push('"');
        if is_formula {
            self.text.push('\'');
        }
        text.chars().for_each(|character| match character {
            '"' => self.text.push_str("\"\""),
            character => self.text.push(character),
        });
        self.text.push('"');
        self
    }

    /// Adds what is ours: a number, an amount, a moment, an id.
    #[must_use]
    pub fn plain(mut self, value: impl Display) -> Self {
        self.separate();
        let _ = write!(self.text, "{value}");
        self
    }

    /// The whole line.
    pub fn end(mut self) -> String {
        self.text.push_str("\r\n");
        self.text
    }

    fn separate(&mut self) {
        if std::mem::replace(&mut self.has_cells, true) {
            self.text.push(',');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_is_a_formula_or_another_cell() {
        for (text, expect) in [
            ("plain", "\"plain\""),
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\t=1", "\"'\t=1\""),
            ("a,b\r\n\"c\"", "\"a,b\r\n\"\"c\"\"\""),
            ("", "\"\""),
        ] {
            assert_eq!(Line::default().text(text).end(), format!("{expect}\r\n"));
        }
        assert_eq!(
            Line::default().text("").plain(-5).plain("2026-01-01T00:00:00Z").end(),
            "\"\",-5,2026-01-01T00:00:00Z\r\n"
        );
        assert_eq!(Line::of(&["a", "b"]), "\"a\",\"b\"\r\n");
    }
}
