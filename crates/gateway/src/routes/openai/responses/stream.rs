//! A response in events, as long as its client listens.

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use inference::Event;

use super::{draft::Draft, kept::Keeper};
use crate::sse::{Encode, Frames};

/// A response in events. The last one says how it ended, and comes when the response is kept.
pub(super) struct ResponseStream {
    draft: Option<Draft>,
    keeper: Keeper,
    begun: bool,
    over: bool,
}

impl ResponseStream {
    /// A response of which nothing is known yet.
    pub(super) fn new(draft: Draft, keeper: Keeper) -> Self {
        Self { draft: Some(draft), keeper, begun: false, over: false }
    }
}

impl Encode for ResponseStream {
    fn push(&mut self, event: Event, frames: &mut Frames) {
        let Some(draft) = &mut self.draft else { return };
        if !std::mem::replace(&mut self.begun, true) {
            draft.begin(frames);
        }
        self.over = event.is_terminal();
        draft.push(event, Some(frames));
    }

    fn finish(&mut self) -> Option<BoxFuture<'static, Bytes>> {
        let mut draft = self.draft.take_if(|_| self.over)?;
        let keeper = self.keeper.clone();
        let last = async move {
            keeper.keep(draft.response_mut()).await;
            let mut frames = Frames::default();
            draft.last(&mut frames);
            frames.take()
        };
        Some(last.boxed())
    }
}
