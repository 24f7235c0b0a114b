//! The ledger: what was credited, charged and corrected, as lines that are only ever added to.
//!
//! Each organisation has a chain of its own. A line holds the hash of the line before it, so that none can be changed,
//! left out or put between without changing every later hash. docs/ledger.md fixes the bytes; [`Line::text`] writes them,
//! [`verify()`] checks a chain, and a short program in another language does so too (`docs/verify_ledger.py`).

mod rerating;
mod statement;
mod text;
mod verify;

use std::fmt;

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::{
    AmountOverflow, Cause, Counts, KeyId, Nano, OrgId, Price, PriceId, ProjectId, Rates, RequestId, Service, Timestamp,
    hex,
};

pub use rerating::{Rerated, Rerating, Standing};
pub use statement::{Credited, ModelCharges, OutOfPlace, Statement};
pub use text::InvalidLine;
pub use verify::{Fault, verify};

/// SHA-256 of a line's canonical bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LineHash([u8; 32]);

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Whose chain.
    pub org: OrgId,
    /// Its number in the chain, from 1.
    pub number: u64,
    /// When it was written.
    pub at: Timestamp,
    /// Hash of the line before; [`Head::EMPTY`]'s for the first.
    pub previous: LineHash,
    /// What happened.
    pub entry: Entry,
    /// What it adds to the balance; charges are negative.
    pub amount: Nano,
    /// The balance after it.
    pub balance: Nano,
}

/// What a line is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A request was paid for.
    Charge(Charge),
    /// Credit came in.
    Credit {
        /// How.
        source: CreditSource,
        /// Names the payment or the code without telling it: [`external_digest`].
        external: [u8; 32],
    },
    /// An earlier line was wrong. It stays; this one makes up for it.
    Correction {
        /// Number of the line that was wrong.
        corrects: u64,
        /// What it should have been computed from, where it was a charge under a wrong price: then the sum of the old line
        /// and all its corrections is what these terms cost.
        terms: Option<Terms>,
    },
}

/// A request that was paid for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// Which.
    pub request: RequestId,
    /// Under which project.
    pub project: ProjectId,
    /// With which key.
    pub key: KeyId,
    /// The model's name.
    pub model: Box<str>,
    /// Why it ended.
    pub cause: Cause,
    /// The class of service.
    pub service: Service,
    /// What the amount was computed from.
    pub terms: Terms,
}

/// All that an amount is computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// The price version.
    pub price: PriceId,
    /// Thousandths of the rates that were due.
    pub share: u16,
    /// What was used.
    pub counts: Counts,
    /// What a million units cost. Those of classes that were not used are not kept and read back as zero.
    pub rates: Rates,
}

/// How credit came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CreditSource {
    /// Whoever runs the installation granted it, for a payment or otherwise.
    Grant,
    /// A code was redeemed.
    Code,
}

/// The end of a chain: all that is needed to add to it, and to see that nothing was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Number of the last line; 0 when there is none.
    pub number: u64,
    /// Its hash.
    pub hash: LineHash,
    /// The balance after it.
    pub balance: Nano,
}

/// A line that cannot be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AppendError {
    /// No balance could hold it.
    #[error("the balance after this line would be beyond all amounts")]
    Overflow(#[from] AmountOverflow),
    /// A correction of nothing.
    #[error("line {corrects} cannot be corrected: the chain ends with line {last}")]
    CorrectsNothing {
        /// The line that was named.
        corrects: u64,
        /// The last one that there is.
        last: u64,
    },
}

/// What stands for an external id in the ledger, which must hold nothing that may have to be erased.
pub fn external_digest(external_id: &str) -> [u8; 32] {
    Sha256::digest(external_id.as_bytes()).into()
}

impl LineHash {
    /// From the form in which rows hold it.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The form in which rows hold it.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        hex::parse(text).map(Self)
    }
}

impl fmt::Display for LineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(64);
        hex::push(&mut text, &self.0);
        f.write_str(&text)
    }
}

impl fmt::Debug for LineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl CreditSource {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Grant, Self::Code];

    /// The name in lines and rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Code => "code",
        }
    }
}

impl Terms {
    /// The terms under which `counts` were used.
    pub fn of(price: PriceId, terms: &Price, service: Service, counts: Counts) -> Self {
        let mut rates = Rates::default();
        for (class, _) in counts.iter().filter(|(_, count)| *count > 0) {
            rates = rates.with(class, terms.rates().of(class));
        }
        Self { price, share: terms.share(service), counts, rates }
    }

    /// What they cost.
    pub fn cost(&self) -> Result<Nano, AmountOverflow> {
        crate::price::cost(&self.counts, &self.rates, self.share)
    }
}

impl Head {
    /// Of a chain without lines.
    pub const EMPTY: Self = Self { number: 0, hash: LineHash([0; 32]), balance: Nano::ZERO };

    /// The next line for a request that was paid for.
    pub fn charge(&self, org: OrgId, at: Timestamp, charge: Charge) -> Result<Line, AppendError> {
        let amount = charge.terms.cost()?.negated()?;
        self.line(org, at, Entry::Charge(charge), amount)
    }

    /// The next line for credit.
    pub fn credit(
        &self,
        org: OrgId,
        at: Timestamp,
        source: CreditSource,
        external_id: &str,
        amount: Nano,
    ) -> Result<Line, AppendError> {
        self.line(org, at, Entry::Credit { source, external: external_digest(external_id) }, amount)
    }

    /// The next line for a correction of the line numbered `corrects` by `amount`.
    pub fn correct(
        &self,
        org: OrgId,
        at: Timestamp,
        corrects: u64,
        terms: Option<Terms>,
        amount: Nano,
    ) -> Result<Line, AppendError> {
        if corrects == 0 || corrects > self.number {
            return Err(AppendError::CorrectsNothing { corrects, last: self.number });
        }
        self.line(org, at, Entry::Correction { corrects, terms }, amount)
    }

    fn line(&self, org: OrgId, at: Timestamp, entry: Entry, amount: Nano) -> Result<Line, AppendError> {
        let balance = self.balance.plus(amount)?;
        Ok(Line { org, number: self.number + 1, at, previous: self.hash, entry, amount, balance })
    }
}

impl Line {
    /// SHA-256 of [`Line::text`].
    pub fn hash(&self) -> LineHash {
        LineHash(Sha256::digest(self.text().as_bytes()).into())
    }

    /// The chain's end once this line is part of it.
    pub fn head(&self) -> Head {
        Head { number: self.number, hash: self.hash(), balance: self.balance }
    }
}
