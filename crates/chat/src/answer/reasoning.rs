//! Splits reasoning from the rest of an answer.

use super::{calls::Calls, deltas::Deltas, marker::Markers};

/// What a family writes around its reasoning.
#[derive(Debug)]
pub(super) struct Tags {
    pub(super) open: &'static str,
    pub(super) close: &'static str,
    /// How reasoning is ended that did not end by itself: the closing tag, laid out as models lay it out.
    pub(super) leave: &'static str,
}

/// All tags; of those that a template holds the first count.
static TAGS: &[Tags] = &[
    // Gemma 4.
    Tags { open: "<|channel>thought\n", close: "<channel|>", leave: "\n<channel|>" },
    Tags { open: "[THINK]", close: "[/THINK]", leave: "[/THINK]" },
    Tags { open: "<seed:think>", close: "</seed:think>", leave: "</seed:think>" },
    Tags { open: "<|START_THINKING|>", close: "<|END_THINKING|>", leave: "<|END_THINKING|>" },
    Tags { open: "<think>", close: "</think>", leave: "\n</think>\n\n" },
];

impl Tags {
    /// The tags of a model with this template. In a template a line break may be written as `\n`.
    pub(super) fn of(template: &str) -> Option<&'static Self> {
        let holds = |tag: &str| template.contains(tag.trim_end());
        TAGS.iter().find(|tags| holds(tags.open) || holds(tags.close))
    }

    /// Whether a prompt ends in reasoning that has begun.
    pub(super) fn is_open_in(&self, prompt: &str) -> bool {
        prompt.trim_end().ends_with(self.open.trim_end())
    }
}

/// Reads text with reasoning and calls in it.
///
/// Reasoning begins where no text was said, at the beginning or behind a call; a tag in the middle of a text is text.
/// White space around reasoning is layout and left out. Reasoning that never ends is reasoning.
#[derive(Debug)]
pub(super) struct Reasoning {
    tags: &'static Tags,
    markers: Markers,
    /// Inside of the tags.
    inside: bool,
    /// Nothing but white space was read inside.
    empty: bool,
    /// White space that is reasoning if more of it follows.
    space: String,
    calls: Option<Calls>,
    /// Without calls: as theirs.
    fresh: bool,
    layout: bool,
}

impl Reasoning {
    /// Reads what follows a prompt; `inside`: whose end opened the tags.
    pub(super) fn new(tags: &'static Tags, inside: bool, calls: Option<Calls>) -> Self {
        let markers = Markers::new(if inside { [tags.open, tags.close].to_vec() } else { [tags.open].to_vec() });
        Self { tags, markers, inside, empty: true, space: String::new(), calls, fresh: true, layout: false }
    }

    pub(super) fn calls(&self) -> Option<&Calls> {
        self.calls.as_ref()
    }

    /// Whether the next character is reasoning, unless it ends that.
    pub(super) fn is_inside(&self) -> bool {
        self.inside
    }

    /// Takes the next character.
    pub(super) fn push(&mut self, c: char, out: &mut Deltas) {
        let mut free = String::new();
        if self.inside {
            let marker = self.markers.push(c, &mut free);
            free.chars().for_each(|c| self.thought(c, out));
            match marker {
                Some(marker) if marker == self.tags.close => self.leave(),
                // A model may repeat the tag that its prompt ended with.
                Some(_) if self.empty => {}
                Some(marker) => marker.chars().for_each(|c| self.thought(c, out)),
                None => {}
            }
        } else if !self.markers.held().is_empty() || self.is_fresh() {
            let marker = self.markers.push(c, &mut free);
            free.chars().for_each(|c| self.rest(c, out));
            if marker.is_some() {
                self.enter();
            }
        } else {
            self.rest(c, out);
        }
    }

    /// Takes the end of the text.
    pub(super) fn finish(&mut self, out: &mut Deltas) {
        let held = self.markers.finish();
        if self.inside {
            held.chars().for_each(|c| self.thought(c, out));
        } else {
            held.chars().for_each(|c| self.rest(c, out));
        }
        match &mut self.calls {
            Some(calls) => calls.finish(out),
            None if !self.inside => out.text(&std::mem::take(&mut self.space)),
            None => {}
        }
    }

    fn is_fresh(&self) -> bool {
        self.calls.as_ref().map_or(self.fresh, Calls::is_fresh)
    }

    fn enter(&mut self) {
        (self.inside, self.empty) = (true, true);
        self.trim();
        self.markers = Markers::new([self.tags.open, self.tags.close]);
    }

    fn leave(&mut self) {
        self.inside = false;
        self.trim();
        self.markers = Markers::new([self.tags.open]);
    }

    /// Leaves out the white space around the tags.
    fn trim(&mut self) {
        self.space.clear();
        match &mut self.calls {
            Some(calls) => calls.trim(),
            None => self.layout = true,
        }
    }

    /// A character inside of the tags.
    fn thought(&mut self, c: char, out: &mut Deltas) {
        if !c.is_whitespace() {
            self.empty = false;
            out.reasoning(&std::mem::take(&mut self.space));
            out.reasoning(c.encode_utf8(&mut [0; 4]));
        } else if !self.empty {
            self.space.push(c);
        }
    }

    /// A character outside of them.
    fn rest(&mut self, c: char, out: &mut Deltas) {
        if let Some(calls) = &mut self.calls {
            calls.push(c, out);
        } else if !c.is_whitespace() {
            (self.fresh, self.layout) = (false, false);
            out.text(&std::mem::take(&mut self.space));
            out.text(c.encode_utf8(&mut [0; 4]));
        } else if self.fresh {
            if !self.layout {
                self.space.push(c);
            }
        } else {
            out.text(c.encode_utf8(&mut [0; 4]));
        }
    }
}
