//! Compiles grammars for one model, within limits.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread,
};

use llguidance::{
    ParserFactory,
    api::{GrammarInit, ParserLimits},
    earley::SlicedBiasComputer,
};
use toktrie::{InferenceCapabilities, TokEnv};

use super::{Before, Form, Grammar, Matcher, Refusal, Vocabulary, cache::Cache};

/// What one grammar may take. A unit of fuel is one node of a regular expression's graph, 50 of them a microsecond when
/// compiling and 14 in a mask; an item is one of Earley's, 20 a microsecond; a state of the lexer takes 1 to 2 kB.
fn limits() -> ParserLimits {
    ParserLimits {
        max_items_in_row: 1000,
        initial_lexer_fuel: 1_000_000,
        step_lexer_fuel: 100_000,
        step_max_items: 25_000,
        max_lexer_states: 20_000,
        max_grammar_size: 100_000,
        precompute_large_lexemes: false,
        verbose_errors: false,
    }
}

/// Stack for compiling, which recurses as deep as a grammar nests and as long as an object has properties. Only what is
/// used is ever touched.
const STACK: usize = 512 << 20;

/// Longest text of an error that is passed on, in characters.
const MOST_ERROR: usize = 400;

/// Compiles grammars for one vocabulary and keeps them.
pub struct Compiler {
    vocabulary: Arc<Vocabulary>,
    /// Made when it is first needed: it takes a while, and most models are never asked for it.
    factory: OnceLock<Option<ParserFactory>>,
    cache: Mutex<Cache<Arc<Pristine>>>,
}

/// A parser that has read nothing yet, to be copied. Copies share no state, so one cannot spend what another needs.
type Pristine = Mutex<llguidance::Matcher>;

/// The form that answers are held to, compiled.
#[derive(Clone)]
pub struct Held {
    vocabulary: Arc<Vocabulary>,
    pristine: Arc<Pristine>,
    before: Before,
}

impl Held {
    /// Whether both were compiled once.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pristine, &other.pristine)
    }

    /// Holds one more answer to it.
    pub fn matcher(&self) -> Matcher {
        // A copy is all that is made under the lock.
        let form = self.pristine.lock().unwrap_or_else(PoisonError::into_inner).deep_clone();
        Matcher::new(Arc::clone(&self.vocabulary), form, self.before.clone())
    }
}

impl Compiler {
    /// For answers in the tokens of `vocabulary`.
    pub fn new(vocabulary: Vocabulary) -> Self {
        Self { vocabulary: Arc::new(vocabulary), factory: OnceLock::new(), cache: Mutex::default() }
    }

    /// The tokens that the compiler knows.
    pub(crate) fn vocabulary(&self) -> &Arc<Vocabulary> {
        &self.vocabulary
    }

    /// What holds one answer that is nothing but text to a form. What is compiled is kept for those with the same `salt`.
    ///
    /// Blocks for as long as compiling takes.
    ///
    /// # Errors
    /// When the form is malformed, asks for what is not supported, or passes a limit.
    pub fn text(&self, salt: u64, form: &Form) -> Result<Held, Refusal> {
        self.compile(salt, &Grammar::of(form)?, Before::default())
    }

