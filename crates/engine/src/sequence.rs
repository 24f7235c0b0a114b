//! One sequence: its tokens, what was asked for, and its end of the channel.

use std::{
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use models::Logits;

use crate::{
    Constraint, Finish, Forcing, Output, Sampling, SequenceRequest, Token,
    channel::Sender,
    logprobs::Logprobs,
    penalties::Penalties,
    sampler::{Choice, Sampler},
    scheduler::{Planned, Readiness},
    softmax::BadLogits,
    speculation::Speculation,
};

/// Rows of one step when every position of the prompt is reported: each needs logits and a pass over the vocabulary, and
/// steps are to stay short.
const REPORTED_ROWS: usize = 32;

/// A reader that reads nothing for this long keeps its blocks only as long as nobody else needs them.
const PATIENCE: Duration = Duration::from_secs(1);

/// A live sequence. Nothing in it changes when it is preempted, so its tokens cannot either.
pub(crate) struct Sequence {
    /// Prompt and output.
    tokens: Vec<u32>,
    prompt: usize,
    sampling: Sampling,
    max_tokens: usize,
    min_tokens: usize,
    end_tokens: Vec<u32>,
    logprobs: Option<usize>,
    prompt_logprobs: bool,
    salt: u64,
    constraint: Option<Box<dyn Constraint>>,
    forcing: Option<Box<dyn Forcing>>,
    penalties: Penalties,
    /// Tokens of the prompt that were reported.
    reported: usize,
    /// It was planned before.
    started: bool,
    speculation: Speculation,
    /// In a step that checks a draft: the last token and the draft behind it.
    draft: Vec<u32>,
    /// Outputs that the reader's queue took when it was last asked.
    room: usize,
    stall: Option<Stall>,
    /// Logits for the next token, which wait for the constraint's mask.
    held: Option<Vec<f32>>,
    output: Sender,
}

impl std::fmt::Debug for Sequence {
    /// Lengths only: tokens are somebody's text.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sequence")
            .field("prompt", &self.prompt)
            .field("tokens", &self.tokens.len())
            .finish_non_exhaustive()
    }
}

/// The reader's queue is full.
#[derive(Debug, Clone, Copy)]
struct Stall {
    since: Instant,
    /// Outputs that the reader had taken by then.
    taken: u64,
}

/// What came of the rows of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Committed {
    /// Rows that ran for tokens which the sequence has: all but those behind a draft's first wrong token.
    pub rows: usize,
    /// Tokens of the draft that were right and went on.
    pub accepted: usize,
    /// The sequence has ended.
    pub finish: Option<Finish>,
}

/// What committing a row uses, kept between steps for its scratch memory.
#[derive(Debug)]
pub(crate) struct Tools {
    sampler: Sampler,
    logprobs: Logprobs,
    allowed: Vec<u64>,
    /// Wakes the engine when a mask is there.
    waker: Waker,
}

impl Tools {
    /// Tools of the engine that `waker` wakes.
    pub fn new(waker: Waker) -> Self {
        Self { sampler: Sampler::default(), logprobs: Logprobs::default(), allowed: Vec::new(), waker }
    }
}

impl Sequence {
    /// A sequence that has not run yet; `output` leads to its reader.
    pub fn new(request: SequenceRequest, output: Sender) -> Self {
        Self {
            prompt: request.prompt.len(),
            penalties: Penalties::new(&request.sampling, &request.prompt),
            tokens: request.prompt,
            sampling: request.sampling,
            max_tokens: request.max_tokens,
            min_tokens: request.min_tokens,
            end_tokens: request.end_tokens,
            logprobs: request.logprobs,
            prompt_logprobs: request.prompt_logprobs,
            salt: request.salt,
            constraint: request.constraint,
            forcing: request.forcing,
            reported: 0,
            started: false,
            speculation: Speculation::default(),
            draft: Vec::new(),
            room: 0,
            stall: None,
            held: None,
            output,
        }
    }

    /// Tokens, prompt and output.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The tokens that need not be computed when their keys and values are there: none while logits of all are wanted.
    pub fn reusable(&self) -> &[u32] {
        if self.reports_prompt() { &[] } else { &self.tokens }
    }

    /// Who asks, as far as fairness and sharing are concerned.
    pub fn salt(&self) -> u64 {
        self.salt
    }

    /// Whether there is nothing to compute.
    pub fn is_done(&self) -> bool {
        self.max_tokens == 0 && !self.reports_prompt()
    }

    /// Whether the reader is gone.
    pub fn is_cancelled(&self) -> bool {
        self.output.is_closed()
    }

