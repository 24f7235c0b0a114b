//! The cases: what is asked of a server, and what is measured of its answers.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::Serialize;
use tokio::task::{JoinHandle, spawn_local};

use super::{
    client::{Question, Server},
    process::{self, CpuTime},
    prompts::Words,
    recording::{Answer, Recording},
    report::Line,
    statistics::{Quantiles, median},
};

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Case {
    /// One stream, a prompt of some 40 tokens, 128 out; four requests in turn.
    Short,
    /// One stream, a prompt of some 512 tokens, 64 out; four requests in turn.
    Prompt,
    /// Many streams at once, each with a prompt of its own of some 512 tokens, 64 out.
    Streams,
    /// Many streams at once that share some 1,000 tokens and ask another 30 each, 32 out, twice: no server has the prefix
    /// the first time, any may have it the second time.
    Prefix,
    /// Eight streams decode; a prompt of some 4,000 tokens comes, and while it is read, short requests in turn.
    Mixed,
    /// Requests of the first case arrive at random, at a given rate, for ten seconds.
    Open,
}

impl Case {
    pub const ALL: &[Self] = &[Self::Short, Self::Prompt, Self::Streams, Self::Prefix, Self::Mixed, Self::Open];
}

/// Requests of the cases with one stream, in turn.
const IN_TURN: usize = 4;

/// Streams that decode in the mixed case, and short requests that come at most.
const DECODING: usize = 8;
const MOST_SHORT: usize = 12;

/// How long requests arrive in the open case.
const OPEN_TIME: Duration = Duration::from_secs(10);

/// How often the mixed case looks at what has come.
const LOOK: Duration = Duration::from_millis(2);

/// What all cases have in common.
pub struct Load<'a> {
    pub model: &'a str,
    pub streams: usize,
    pub rate: f64,
    pub seed: u64,
}

/// A request under way.
struct Pending {
    recording: Recording,
    task: JoinHandle<Result<()>>,
}

impl Pending {
    async fn answer(self) -> Result<Answer> {
        self.task.await.context("a request panicked")??;
        self.recording.answer()
    }
}