    /// What holds one answer to `grammar`, with `before` in front of it.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub(crate) fn compile(&self, salt: u64, grammar: &Grammar, before: Before) -> Result<Held, Refusal> {
        let key = grammar.key();
        let cached = self.cache().get(salt, &key);
        let pristine = match cached {
            Some(pristine) => pristine,
            None => {
                let pristine = Arc::new(Mutex::new(self.parse(grammar)?));
                self.cache().put(salt, key, Arc::clone(&pristine));
                pristine
            }
        };
        Ok(Held { vocabulary: Arc::clone(&self.vocabulary), pristine, before })
    }

    fn parse(&self, grammar: &Grammar) -> Result<llguidance::Matcher, Refusal> {
        let top_level = grammar.top_level()?;
        on_large_stack(|| {
            let factory = self.factory.get_or_init(|| factory(&self.vocabulary)).as_ref().ok_or(Refusal::Internal)?;
            let parser = factory.create_parser_from_init(GrammarInit::Serialized(top_level), 0, 0);
            let parser = parser.map_err(|error| refusal(&error))?;
            let matcher = llguidance::Matcher::new(Ok(parser));
            // What allows nothing at all is told now, and not in the middle of an answer.
            let mask = matcher.deep_clone().compute_mask_or_eos().map_err(|error| refusal(&error))?;
            if mask.is_zero() {
                return Err(Refusal::Form("nothing can satisfy it".into()));
            }
            Ok(matcher)
        })
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache<Arc<Pristine>>> {
        // Nothing that can panic runs under the lock.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn factory(vocabulary: &Arc<Vocabulary>) -> Option<ParserFactory> {
    let environment: TokEnv = Arc::clone(vocabulary) as TokEnv;
    let capabilities = InferenceCapabilities::default();
    let made = catch_unwind(AssertUnwindSafe(|| {
        ParserFactory::new(&environment, capabilities, &SlicedBiasComputer::json_slices())
    }));
    let mut factory = match made {
        Ok(Ok(factory)) => factory,
        Ok(Err(error)) => {
            tracing::error!(%error, "no grammar can be compiled for this vocabulary");
            return None;
        }
        Err(_) => {
            tracing::error!("the grammar library panicked over this vocabulary");
            return None;
        }
    };
    *factory.limits_mut() = limits();
    factory.quiet();
    Some(factory)
}

/// Runs `work` with [`STACK`]; a panic is a failure of its own request.
fn on_large_stack<T: Send>(work: impl FnOnce() -> Result<T, Refusal> + Send) -> Result<T, Refusal> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("grammar".into()).stack_size(STACK).spawn_scoped(scope, work);
        let thread = thread.map_err(|error| {
            tracing::error!(%error, "no thread to compile a grammar");
            Refusal::Internal
        })?;
        thread.join().unwrap_or(Err(Refusal::Internal))
    })
}

/// What the library says without naming a keyword, and what it means.
const KEYWORDS: &[(&str, &str)] = &[
    (
        "oneOf constraints",
        "`oneOf` is supported where its parts exclude each other, as by a constant in a required property",
    ),
    ("min/maxProperties", "`minProperties` and `maxProperties` are supported where all properties are required"),
    ("patternProperty", "`patternProperties` are supported where no two of them match one name"),
    ("circular references", "`$ref` beside other keywords cannot refer to what it is a part of"),
    ("intersection stack", "`$ref`, `allOf` and `anyOf` nest too deep together"),
    ("regex is empty", "`pattern` and the keywords beside it are too complex together"),
    ("'multipleOf'", "`multipleOf` has more digits than are supported"),
];

/// What the library says, as a refusal. Its panics, which it catches itself, tell the caller nothing.
pub(super) fn refusal(error: &impl std::fmt::Display) -> Refusal {
    let text = format!("{error:#}");
    if text.starts_with("panic:") || text.contains("<backtrace>") {
        tracing::error!(cause = text.lines().next().unwrap_or_default(), "the grammar library panicked");
        return Refusal::Form("it cannot be compiled".into());
    }
    let text = text.split("\n<").next().unwrap_or_default();
    let short: String = text.chars().take(MOST_ERROR).collect();
    if let Some((_, keywords)) = KEYWORDS.iter().find(|(words, _)| short.contains(words)) {
        return Refusal::Form(format!("{keywords} ({short})"));
    }
    let limits = ["too large", "too complex", "fuel", "limit", "TooComplex", "too many"];
    if limits.iter().any(|word| short.contains(word)) {
        return Refusal::Limit(format!("it is more complex than is served: {short}"));
    }
    Refusal::Form(short)
}
