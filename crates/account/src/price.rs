//! What a model costs, and what a request cost.

use thiserror::Error;

use crate::{AmountOverflow, Nano, PriceId, Timestamp};

/// Prices are for so many units.
pub const UNITS_OF_A_PRICE: u128 = 1_000_000;

/// Shares are in thousandths.
const WHOLE: u16 = 1000;

/// What is counted and priced. The classes never overlap: a prompt is `Input` plus `CachedInput`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Tokens of the prompt that were computed.
    Input,
    /// Tokens of the prompt that a prefix cache held.
    CachedInput,
    /// Tokens that were generated.
    Output,
    /// Seconds of sound.
    Seconds,
    /// Pictures.
    Images,
    /// Requests.
    Requests,
}

impl Class {
    /// All, in the order of their numbers, in which they stand in rows and ledger lines.
    pub const ALL: [Self; 6] =
        [Self::Input, Self::CachedInput, Self::Output, Self::Seconds, Self::Images, Self::Requests];

    /// The name in JSON, rows and ledger lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::CachedInput => "cached_input",
            Self::Output => "output",
            Self::Seconds => "seconds",
            Self::Images => "images",
            Self::Requests => "requests",
        }
    }
}

/// A number for each class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct PerClass<T>(pub [T; Class::ALL.len()]);

/// What a request used.
pub type Counts = PerClass<u64>;

/// What a million units cost. No rate is negative: [`Price::new`] sees to it.
pub type Rates = PerClass<Nano>;

impl<T: Copy> PerClass<T> {
    /// Of one class.
    pub fn of(&self, class: Class) -> T {
        self.0[class as usize]
    }

    /// With another number for one class.
    #[must_use]
    pub fn with(mut self, class: Class, number: T) -> Self {
        self.0[class as usize] = number;
        self
    }

    /// Each class with its number.
    pub fn iter(&self) -> impl Iterator<Item = (Class, T)> + '_ {
        Class::ALL.into_iter().zip(self.0)
    }
}

impl Counts {
    /// The counts of a request for generated text; `cached` of the prompt's tokens came from the cache.
    pub fn tokens(prompt: u64, cached: u64, output: u64) -> Self {
        let cached = cached.min(prompt);
        Self([prompt - cached, cached, output, 0, 0, 1])
    }

    /// Tokens of the prompt, cached ones included.
    pub fn prompt_tokens(&self) -> u64 {
        self.of(Class::Input).saturating_add(self.of(Class::CachedInput))
    }

    /// The sum of both, class by class; sums stop at the end of the range, which no counter reaches.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let mut sum = *self;
        for (mine, more) in sum.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_add(more);
        }
        sum
    }
}

/// How urgent a request is, where the price depends on that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Service {
    /// Answered at once.
    #[default]
    Standard,
    /// Part of a batch that may wait.
    Batch,
}

impl Service {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Standard, Self::Batch];

    /// The name in JSON, rows and ledger lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Batch => "batch",
        }
    }
}

/// The terms of a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    rates: Rates,
    batch_share: u16,
}

/// Terms that are no price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidPrice {
    /// A caller would be paid for using it.
    #[error("the price of {} is negative", class.as_str())]
    Negative {
        /// Of what.
        class: Class,
    },
    /// Not a share.
    #[error("a batch pays {found} thousandths of the price, but 1000 is all of it")]
    BatchShare {
        /// Thousandths.
        found: u16,
    },
}

impl Price {
    /// An explicit zero.
    pub const FREE: Self = Self { rates: PerClass([Nano::ZERO; 6]), batch_share: WHOLE };

    /// Rates, and the thousandths of them that a batch pays.
    pub fn new(rates: Rates, batch_share: u16) -> Result<Self, InvalidPrice> {
        if let Some((class, _)) = rates.iter().find(|(_, rate)| rate.is_negative()) {
            return Err(InvalidPrice::Negative { class });
        }
        if batch_share > WHOLE {
            return Err(InvalidPrice::BatchShare { found: batch_share });
        }
        Ok(Self { rates, batch_share })
    }

