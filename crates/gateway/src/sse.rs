//! Server-sent events: framing, pings, and when the status line goes out. Ollama's streams, which are lines of JSON, go the
//! same way.
//!
//! The framing is that of the HTML standard's chapter on server-sent events; `[DONE]` is OpenAI's.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{Stream, StreamExt, future::BoxFuture, ready};
use inference::Event;
use serde::Serialize;
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::{
    Config,
    error::ApiError,
    generation::{Beginning, Generation},
    notes::merged_system,
};

/// Turns the events of one answer into frames. A plain struct does it, without HTTP, so that it is tested as such.
pub(crate) trait Encode: Send + 'static {
    /// What the answer is, for its header.
    const MEDIA_TYPE: &'static str = "text/event-stream";

    /// Learns what is known before the first event that it is given; nothing where the request fails before.
    fn begin(&mut self, _known: Beginning) {}

    /// Appends what `event` has to say. A terminal event's frames end the stream.
    fn push(&mut self, event: Event, frames: &mut Frames);

    /// The frames that wait for something once the terminal event was said, such as for the answer to be kept.
    fn finish(&mut self) -> Option<BoxFuture<'static, Bytes>> {
        None
    }

    /// Appends a sign of life.
    fn ping(&self, frames: &mut Frames) {
        frames.comment("ping");
    }
}

/// Frames that wait to be sent.
#[derive(Default)]
pub(crate) struct Frames(Vec<u8>);

impl Frames {
    /// An event without a name, whose data is `value` as JSON.
    pub(crate) fn data(&mut self, value: &impl Serialize) {
        self.frame(&["data: "], value);
    }

    /// An event with a name.
    pub(crate) fn event(&mut self, name: &str, value: &impl Serialize) {
        self.frame(&["event: ", name, "\ndata: "], value);
    }

    fn frame(&mut self, head: &[&str], value: &impl Serialize) {
        let before = self.0.len();
        self.0.extend(head.iter().flat_map(|text| text.bytes()));
        // JSON text holds no line break, so one line is one event.
        match serde_json::to_writer(&mut self.0, value) {
            Ok(()) => self.0.extend_from_slice(b"\n\n"),
            // Our own types serialise; a half-written frame would be worse than none.
            Err(_) => self.0.truncate(before),
        }
    }

    /// `value` as a line of JSON alone, for families whose streams are no server-sent events.
    pub(crate) fn line(&mut self, value: &impl Serialize) {
        let before = self.0.len();
        match serde_json::to_writer(&mut self.0, value) {
            Ok(()) => self.0.push(b'\n'),
            Err(_) => self.0.truncate(before),
        }
    }

    /// OpenAI's mark of a complete stream.
    pub(crate) fn done(&mut self) {
        self.0.extend_from_slice(b"data: [DONE]\n\n");
    }

    /// A comment, which every reader skips.
    fn comment(&mut self, text: &str) {
        self.0.extend([": ", text, "\n\n"].iter().flat_map(|text| text.bytes()));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that was appended since the last call.
    pub(crate) fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.0).into()
    }
}

/// Answers with a stream. The status line waits for the first event, but not for long: a failure before it still has
/// a status of its own, and a client is not left without any sign of life while a model is loaded.
pub(crate) async fn respond<E: Encode>(
    generation: Generation,
    encoder: E,
    config: &Config,
) -> Result<Response, ApiError> {
    let ping = Box::pin(sleep(config.ping_interval));
    let ping_interval = config.ping_interval;
    let frames = Frames::default();
    let finish = None;
    let mut body = SseBody { generation, encoder, frames, begun: false, over: false, finish, ping, ping_interval };
    match timeout(config.status_wait, body.generation.next()).await {
        Ok(Some(Event::Failed { error, .. })) => return Err(error.into()),
        Ok(Some(event)) => body.push(event),
        Ok(None) => return Err(inference::Error::Internal.into()),
        Err(_) => body.encoder.ping(&mut body.frames),
    }
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(E::MEDIA_TYPE)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        // Proxies of the nginx kind would otherwise hold tokens back.
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    let merged_system = merged_system(body.generation.merged_system());
    Ok((headers, merged_system, Body::from_stream(body)).into_response())
}

/// Frames as they come. Every piece holds all that is ready, and nothing waits for more.
struct SseBody<E> {
    generation: Generation,
    encoder: E,
    frames: Frames,
    begun: bool,
    over: bool,
    finish: Option<BoxFuture<'static, Bytes>>,
    ping: Pin<Box<Sleep>>,
    ping_interval: Duration,
}

// Nothing here is pinned in place: the parts that must not move are boxed.
impl<E> Unpin for SseBody<E> {}

impl<E: Encode> SseBody<E> {
    fn push(&mut self, event: Event) {
        if !std::mem::replace(&mut self.begun, true) {
            self.encoder.begin(self.generation.beginning());
        }
        self.over = event.is_terminal();
        self.encoder.push(event, &mut self.frames);
        if self.over {
            self.finish = self.encoder.finish();
        }
    }
}

impl<E: Encode> Stream for SseBody<E> {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        // One event a piece, unless it says nothing: several would make the first of them wait.
        while !this.over && this.frames.is_empty() {
            match this.generation.poll_next_unpin(cx) {
                Poll::Ready(Some(event)) => this.push(event),
                Poll::Ready(None) => this.over = true,
                Poll::Pending if this.ping.as_mut().poll(cx).is_ready() => {
                    this.encoder.ping(&mut this.frames);
                    // An encoder may have no sign of life; then this goes round, and must wait again.
                    this.ping.as_mut().reset(Instant::now() + this.ping_interval);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        if this.frames.is_empty() {
            let Some(finish) = &mut this.finish else { return Poll::Ready(None) };
            let last = ready!(finish.as_mut().poll(cx));
            this.finish = None;
            return Poll::Ready(Some(Ok(last)));
        }
        this.ping.as_mut().reset(Instant::now() + this.ping_interval);
        Poll::Ready(Some(Ok(this.frames.take())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_lines_with_an_empty_one_behind() {
        let mut frames = Frames::default();
        frames.data(&"a\nb\r");
        frames.event("name", &1);
        frames.comment("ping");
        frames.done();
        frames.line(&"a\nb");
        assert_eq!(
            frames.take(),
            "data: \"a\\nb\\r\"\n\nevent: name\ndata: 1\n\n: ping\n\ndata: [DONE]\n\n\"a\\nb\"\n"
        );
        assert!(frames.is_empty());
    }

    #[test]
    fn a_value_that_cannot_be_json_leaves_no_half_frame() {
        struct Broken;
        impl Serialize for Broken {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("no"))
            }
        }
        let mut frames = Frames::default();
        frames.data(&[Broken]);
        frames.event("name", &[Broken]);
        frames.line(&[Broken]);
        assert!(frames.is_empty());
    }
}
