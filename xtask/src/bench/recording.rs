//! What came back and when. Nothing is parsed before the measurement is over, so that the client takes little of the
//! machine from the server.

use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use serde_json::Value as Json;

/// The pieces of one answer as they arrive; whoever holds a clone sees them grow.
#[derive(Debug, Clone, Default)]
pub struct Recording(Rc<RefCell<Pieces>>);

#[derive(Debug, Default)]
struct Pieces {
    sent: Option<Instant>,
    pieces: Vec<(Instant, Bytes)>,
}

/// What an answer says about itself.
#[derive(Debug, Clone)]
pub struct Answer {
    pub sent: Instant,
    /// When each piece of text came; there is at least one.
    pub texts: Vec<Instant>,
    pub prompt_tokens: u64,
    pub cached_tokens: u64,
    /// As the server counts; the pieces of text when it does not say, or was cut off before it could.
    pub output_tokens: u64,
}

impl Recording {
    /// The request goes out now.
    pub fn start(&self) {
        self.0.borrow_mut().sent = Some(Instant::now());
    }

    /// Some bytes came now.
    pub fn push(&self, piece: Bytes) {
        self.0.borrow_mut().pieces.push((Instant::now(), piece));
    }

    /// How often bytes have come.
    pub fn len(&self) -> usize {
        self.0.borrow().pieces.len()
    }

    /// Reads the server-sent events so far.
    pub fn answer(&self) -> Result<Answer> {
        let recorded = self.0.borrow();
        let sent = recorded.sent.context("the request was never sent")?;
        let mut answer = Answer { sent, texts: Vec::new(), prompt_tokens: 0, cached_tokens: 0, output_tokens: 0 };
        let mut rest = Vec::new();
        for (at, piece) in &recorded.pieces {
            rest.extend_from_slice(piece);
            while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                let Some(data) = line.strip_prefix(b"data:").map(<[u8]>::trim_ascii) else { continue };
                if data != b"[DONE]" {
                    answer.read(*at, &serde_json::from_slice(data).context("an event that is not JSON")?)?;
                }
            }
        }
        if answer.texts.is_empty() {
            bail!("an answer without text");
        }
        if answer.output_tokens == 0 {
            answer.output_tokens = answer.texts.len() as u64;
        }
        Ok(answer)
    }
}

impl Answer {
    fn read(&mut self, at: Instant, event: &Json) -> Result<()> {
        if let Some(error) = event.get("error").filter(|error| !error.is_null()) {
            bail!("the server says: {error}");
        }
        let content = event.pointer("/choices/0/delta/content").and_then(Json::as_str);
        if content.is_some_and(|content| !content.is_empty()) {
            self.texts.push(at);
        }
        if let Some(usage) = event.get("usage").filter(|usage| usage.is_object()) {
            let count = |pointer| usage.pointer(pointer).and_then(Json::as_u64).unwrap_or(0);
            self.prompt_tokens = count("/prompt_tokens");
            self.output_tokens = count("/completion_tokens");
            self.cached_tokens = count("/prompt_tokens_details/cached_tokens");
        }
        Ok(())
    }

    /// Time to first token.
    pub fn first(&self) -> Duration {
        self.texts[0] - self.sent
    }

    /// Time until the last piece of text.
    pub fn whole(&self) -> Duration {
        self.texts[self.texts.len() - 1] - self.sent
    }

    /// From each piece of text to the next one.
    pub fn gaps(&self) -> impl Iterator<Item = Duration> {
        self.texts.windows(2).map(|pair| pair[1] - pair[0])
    }

    /// Tokens a second behind the first one.
    pub fn decode_rate(&self) -> Option<f64> {
        let seconds = (self.whole() - self.first()).as_secs_f64();
        (self.output_tokens > 1 && seconds > 0.0).then(|| (self.output_tokens - 1) as f64 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n: ping\n\n\
                    data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"é\"}}]}\n\n\
                    data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3,\
                    \"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\ndata: [DONE]\n\n";
        for length in 1..text.len() {
            let recording = Recording::default();
            recording.start();
            text.as_bytes().chunks(length).for_each(|piece| recording.push(Bytes::copy_from_slice(piece)));
            let answer = recording.answer().unwrap();
            let counts = (answer.texts.len(), answer.prompt_tokens, answer.output_tokens, answer.cached_tokens);
            assert_eq!(counts, (2, 7, 3, 4), "in pieces of {length}");
        }
    }

    #[test]
    fn an_error_in_a_stream_and_an_answer_without_text_fail() {
        for text in ["data: {\"error\":{\"message\":\"no\"}}\n\n", "data: [DONE]\n\n", ""] {
            let recording = Recording::default();
            recording.start();
            recording.push(Bytes::from_static(text.as_bytes()));
            assert!(recording.answer().is_err(), "{text:?}");
        }
    }
}
