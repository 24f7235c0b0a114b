//! A backend for tests: the default model's tokenizer, and a model that knows nothing.

use std::sync::{Arc, OnceLock};

use chat::Chat;
use engine::{Config, Engine};
use models::{Batch, Logits, Runner};
use text::Tokenizer;
use weights::Checkpoint;

use crate::backend::LocalBackend;

/// The default model's tokenizer.
pub(crate) fn tokenizer() -> Arc<Tokenizer> {
    static READ: OnceLock<Arc<Tokenizer>> = OnceLock::new();
    let read = || {
        let Ok(Checkpoint::Gguf(gguf)) = Checkpoint::open(&testkit::smollm2()) else { panic!("a GGUF") };
        Arc::new(Tokenizer::from_gguf(gguf.metadata()).expect("a tokenizer"))
    };
    Arc::clone(READ.get_or_init(read))
}

/// A model that knows nothing: its logits depend on the position and the token before.
struct Babbler(Vec<f32>);

impl Runner for Babbler {
    fn vocabulary(&self) -> usize {
        tokenizer().vocabulary() as usize
    }

    fn context_length(&self) -> usize {
        512
    }

    fn kv_blocks(&self) -> usize {
        128
    }

    fn forward(&mut self, batch: &Batch<'_>) -> &[f32] {
        self.0.clear();
        for segment in batch.segments {
            let wanted = match segment.logits {
                Logits::None => 0,
                Logits::Last => 1,
                Logits::All => segment.tokens.len(),
            };
            for at in segment.tokens.len() - wanted..segment.tokens.len() {
                let seed = (segment.tokens[at] as u64) << 20 | (segment.position + at) as u64;
                let logit = |id: u64| {
                    let mixed = (seed ^ id << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
                    (mixed.wrapping_mul(0xd6e8_feb8_6659_fd93) >> 40) as f32 / (1 << 20) as f32
                };
                self.0.extend((0..tokenizer().vocabulary().into()).map(logit));
            }
        }
        &self.0
    }
}

/// A backend whose model babbles, and whose chat template opens the reasoning.
pub(crate) fn babbling() -> LocalBackend {
    let source = "{% for m in messages %}{{ m.content }}{% endfor %}<think>\n";
    let chat = Chat::new(source, None, None, Vec::new()).expect("a template");
    let config = Config { speculation: true, ..Config::default() };
    let engine = Engine::start(Box::new(Babbler(Vec::new())), config);
    LocalBackend::new(tokenizer(), Some(chat), engine, Default::default(), 512, 64, 2)
}
