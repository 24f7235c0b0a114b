//! Amounts of money as integers.

use std::{fmt, iter::Sum};

use thiserror::Error;

/// Billionths of the installation's one currency. Enough for nine billion units; what goes beyond is an error, never a
/// wrapped number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nano(i64);

/// An amount that [`Nano`] cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the amount is beyond nine billion units of the currency")]
pub struct AmountOverflow;

/// A text that is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an amount is a decimal number with at most nine digits behind the point, such as `12.50`")]
pub struct InvalidAmount;

impl Nano {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The most that there can be.
    pub const MAX: Self = Self(i64::MAX);

    /// Billionths in one unit of the currency.
    pub const PER_UNIT: i64 = 1_000_000_000;

    /// From billionths.
    pub const fn new(billionths: i64) -> Self {
        Self(billionths)
    }

    /// In billionths.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The sum, if there is one.
    pub fn plus(self, other: Self) -> Result<Self, AmountOverflow> {
        self.0.checked_add(other.0).map(Self).ok_or(AmountOverflow)
    }

    /// The difference, if there is one.
    pub fn minus(self, other: Self) -> Result<Self, AmountOverflow> {
        self.0.checked_sub(other.0).map(Self).ok_or(AmountOverflow)
    }

    /// The same amount the other way.
    pub fn negated(self) -> Result<Self, AmountOverflow> {
        self.0.checked_neg().map(Self).ok_or(AmountOverflow)
    }

    /// Whether it is less than nothing.
    pub fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Reads a decimal number of units: a sign at most, digits, and a point with one to nine digits behind it.
    pub fn parse(text: &str) -> Result<Self, InvalidAmount> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return Err(InvalidAmount),
            Some(parts) => parts,
            None => (digits, ""),
        };
        let numeric = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || fraction.len() > 9 || !numeric(whole) || !numeric(fraction) {
            return Err(InvalidAmount);
        }
        let billionths: i128 = format!("{whole}{fraction:0<9}").parse().map_err(|_| InvalidAmount)?;
        i64::try_from(if negative { -billionths } else { billionths }).map(Self).map_err(|_| InvalidAmount)
    }
}

impl fmt::Display for Nano {
    /// Units of the currency, exact, with no needless zeros: `0.0000125`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, unit) = (self.0.unsigned_abs(), Self::PER_UNIT.unsigned_abs());
        let sign = if self.0 < 0 { "-" } else { "" };
        let fraction = format!("{:09}", size % unit);
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{sign}{}", size / unit),
            fraction => write!(f, "{sign}{}.{fraction}", size / unit),
        }
    }
}

/// Sums that only have to be shown; they stop at the ends of the range.
impl Sum for Nano {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        let sum: i128 = amounts.map(|amount| i128::from(amount.0)).sum();
        Self(i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_written_exactly() {
        let check = |billionths, text| assert_eq!(Nano(billionths).to_string(), text);
        check(0, "0");
        check(1, "0.000000001");
        check(-12_500_000_000, "-12.5");
        check(i64::MIN, "-9223372036.854775808");
    }

    #[test]
    fn texts_that_are_no_amount_are_refused() {
        for text in ["", "-", ".", "1.", ".5", "+1", "1e3", "0.0000000001", "1 ", "--1", "9223372037", "١", "1,5"] {
            assert_eq!(Nano::parse(text), Err(InvalidAmount), "{text}");
        }
        assert_eq!(Nano::parse("0012.50"), Ok(Nano(12_500_000_000)));
    }

    #[test]
    fn overflow_is_an_error() {
        assert_eq!(Nano::MAX.plus(Nano(1)), Err(AmountOverflow));
        assert_eq!(Nano(i64::MIN).minus(Nano(1)), Err(AmountOverflow));
        assert_eq!(Nano(i64::MIN).negated(), Err(AmountOverflow));
    }

    proptest! {
        #[test]
        fn the_text_reads_back(billionths: i64) {
            prop_assert_eq!(Nano::parse(&Nano(billionths).to_string()), Ok(Nano(billionths)));
        }
    }
}