impl Load<'_> {
    /// A first answer, so that nobody loads a model while it is measured.
    pub async fn warm_up(&self, server: &Server) -> Result<()> {
        let user = Words::new(self.seed, &server.name, 0).take(20);
        self.ask(server, None, user, 8).answer().await.map(drop)
    }

    /// Gives a server one run of a case; the prefix case has two lines.
    pub async fn measure(&self, case: Case, run: u32, server: &Server) -> Result<Vec<Line>> {
        let mut words = Words::new(self.seed, &format!("{case:?}"), run);
        let words = &mut words;
        let line = |phase| Line::new(server, case, phase, run);
        let streams = self.streams;
        Ok(match case {
            Case::Short => {
                vec![self.observe(server, line(""), self.in_turn(server, || short(words), 128)).await?]
            }
            Case::Prompt => {
                vec![self.observe(server, line(""), self.in_turn(server, || long(words, 470), 64)).await?]
            }
            Case::Streams => {
                let users = (0..streams).map(|_| long(words, 470)).collect();
                vec![self.observe(server, line(""), self.at_once(server, None, users, 64)).await?]
            }
            Case::Prefix => {
                let system = format!("{}.", words.take(980));
                let mut lines = Vec::new();
                for phase in ["cold", "warm"] {
                    let users = (0..streams).map(|_| format!("What does {} mean?", words.take(24))).collect();
                    lines
                        .push(self.observe(server, line(phase), self.at_once(server, Some(&system), users, 32)).await?);
                }
                lines
            }
            Case::Mixed => vec![self.mixed(server, line(""), words).await?],
            Case::Open => vec![self.observe(server, line(""), self.open(server, words)).await?],
        })
    }

    /// Measures what some requests take of time and of the machine.
    async fn observe(
        &self,
        server: &Server,
        mut line: Line,
        requests: impl Future<Output = Result<Vec<Answer>>>,
    ) -> Result<Line> {
        let process = process::listening_on(server.address);
        let before = process.and_then(CpuTime::now);
        let client_before = CpuTime::now(std::process::id());
        let start = Instant::now();
        let answers = requests.await?;
        let wall = start.elapsed();
        let after = process.and_then(CpuTime::now);
        let client_after = CpuTime::now(std::process::id());

        line.take(&answers, wall);
        line.resident_bytes = process.and_then(process::resident);
        if let (Some(before), Some(after)) = (before, after) {
            line.server_cpu_s = Some(after.process - before.process);
            if let (Some(client_before), Some(client_after)) = (client_before, client_after) {
                let client = client_after.process - client_before.process;
                line.other_cpu_s = Some(after.all - before.all - (after.process - before.process) - client);
            }
        }
        Ok(line)
    }

    fn ask(&self, server: &Server, system: Option<&str>, user: String, tokens: usize) -> Pending {
        let recording = Recording::default();
        let (watched, server, model) = (recording.clone(), server.clone(), self.model.to_owned());
        let system = system.map(str::to_owned);
        let task = spawn_local(async move {
            let question = Question { model: &model, system: system.as_deref(), user, tokens };
            server.ask(&question, &watched).await
        });
        Pending { recording, task }
    }

    async fn in_turn(&self, server: &Server, mut user: impl FnMut() -> String, tokens: usize) -> Result<Vec<Answer>> {
        let mut answers = Vec::new();
        for _ in 0..IN_TURN {
            answers.push(self.ask(server, None, user(), tokens).answer().await?);
        }
        Ok(answers)
    }

    async fn at_once(
        &self,
        server: &Server,
        system: Option<&str>,
        users: Vec<String>,
        tokens: usize,
    ) -> Result<Vec<Answer>> {
        collect(users.into_iter().map(|user| self.ask(server, system, user, tokens)).collect()).await
    }

    async fn open(&self, server: &Server, words: &mut Words) -> Result<Vec<Answer>> {
        let start = Instant::now();
        let mut pending = Vec::new();
        let mut next = Duration::ZERO;
        loop {
            // Times between arrivals of a Poisson process are exponentially distributed.
            next += Duration::from_secs_f64(-(1.0 - words.fraction()).ln() / self.rate);
            if next > OPEN_TIME {
                return collect(pending).await;
            }
            tokio::time::sleep_until((start + next).into()).await;
            pending.push(self.ask(server, None, short(words), 128));
        }
    }

    /// Time to first token is that of the short requests, inter-token latency that of the streams that run meanwhile.
    async fn mixed(&self, server: &Server, mut line: Line, words: &mut Words) -> Result<Line> {
        let running: Vec<Pending> = (0..DECODING).map(|_| self.ask(server, None, short(words), 1500)).collect();
        while running.iter().any(|one| one.recording.len() < 4 && !one.task.is_finished()) {
            tokio::time::sleep(LOOK).await;
        }
        let start = Instant::now();
        let prompt = self.ask(server, None, long(words, 3900), 8);
        let mut shorts = Vec::new();
        tokio::time::sleep(Duration::from_millis(100)).await;
        while !prompt.task.is_finished() && shorts.len() < MOST_SHORT {
            shorts.push(self.ask(server, None, short(words), 4).answer().await?);
        }
        let prompt = prompt.answer().await?;
        let end = start + prompt.first();

        let mut gaps = Vec::new();
        for one in running {
            let ended = one.task.is_finished();
            one.task.abort();
            let answer = if ended { one.answer().await? } else { one.recording.answer()? };
            let pairs = answer.texts.windows(2).filter(|pair| pair[1] > start && pair[0] < end);
            gaps.extend(pairs.map(|pair| (pair[1] - pair[0]).as_secs_f64() * 1e3));
        }
        line.take(&shorts, start.elapsed());
        line.inter_token_ms = Quantiles::of(gaps);
        line.long_prompt_s = Some(prompt.first().as_secs_f64());
        line.resident_bytes = process::listening_on(server.address).and_then(process::resident);
        Ok(line)
    }
}

async fn collect(pending: Vec<Pending>) -> Result<Vec<Answer>> {
    let mut answers = Vec::new();
    for one in pending {
        answers.push(one.answer().await?);
    }
    Ok(answers)
}

fn short(words: &mut Words) -> String {
    format!("Write a long story about the {}.", words.take(6))
}

fn long(words: &mut Words, count: usize) -> String {
    format!("{}.\n\nContinue this text.", words.take(count))
}

impl Line {
    /// What the answers say.
    fn take(&mut self, answers: &[Answer], wall: Duration) {
        let sum = |count: fn(&Answer) -> u64| answers.iter().map(count).sum::<u64>();
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
        self.requests = answers.len();
        self.wall_s = wall.as_secs_f64();
        self.prompt_tokens = sum(|answer| answer.prompt_tokens);
        self.cached_tokens = sum(|answer| answer.cached_tokens);
        self.output_tokens = sum(|answer| answer.output_tokens);
        self.first_token_ms = Quantiles::of(answers.iter().map(|answer| milliseconds(answer.first())));
        self.inter_token_ms = Quantiles::of(answers.iter().flat_map(Answer::gaps).map(milliseconds));
        self.decode_tokens_s = median(answers.iter().filter_map(Answer::decode_rate));
        self.output_tokens_s = self.output_tokens as f64 / self.wall_s;
    }
}