    /// What a million units of each class cost.
    pub fn rates(&self) -> &Rates {
        &self.rates
    }

    /// Thousandths of the rates that a batch pays.
    pub fn batch_share(&self) -> u16 {
        self.batch_share
    }

    /// Thousandths of the rates that `service` pays.
    pub fn share(&self, service: Service) -> u16 {
        match service {
            Service::Standard => WHOLE,
            Service::Batch => self.batch_share,
        }
    }

    /// What `counts` cost: `Σ count · rate · share / 10⁹`, summed exactly and rounded once, halves to even.
    pub fn cost(&self, counts: &Counts, service: Service) -> Result<Nano, AmountOverflow> {
        cost(counts, &self.rates, self.share(service))
    }

    /// The most that `fixed` and so much output can cost, however much of the prompt turns out to be cached.
    pub fn bound(&self, fixed: &Counts, output: u64, service: Service) -> Result<Nano, AmountOverflow> {
        let input = self.rates.of(Class::Input).max(self.rates.of(Class::CachedInput));
        let most =
            fixed.with(Class::Input, fixed.prompt_tokens()).with(Class::CachedInput, 0).with(Class::Output, output);
        cost(&most, &self.rates.with(Class::Input, input), self.share(service))
    }
}

pub(crate) fn cost(counts: &Counts, rates: &Rates, share: u16) -> Result<Nano, AmountOverflow> {
    let mut sum: u128 = 0;
    for (class, count) in counts.iter() {
        let rate = u128::from(rates.of(class).get().unsigned_abs());
        sum = sum.checked_add(u128::from(count) * rate).ok_or(AmountOverflow)?;
    }
    let scaled = sum.checked_mul(u128::from(share)).ok_or(AmountOverflow)?;
    i64::try_from(rounded(scaled)).map(Nano::new).map_err(|_| AmountOverflow)
}

/// Billionths from units times rates times thousandths.
pub(crate) fn rounded(scaled: u128) -> u128 {
    divide_half_even(scaled, UNITS_OF_A_PRICE * u128::from(WHOLE))
}

/// `dividend / divisor`, rounded to the nearest; of two equally near, the even one.
fn divide_half_even(dividend: u128, divisor: u128) -> u128 {
    let (quotient, rest) = (dividend / divisor, dividend % divisor);
    let up = match rest.cmp(&(divisor - rest)) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => quotient % 2 == 1,
        std::cmp::Ordering::Greater => true,
    };
    quotient + u128::from(up)
}

/// A price and when it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceVersion {
    /// Its name in usage rows and ledger lines.
    pub id: PriceId,
    /// The first moment at which it holds, until a later version does.
    pub from: Timestamp,
    /// The terms.
    pub price: Price,
}

/// The versions of one model's price.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PriceHistory(Vec<PriceVersion>);

/// A model that nobody has set a price for; free would be an explicit zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the model has no price at this time; whoever runs this installation sets one, and zero is one too")]
pub struct NotPriced;

impl PriceHistory {
    /// From versions in any order. Of two with one date the one that comes later in `versions` holds.
    pub fn new(mut versions: Vec<PriceVersion>) -> Self {
        versions.sort_by_key(|version| version.from);
        Self(versions)
    }

    /// All versions, oldest first.
    pub fn versions(&self) -> impl Iterator<Item = &PriceVersion> {
        self.0.iter()
    }

