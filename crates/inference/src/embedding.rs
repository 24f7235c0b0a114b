//! What an encoder is asked, and what it answers: texts in, one vector or one score each out.

use futures::stream::BoxStream;

use crate::Error;

/// One request for vectors, or of a model that ranks for scores.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbedRequest {
    /// At least one. A list is answered whole or refused whole.
    pub inputs: Vec<EmbedInput>,
    /// What the caller calls the list of inputs: refusals name `input[3]`, say.
    pub parameter: &'static str,
    /// Length of the vectors, where it is not the model's own.
    pub dimensions: Option<u32>,
    /// Whether an input that is too long is cut. Otherwise it is refused.
    pub truncate: bool,
}

/// One input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EmbedInput {
    /// A text; the tokens that the model wants around it are added. Special tokens written in it are plain text.
    Text(String),
    /// Token ids, used as they are.
    Tokens(Vec<u32>),
    /// Two texts to be read together, for a model that ranks.
    Pair(String, String),
}

/// A checked request that can start.
pub trait PreparedEmbedding: Send {
    /// Tokens of all inputs.
    fn prompt_tokens(&self) -> u64;

    /// Starts the request. Fails when the backend's queue is full or it is shutting down.
    fn run(self: Box<Self>) -> Result<EmbeddingStream, Error>;
}

/// The answers to the inputs, in any order, one for each, or an error that ends it. Dropping it cancels the request.
pub type EmbeddingStream = BoxStream<'static, Result<Embedded, Error>>;

/// The answer to one input.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedded {
    /// Which input, from 0.
    pub index: usize,
    /// Tokens of the input.
    pub tokens: u64,
    /// Its vector. Of a model that ranks: one number from 0 to 1.
    pub vector: Vec<f32>,
}

/// What a model is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Task {
    /// Text.
    #[default]
    Generate,
    /// Vectors of texts.
    Embed(Dimensions),
    /// Scores of pairs of texts.
    Rank,
}

/// How long a model's vectors are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dimensions {
    /// By themselves.
    pub full: u32,
    /// Cut to one of these, ascending, they still mean something.
    pub shorter: Vec<u32>,
}

impl Task {
    /// Refuses what the model is not for, in words that say what it is for.
    ///
    /// # Errors
    /// [`Error::Invalid`] about `model`, when it does not generate text.
    pub fn check_generates(&self) -> Result<(), Error> {
        match self {
            Self::Generate => Ok(()),
            Self::Embed(_) => {
                Err(Error::invalid("model", "this model makes embeddings and no text; ask it at /v1/embeddings"))
            }
            Self::Rank => Err(Error::invalid("model", "this model ranks texts and makes none; ask it at /v1/rerank")),
        }
    }

    /// How long the vectors are.
    ///
    /// # Errors
    /// [`Error::Invalid`] about `model`, when it makes none.
    pub fn dimensions(&self) -> Result<&Dimensions, Error> {
        match self {
            Self::Embed(dimensions) => Ok(dimensions),
            Self::Generate => Err(Error::invalid(
                "model",
                "this model generates text and makes no embeddings; GET /v1/models lists the others",
            )),
            Self::Rank => {
                Err(Error::invalid("model", "this model ranks texts and makes no embeddings; ask it at /v1/rerank"))
            }
        }
    }
}

impl Dimensions {
    /// The length that `asked` comes to.
    ///
    /// # Errors
    /// [`Error::Invalid`] about `dimensions`, when the model's vectors cannot be cut to it.
    pub fn check(&self, asked: Option<u32>) -> Result<u32, Error> {
        let Some(asked) = asked else { return Ok(self.full) };
        if asked == self.full || self.shorter.contains(&asked) {
            return Ok(asked);
        }
        let mut message = format!("this model's vectors have {} dimensions", self.full);
        if self.shorter.is_empty() {
            message.push_str(" and mean nothing when they are cut; leave dimensions out");
        } else {
            let shorter: Vec<String> = self.shorter.iter().map(u32::to_string).collect();
            message.push_str(&format!(" or, cut, {}; {asked} is none of these", shorter.join(", ")));
        }
        Err(Error::invalid("dimensions", message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_cut_only_where_the_model_was_trained_for_it() {
        let plain = Dimensions { full: 384, shorter: vec![] };
        assert_eq!((plain.check(None), plain.check(Some(384))), (Ok(384), Ok(384)));
        let nested = Dimensions { full: 64, shorter: vec![8, 16] };
        assert_eq!(nested.check(Some(16)), Ok(16));
        for (dimensions, asked) in [(&plain, 256), (&plain, 0), (&plain, 385), (&nested, 32)] {
            let Err(Error::Invalid { parameter, message }) = dimensions.check(Some(asked)) else { panic!("{asked}") };
            assert_eq!(parameter.as_deref(), Some("dimensions"));
            assert!(message.contains(&dimensions.full.to_string()), "{message}");
        }
    }

    #[test]
    fn a_model_is_asked_for_what_it_is_for() {
        let embeds = Task::Embed(Dimensions { full: 2, shorter: vec![] });
        assert_eq!(Task::Generate.check_generates(), Ok(()));
        for (error, word) in [
            (embeds.check_generates().unwrap_err(), "/v1/embeddings"),
            (Task::Rank.check_generates().unwrap_err(), "/v1/rerank"),
            (Task::Generate.dimensions().unwrap_err(), "generates text"),
            (Task::Rank.dimensions().unwrap_err(), "/v1/rerank"),
        ] {
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
