//! Prometheus's text exposition format, version 0.0.4.

use std::fmt::{Display, Write};

/// A page of metrics that is being written.
#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    /// Begins a metric: its name, its kind (`counter`, `gauge`, `histogram`) and what it means.
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.push(format_args!("# HELP {name} {help}.\n# TYPE {name} {kind}\n"));
    }

    /// One value under `labels`.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (position, (label, text)) in labels.iter().enumerate() {
            let before = if position == 0 { '{' } else { ',' };
            self.push(format_args!("{before}{label}=\"{}\"", escape(text)));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        self.push(format_args!(" {value}\n"));
    }

    /// The page.
    pub(super) fn finish(self) -> String {
        self.0
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.0.write_fmt(text);
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut text = Text::default();
        text.sample("m", &[("a", "x\"y\\z\n"), ("b", "1")], 2);
        text.sample("n", &[], 0.5);
        assert_eq!(text.finish(), "m{a=\"x\\\"y\\\\z\\n\",b=\"1\"} 2\nn 0.5\n");
    }
}