    /// The version that holds at a moment; for a request, that of its admission.
    pub fn at(&self, moment: Timestamp) -> Result<&PriceVersion, NotPriced> {
        let after = self.0.partition_point(|version| version.from <= moment);
        after.checked_sub(1).map(|at| &self.0[at]).ok_or(NotPriced)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn price(input: i64, cached: i64, output: i64) -> Price {
        Price::new(PerClass([input, cached, output, 0, 0, 0].map(Nano::new)), 500).unwrap()
    }

    fn check(price: Price, counts: Counts, service: Service, expect: i64) {
        assert_eq!(price.cost(&counts, service), Ok(Nano::new(expect)));
    }

    #[test]
    fn each_class_has_its_own_rate_and_none_counts_twice() {
        let price = price(3_000_000, 300_000, 15_000_000);
        check(price, Counts::tokens(100, 40, 10), Service::Standard, 60 * 3 + 12 + 150);
        check(price, Counts::tokens(100, 40, 10), Service::Batch, 171);
        let all = Price::new(PerClass([1, 2, 4, 8, 16, 32].map(|rate| Nano::new(rate * 1_000_000))), 1000).unwrap();
        check(all, PerClass([1, 1, 1, 1, 1, 1]), Service::Standard, 63);
    }

    #[test]
    fn the_sum_is_rounded_once_and_halves_go_to_even() {
        check(price(500_000, 0, 0), Counts::tokens(1, 0, 0), Service::Standard, 0);
        check(price(500_000, 0, 0), Counts::tokens(3, 0, 0), Service::Standard, 2);
        check(price(500_000, 0, 0), Counts::tokens(5, 0, 0), Service::Standard, 2);
        // Rounded class by class this would be nothing.
        check(price(400_000, 400_000, 400_000), Counts::tokens(2, 1, 1), Service::Standard, 1);
    }

    #[test]
    fn overflow_is_an_error_and_free_is_free() {
        let dear = Price::new(PerClass([Nano::MAX; 6]), 1000).unwrap();
        assert_eq!(dear.cost(&PerClass([u64::MAX; 6]), Service::Standard), Err(AmountOverflow));
        assert_eq!(dear.cost(&Counts::tokens(2_000_000, 0, 0), Service::Standard), Err(AmountOverflow));
        check(Price::FREE, PerClass([u64::MAX; 6]), Service::Standard, 0);
    }

    #[test]
    fn terms_that_are_no_price_are_refused() {
        let negative = Rates::default().with(Class::Output, Nano::new(-1));
        assert_eq!(Price::new(negative, 1000), Err(InvalidPrice::Negative { class: Class::Output }));
        assert_eq!(Price::new(Rates::default(), 1001), Err(InvalidPrice::BatchShare { found: 1001 }));
    }

    #[test]
    fn the_version_of_the_moment_holds() {
        let version = |id, from| PriceVersion {
            id: PriceId::from_bytes([id; 16]),
            from: Timestamp::from_millis(from),
            price: Price::FREE,
        };
        let history = PriceHistory::new(vec![version(2, 200), version(1, 100), version(3, 200)]);
        let at = |moment| history.at(Timestamp::from_millis(moment)).map(|version| version.id.as_bytes()[0]);
        assert_eq!([at(99), at(100), at(199), at(200), at(900)], [Err(NotPriced), Ok(1), Ok(1), Ok(3), Ok(3)]);
        assert_eq!(PriceHistory::default().at(Timestamp::from_millis(0)), Err(NotPriced));
    }

    proptest! {
        /// Against rational arithmetic that a reader can check: the cost is never further than a half away, and the
        /// bound holds for every split of the prompt.
        #[test]
        fn cost_is_the_nearest_integer_and_below_its_bound(
            rates in prop::array::uniform3(0_i64..1 << 40), prompt in 0_u64..1 << 20, cached in 0_u64..1 << 20,
            output in 0_u64..1 << 20, batch: bool,
        ) {
            let price = price(rates[0], rates[1], rates[2]);
            let service = if batch { Service::Batch } else { Service::Standard };
            let counts = Counts::tokens(prompt, cached, output);
            let share = if batch { 500 } else { 1000 };
            let exact = [counts.of(Class::Input), counts.of(Class::CachedInput), output].into_iter().zip(rates);
            let exact: i128 = exact.map(|(count, rate)| i128::from(count) * i128::from(rate) * share).sum();
            let cost = price.cost(&counts, service).unwrap();
            let error = (exact - i128::from(cost.get()) * 1_000_000_000).abs();
            prop_assert!(error <= 500_000_000);
            prop_assert!(cost <= price.bound(&Counts::tokens(prompt, 0, 0), output, service).unwrap());
        }
    }
}