    /// Whether the next token waits for nothing but its mask.
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }

    fn generated(&self) -> usize {
        self.tokens.len() - self.prompt
    }

    fn reports_prompt(&self) -> bool {
        self.prompt_logprobs && self.reported < self.prompt
    }

    /// What the reader allows; `None` when it has read nothing for `timeout`.
    pub fn readiness(&mut self, now: Instant, timeout: Duration) -> Option<Readiness> {
        if self.is_held() {
            return Some(Readiness::Stalled);
        }
        // While the prompt is reported a row gives an output, the first row gives two and the last one a token more.
        let overhead = if self.reports_prompt() { 2 } else { 0 };
        let room = self.output.room(overhead + 1);
        self.room = room.free;
        self.draft.clear();
        if room.free > overhead {
            self.stall = None;
            let most = if overhead > 0 { REPORTED_ROWS.min(room.free - overhead) } else { usize::MAX };
            return Some(Readiness::Rows(most));
        }
        let stall = match self.stall {
            Some(stall) if stall.taken == room.taken => stall,
            _ => *self.stall.insert(Stall { since: now, taken: room.taken }),
        };
        let stalled = now.saturating_duration_since(stall.since);
        if stalled >= timeout {
            None
        } else if stalled >= PATIENCE {
            Some(Readiness::Yielding)
        } else {
            Some(Readiness::Stalled)
        }
    }

    /// When [`readiness`](Self::readiness) changes though nothing happens: with the reader stalled, at the end of its time,
    /// or of our patience.
    pub fn deadline(&self, now: Instant, timeout: Duration) -> Option<Instant> {
        let since = self.stall?.since;
        [since.checked_add(PATIENCE), since.checked_add(timeout)].into_iter().flatten().filter(|&at| at > now).min()
    }

    /// Rows of it run next. The first time, what comes before them was found in the cache.
    pub fn begin(&mut self, planned: &Planned) {
        if !self.started {
            self.started = true;
            self.output.set_cached_tokens(planned.position);
        }
    }

    /// Proposes at most `most` tokens for the next positions, to be run behind the last token in this step; how many. No more
    /// than could be sent and than the sequence, with a limit of `token_limit` tokens, could still have.
    pub fn propose(&mut self, most: usize, token_limit: usize) -> usize {
        // Each token of the draft that is right gives one more than itself.
        let left = (self.max_tokens - self.generated()).min(token_limit - self.tokens.len()).min(self.room);
        // A mask is made for one position at a time.
        if !self.reports_prompt() && self.constraint.is_none() {
            self.draft.extend(self.tokens.last());
            self.speculation.propose(&self.tokens, most.min(left.saturating_sub(1)), &mut self.draft);
        }
        self.draft.len().saturating_sub(1)
    }

    /// The tokens of the planned rows.
    pub fn rows(&self, planned: &Planned) -> &[u32] {
        if self.drafted(planned) > 0 {
            &self.draft[..planned.rows]
        } else {
            &self.tokens[planned.position..planned.position + planned.rows]
        }
    }

    /// How many of the planned rows are a draft's.
    fn drafted(&self, planned: &Planned) -> usize {
        (planned.position + planned.rows).saturating_sub(self.tokens.len())
    }

    /// The rows whose logits are needed.
    pub fn wanted(&self, planned: &Planned) -> Logits {
        if self.reports_prompt() || self.drafted(planned) > 0 {
            Logits::All
        } else if planned.position + planned.rows == self.tokens.len() {
            Logits::Last
        } else {
            Logits::None
        }
    }

    /// Takes the wanted rows' logits, `[wanted rows, vocabulary]`: reports the prompt, chooses the next token, and the one
    /// after it as long as a draft was right, and sends what is new. May panic where a constraint does; the sequence is then
    /// to be thrown away.
    pub fn commit(
        &mut self,
        planned: &Planned,
        logits: &[f32],
        vocabulary: usize,
        token_limit: usize,
        tools: &mut Tools,
    ) -> Result<Committed, BadLogits> {
        if self.reports_prompt() {
            self.report_prompt(planned, logits, vocabulary, tools)?;
        }
        let all = |finish| Committed { rows: planned.rows, accepted: 0, finish };
        if planned.position + planned.rows < self.tokens.len() {
            return Ok(all(None));
        }
        if self.generated() >= self.max_tokens {
            return Ok(all(Some(Finish::MaxTokens)));
        }
        let drafted = self.drafted(planned);
        let logits = &logits[logits.len() - (drafted + 1) * vocabulary..];
        if self.waits_for_mask(tools) {
            self.held = Some(logits.to_vec());
            return Ok(all(None));
        }
        let mut accepted = 0;
        for logits in logits.chunks_exact(vocabulary) {
            let (id, finish) = self.go_on(logits, token_limit, tools)?;
            // The next row is about what follows the draft's token, so it counts only if this is the one.
            if finish.is_none() && self.draft.get(accepted + 1).is_some_and(|&token| token == id) && accepted < drafted
            {
                accepted += 1;
                continue;
            }
            if drafted > 0 {
                self.speculation.learn(drafted, accepted);
            }
            return Ok(Committed { rows: planned.rows - drafted + accepted, accepted, finish });
        }
        unreachable!("the last row's token is followed by no draft")
    }

    /// Chooses the token whose logits were held, if its mask is there by now; `None` if it is not. May panic as
    /// [`commit`](Self::commit) may.
    pub fn resume(&mut self, token_limit: usize, tools: &mut Tools) -> Option<Result<Committed, BadLogits>> {
        if self.waits_for_mask(tools) {
            return None;
        }
        let logits = self.held.take()?;
        // Its rows were committed when they ran.
        let committed = |(_, finish)| Committed { rows: 0, accepted: 0, finish };
        Some(self.go_on(&logits, token_limit, tools).map(committed))
    }

    fn waits_for_mask(&mut self, tools: &Tools) -> bool {
        let context = &mut Context::from_waker(&tools.waker);
        self.constraint.as_mut().is_some_and(|constraint| constraint.poll_mask(context) == Poll::Pending)
    }

    /// Chooses the next token by a row of logits, takes it and sends it; which, and whether that was the end.
    fn go_on(
        &mut self,
        logits: &[f32],
        token_limit: usize,
        tools: &mut Tools,
    ) -> Result<(u32, Option<Finish>), BadLogits> {
        let token = self.choose(logits, tools)?;
        let id = token.id;
        self.tokens.push(id);
        self.penalties.count(id);
        if let Some(constraint) = &mut self.constraint {
            constraint.accept(id);
        }
        if let Some(forcing) = &mut self.forcing {
            forcing.accept(id);
        }
        self.output.send(Output::Token(token));
        Ok((id, self.end_behind(id, token_limit)))
    }

    /// Why the sequence ends with the token that it has just got, if it does.
    fn end_behind(&self, id: u32, token_limit: usize) -> Option<Finish> {
        if self.end_tokens.contains(&id) {
            Some(Finish::EndToken)
        } else if self.generated() >= self.max_tokens {
            Some(Finish::MaxTokens)
        } else if self.tokens.len() >= token_limit {
            Some(Finish::ContextFull)
        } else {
            None
        }
    }

    /// Each row's logits are about the token after it. Rows that were reported before a preemption are passed over.
    fn report_prompt(
        &mut self,
        planned: &Planned,
        logits: &[f32],
        vocabulary: usize,
        tools: &mut Tools,
    ) -> Result<(), BadLogits> {
        if self.reported == 0 {
            self.reported = 1;
            self.output.send(Output::Prompt(Token { id: self.tokens[0], logprob: None, top: Vec::new() }));
        }
        for (row, logits) in logits.chunks_exact(vocabulary).enumerate() {
            let next = planned.position + row + 1;
            if next == self.reported && next < self.prompt {
                let token = tools.logprobs.token(logits, self.tokens[next], self.logprobs.unwrap_or(0))?;
                self.reported += 1;
                self.output.send(Output::Prompt(token));
            }
        }
        Ok(())
    }

    fn choose(&mut self, logits: &[f32], tools: &mut Tools) -> Result<Token, BadLogits> {
        let Tools { sampler, logprobs, allowed, .. } = tools;
        let allowed = match &mut self.constraint {
            Some(constraint) => {
                allowed.clear();
                allowed.resize(logits.len().div_ceil(64), 0);
                constraint.mask(allowed);
                Some(&allowed[..])
            }
            None => None,
        };
        let may_follow = |token: u32| {
            let word_of = |allowed: &[u64]| allowed.get(token as usize / 64).copied().unwrap_or(0);
            (token as usize) < logits.len() && allowed.is_none_or(|allowed| word_of(allowed) >> (token % 64) & 1 == 1)
        };
        let forced = self.forcing.as_ref().and_then(|forcing| forcing.forced()).filter(|&token| may_follow(token));
        let choice = Choice {
            sampling: &self.sampling,
            penalties: &self.penalties,
            allowed,
            deferred: if self.generated() < self.min_tokens { &self.end_tokens } else { &[] },
            index: self.generated() as u64,
        };
        let id = match forced {
            Some(token) => token,
            None => sampler.choose(logits, &choice)?,
        };
        match self.logprobs {
            Some(top) => logprobs.token(logits, id, top),
            None => Ok(Token { id, logprob: None, top: Vec::new() }),
        }
    }

    /// Tells the reader that this was all.
    pub fn finish(self, finish: Finish) {
        self.output.finish(finish);
    }
}
