//! Writes tool calls as deltas, within bounds.

use super::super::{Malformed, deltas::Deltas};

/// Most calls in one answer.
const MOST_CALLS: usize = 128;

/// Most bytes of one call's arguments.
const MOST_ARGUMENTS: usize = 1 << 20;

/// Longest name of a tool, in bytes. OpenAI's limit is 64.
const MOST_NAME: usize = 256;

/// The calls of one answer, as they are written.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    calls: usize,
    open: bool,
    /// Bytes of the open call's arguments.
    bytes: usize,
}

impl Writer {
    /// Calls that have begun.
    pub(crate) fn calls(&self) -> usize {
        self.calls
    }

    /// Whether the latest call has not ended.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// Begins a call. A name that cannot be one is malformed, and so is a call too many.
    pub(crate) fn begin(&mut self, name: &str, out: &mut Deltas) -> Result<(), Malformed> {
        let odd = |c: char| c.is_whitespace() || c.is_control() || "<>{}[]()\"'`,;".contains(c);
        if self.calls == MOST_CALLS || name.is_empty() || name.len() > MOST_NAME || name.contains(odd) {
            return Err(Malformed);
        }
        (self.calls, self.open, self.bytes) = (self.calls + 1, true, 0);
        out.call(name);
        Ok(())
    }

    /// Adds to the arguments. Nothing of what is too much is written.
    pub(crate) fn arguments(&mut self, text: &str, out: &mut Deltas) -> Result<(), Malformed> {
        if self.bytes + text.len() > MOST_ARGUMENTS {
            return Err(Malformed);
        }
        self.bytes += text.len();
        out.arguments(text);
        Ok(())
    }

    /// Ends the call; `rest` is what its arguments lack, where they are broken off. A call without arguments gets `{}`.
    pub(crate) fn end(&mut self, rest: &str, out: &mut Deltas) {
        self.open = false;
        out.arguments(if self.bytes == 0 { "{}" } else { rest });
    }
}
