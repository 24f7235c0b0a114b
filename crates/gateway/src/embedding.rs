//! An admitted request for vectors or scores, from the model's name to its settlement.

use std::time::Duration;

use futures::StreamExt;
use inference::{EmbedInput, EmbedRequest, Error, Event, Task, Usage};
use tokio::time::Instant;

use crate::{
    Service,
    admission::{Admitted, unless_revoked},
};

/// The vectors of all inputs, in their order.
pub(crate) struct Vectors {
    pub(crate) vectors: Vec<Vec<f32>>,
    /// Tokens of all inputs.
    pub(crate) prompt_tokens: u64,
    /// How long the model's loading took; next to nothing where it was in memory.
    pub(crate) loading: Duration,
}

/// How well documents answer a query.
pub(crate) struct Ranking {
    /// One for each document, in their order.
    pub(crate) scores: Vec<f32>,
    /// Whether one model read query and document together; otherwise scores are the cosine of their vectors.
    pub(crate) read_together: bool,
    pub(crate) prompt_tokens: u64,
}

/// Asks for vectors. Dropping the future cancels what runs, and so does the revocation of the caller's key; what ran until
/// then is noted. The answer comes when the settlement is durable.
pub(crate) async fn embed(
    service: &Service,
    mut admitted: Admitted,
    model: &str,
    request: EmbedRequest,
) -> Result<Vectors, Error> {
    let revocation = admitted.revocation();
    let answered = unless_revoked(revocation, run(service, &mut admitted, model, request)).await;
    conclude(admitted, answered).await
}

/// Asks for a ranking, of a model that ranks or of one that makes vectors; ends as [`embed`].
pub(crate) async fn rank(
    service: &Service,
    mut admitted: Admitted,
    model: &str,
    query: String,
    documents: Vec<String>,
    truncate: bool,
) -> Result<Ranking, Error> {
    let revocation = admitted.revocation();
    let ranking = run_ranking(service, &mut admitted, model, query, documents, truncate);
    let answered = unless_revoked(revocation, ranking).await;
    conclude(admitted, answered).await
}

/// Settles what ran, however it ended.
async fn conclude<T>(mut admitted: Admitted, answered: Result<T, Error>) -> Result<T, Error> {
    let usage = admitted.usage();
    admitted.observe(&match &answered {
        Ok(_) => Event::Done(usage),
        Err(error) => Event::Failed { error: error.clone(), usage },
    });
    let durable = match admitted.settle() {
        Some(durable) => durable.await,
        None => true,
    };
    if durable { answered } else { Err(Error::Internal) }
}

async fn run(service: &Service, admitted: &mut Admitted, model: &str, request: EmbedRequest) -> Result<Vectors, Error> {
    let began = Instant::now();
    let backend = service.catalog().backend(model).await?;
    let loading = began.elapsed();
    let mut vectors = vec![Vec::new(); request.inputs.len()];
    let prepared = backend.embed(request).await?;
    let prompt_tokens = prepared.prompt_tokens();
    admitted.lease(prompt_tokens, 0, true)?;
    let mut answers = prepared.run()?;
    let (mut ran, mut left) = (0, vectors.len());
    while let Some(answer) = answers.next().await {
        let answer = answer?;
        ran += answer.tokens;
        admitted.ran(Usage { prompt_tokens: ran, ..Usage::default() });
        let place = vectors.get_mut(answer.index).filter(|place| place.is_empty() && !answer.vector.is_empty());
        let Some(place) = place else {
            tracing::error!(index = answer.index, "a backend answered what was not asked, or twice, or nothing");
            return Err(Error::Internal);
        };
        (*place, left) = (answer.vector, left - 1);
    }
    if left > 0 {
        tracing::error!(left, "a backend's answers ended too soon");
        return Err(Error::Internal);
    }
    Ok(Vectors { vectors, prompt_tokens, loading })
}

async fn run_ranking(
    service: &Service,
    admitted: &mut Admitted,
    model: &str,
    query: String,
    documents: Vec<String>,
    truncate: bool,
) -> Result<Ranking, Error> {
    let task = service.catalog().backend(model).await?.capabilities().task.clone();
    let request = |inputs| EmbedRequest { inputs, parameter: "documents", dimensions: None, truncate };
    if task == Task::Rank {
        let pairs = documents.into_iter().map(|document| EmbedInput::Pair(query.clone(), document)).collect();
        let Vectors { vectors, prompt_tokens, .. } = run(service, admitted, model, request(pairs)).await?;
        let scores = vectors.into_iter().flatten().collect();
        return Ok(Ranking { scores, read_together: true, prompt_tokens });
    }
    task.dimensions()?;
    let last = documents.len();
    let inputs = documents.into_iter().chain([query]).map(EmbedInput::Text).collect();
    let answered = run(service, admitted, model, request(inputs)).await;
    let Vectors { mut vectors, prompt_tokens, .. } = answered.map_err(|error| match error {
        // The query came last.
        Error::InputTooLong { input, tokens, limit } if input == format!("documents[{last}]") => {
            Error::InputTooLong { input: "query".into(), tokens, limit }
        }
        other => other,
    })?;
    let query = vectors.pop().unwrap_or_default();
    let scores = vectors.iter().map(|document| cosine(&query, document)).collect();
    Ok(Ranking { scores, read_together: false, prompt_tokens })
}

/// The cosine of the angle between two vectors; 0 where one has no direction.
fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths > 0.0 { (dot(a, b) / lengths) as f32 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cosine_is_that_of_the_angle() {
        for (a, b, expect) in
            [([1.0, 0.0], [0.0, 2.0], 0.0), ([1.0, 1.0], [3.0, 3.0], 1.0), ([1.0, 2.0], [-1.0, -2.0], -1.0)]
        {
            assert!((cosine(&a, &b) - expect).abs() < 1e-6);
        }
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 1.0]), 0.0);
    }
}
