//! The bill of a stretch of a chain: what its lines come to, by model, class and price.

use std::collections::BTreeMap;

use thiserror::Error;

use super::{CreditSource, Entry, Head, Line};
use crate::{Class, Nano, Timestamp, price::rounded};

/// Credits that are listed one by one; more are one sum.
const MOST_CREDITS: usize = 1000;

/// A line that is not the next one of the stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("line {found} of the ledger does not follow line {after}; verify the ledger")]
pub struct OutOfPlace {
    /// The line's number.
    pub found: u64,
    /// That of the line before.
    pub after: u64,
}

/// What the lines of a stretch come to. `opening + charged + credited + corrected = closing`, always.
#[derive(Debug, Clone)]
pub struct Statement {
    /// Where the chain stood before.
    pub opening: Head,
    /// Where it stands after the last line that was added.
    pub closing: Head,
    /// By model.
    pub models: BTreeMap<Box<str>, ModelCharges>,
    /// In the order of their lines.
    pub credits: Vec<Credited>,
    /// All credits beyond those that are listed.
    pub further: Option<Credited>,
    /// Corrections of earlier lines.
    pub corrections: u64,
    /// What they add to the balance.
    pub corrected: i128,
}

/// What was charged for a model.
#[derive(Debug, Clone, Default)]
pub struct ModelCharges {
    /// Lines.
    pub requests: u64,
    /// Units by class, price for a million of them and share in thousandths.
    pub units: BTreeMap<(Class, Nano, u16), u128>,
    /// The sum of the lines; negative.
    pub amount: i128,
}

/// A credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credited {
    /// When its line was written.
    pub at: Timestamp,
    /// How it came in.
    pub source: CreditSource,
    /// Its line.
    pub line: u64,
    /// How much.
    pub amount: i128,
}

impl Statement {
    /// Of no lines yet.
    pub fn new(opening: Head) -> Self {
        let (models, credits) = Default::default();
        Self { opening, closing: opening, models, credits, further: None, corrections: 0, corrected: 0 }
    }

    /// Adds the next line of the chain.
    pub fn push(&mut self, line: &Line) -> Result<(), OutOfPlace> {
        let balance = self.closing.balance.plus(line.amount);
        if line.number != self.closing.number + 1 || line.previous != self.closing.hash || balance != Ok(line.balance) {
            return Err(OutOfPlace { found: line.number, after: self.closing.number });
        }
        self.closing = line.head();
        let amount = i128::from(line.amount.get());
        match &line.entry {
            Entry::Charge(charge) => {
                let model = self.models.entry(charge.model.clone()).or_default();
                model.requests += 1;
                model.amount += amount;
                for (class, count) in charge.terms.counts.iter().filter(|(_, count)| *count > 0) {
                    let key = (class, charge.terms.rates.of(class), charge.terms.share);
                    *model.units.entry(key).or_default() += u128::from(count);
                }
            }
            Entry::Credit { source, .. } => {
                let credit = Credited { at: line.at, source: *source, line: line.number, amount };
                match &mut self.further {
                    Some(further) => further.amount += amount,
                    None if self.credits.len() < MOST_CREDITS => self.credits.push(credit),
                    None => self.further = Some(credit),
                }
            }
            Entry::Correction { .. } => {
                self.corrections += 1;
                self.corrected += amount;
            }
        }
        Ok(())
    }

    /// The sum of all charges; negative.
    pub fn charged(&self) -> i128 {
        self.models.values().map(|model| model.amount).sum()
    }

    /// The sum of all credits.
    pub fn credited(&self) -> i128 {
        self.credits.iter().chain(&self.further).map(|credit| credit.amount).sum()
    }
}

impl ModelCharges {
    /// What each class of units cost at each price, rounded once; negative. Units are billed by the line, so that there is
    /// a difference to [`Self::amount`]: [`Self::rounding`].
    pub fn classes(&self) -> impl Iterator<Item = (Class, Nano, u16, u128, i128)> + '_ {
        self.units.iter().map(|((class, rate, share), units)| {
            let exact = units * u128::from(rate.get().unsigned_abs()) * u128::from(*share);
            (*class, *rate, *share, *units, -(rounded(exact) as i128))
        })
    }

    /// What lines were rounded by.
    pub fn rounding(&self) -> i128 {
        self.amount - self.classes().map(|(.., amount)| amount).sum::<i128>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        Cause, Counts, KeyId, OrgId, PerClass, Price, PriceId, ProjectId, RequestId, Service,
        ledger::{Charge, Terms},
    };

    const ORG: OrgId = OrgId::from_bytes([1; 16]);
    const NOW: Timestamp = Timestamp::from_millis(1_764_090_000_000);

    fn charge(model: u8, counts: Counts, rate: i64, service: Service) -> Charge {
        let price = Price::new(PerClass([rate, rate / 2, rate * 3, 0, 0, 7].map(Nano::new)), 500).unwrap();
        Charge {
            request: RequestId::from_bytes([2; 16]),
            project: ProjectId::from_bytes([3; 16]),
            key: KeyId::from_bytes([4; 16]),
            model: format!("m{model}").into(),
            cause: Cause::Finished,
            service,
            terms: Terms::of(PriceId::from_bytes([5; 16]), &price, service, counts),
        }
    }

    proptest! {
        /// However a chain is cut into statements: each begins where the one before ended, its parts come to the difference,
        /// and a model's classes and rounding to its lines.
        #[test]
        fn statements_of_a_chain_add_up(
            entries in prop::collection::vec((0_u8..4, 0_u64..5000, 0_i64..9_000_000), 1..60), cuts in 1_usize..20,
        ) {
            let (mut head, mut lines) = (Head::EMPTY, Vec::new());
            for (number, (kind, count, amount)) in entries.into_iter().enumerate() {
                let service = if number % 2 == 0 { Service::Standard } else { Service::Batch };
                let counts = Counts::tokens(count, count / 3, count / 7);
                let line = match kind {
                    0 => head.credit(ORG, NOW, CreditSource::Grant, &number.to_string(), Nano::new(amount)),
                    1 if head.number > 0 => head.correct(ORG, NOW, 1, None, Nano::new(amount - 5_000_000)),
                    _ => head.charge(ORG, NOW, charge(kind, counts, amount, service)),
                };
                head = line.as_ref().unwrap().head();
                lines.push(line.unwrap());
            }
            let mut opening = Head::EMPTY;
            for part in lines.chunks(cuts) {
                let mut statement = Statement::new(opening);
                part.iter().for_each(|line| statement.push(line).unwrap());
                prop_assert_eq!(statement.closing, part.last().unwrap().head());
                let sum = statement.charged() + statement.credited() + statement.corrected;
                let balances = (statement.opening.balance.get(), statement.closing.balance.get());
                prop_assert_eq!(i128::from(balances.0) + sum, i128::from(balances.1));
                for model in statement.models.values() {
                    let classes: i128 = model.classes().map(|(.., amount)| amount).sum();
                    prop_assert_eq!(classes + model.rounding(), model.amount);
                    // A line is at most half a billionth off, and so is a class.
                    let most = (model.requests + model.units.len() as u64) as i128;
                    prop_assert!(model.rounding().abs() <= most / 2 + 1);
                }
                prop_assert!(statement.push(&part[0]).is_err(), "a line counts once");
                opening = statement.closing;
            }
        }
    }

    #[test]
    fn of_many_credits_the_rest_is_one_sum() {
        let (mut head, mut statement) = (Head::EMPTY, Statement::new(Head::EMPTY));
        for number in 0..1003 {
            let line = head.credit(ORG, NOW, CreditSource::Code, &number.to_string(), Nano::new(2)).unwrap();
            head = line.head();
            statement.push(&line).unwrap();
        }
        assert_eq!((statement.credits.len(), statement.credited()), (1000, 2006));
        assert_eq!(statement.further.map(|further| (further.line, further.amount)), Some((1001, 6)));
    }
}
