//! Charges under a wrong price: what they should have come to, and the corrections that make up for it.

use super::{Charge, Terms};
use crate::{AmountOverflow, Nano, PriceId, PriceVersion};

/// Which charges were wrong, and the price that should have held.
#[derive(Debug, Clone)]
pub struct Rerating {
    /// The model's name.
    pub model: Box<str>,
    /// Only charges under this price version.
    pub wrong: Option<PriceId>,
    /// What should have held.
    pub right: PriceVersion,
}

/// How a charge stands before it is looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// What its line and all corrections of it so far add to the balance.
    pub net: Nano,
    /// Whether one of the corrections was agreed, and not computed from a price.
    pub agreed: bool,
}

/// What becomes of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rerated {
    /// It is of another model or under another price.
    Other,
    /// Somebody agreed on what it shall come to: it stays so.
    Agreed,
    /// It comes to what it should.
    Right,
    /// It is corrected.
    Wrong {
        /// What it should have been computed from.
        terms: Terms,
        /// What the correction adds to the balance.
        amount: Nano,
    },
}

impl Rerating {
    /// What becomes of a charge. Who follows it, and asks again, hears [`Rerated::Right`].
    pub fn of(&self, charge: &Charge, standing: Standing) -> Result<Rerated, AmountOverflow> {
        if charge.model != self.model || self.wrong.is_some_and(|wrong| charge.terms.price != wrong) {
            return Ok(Rerated::Other);
        }
        if standing.agreed {
            return Ok(Rerated::Agreed);
        }
        let terms = Terms::of(self.right.id, &self.right.price, charge.service, charge.terms.counts);
        let amount = terms.cost()?.negated()?.minus(standing.net)?;
        Ok(if amount == Nano::ZERO { Rerated::Right } else { Rerated::Wrong { terms, amount } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Cause, Counts, KeyId, OrgId, PerClass, Price, ProjectId, RequestId, Service, Timestamp,
        ledger::{Head, verify},
    };

    const WRONG: PriceId = PriceId::from_bytes([5; 16]);

    fn price(rate: i64) -> Price {
        Price::new(PerClass([rate, rate, rate * 2, 0, 0, 0].map(Nano::new)), 500).unwrap()
    }

    fn charge(service: Service) -> Charge {
        let counts = Counts::tokens(100, 0, 50);
        Charge {
            request: RequestId::from_bytes([2; 16]),
            project: ProjectId::from_bytes([3; 16]),
            key: KeyId::from_bytes([4; 16]),
            model: "m".into(),
            cause: Cause::Finished,
            service,
            terms: Terms::of(WRONG, &price(1_000_000), service, counts),
        }
    }

    fn rerating(rate: i64) -> Rerating {
        let right =
            PriceVersion { id: PriceId::from_bytes([6; 16]), from: Timestamp::from_millis(0), price: price(rate) };
        Rerating { model: "m".into(), wrong: Some(WRONG), right }
    }

    #[test]
    fn a_correction_makes_the_charge_right_and_the_chain_verifies() {
        let (org, now) = (OrgId::from_bytes([1; 16]), Timestamp::from_millis(0));
        for (service, difference) in [(Service::Standard, 100), (Service::Batch, 50)] {
            let line = Head::EMPTY.charge(org, now, charge(service)).unwrap();
            let standing = Standing { net: line.amount, agreed: false };
            let rerated = rerating(500_000).of(&charge(service), standing).unwrap();
            let Rerated::Wrong { terms, amount } = rerated else { panic!("{rerated:?}") };
            assert_eq!(amount, Nano::new(difference));
            let corrected = line.head().correct(org, now, 1, Some(terms), amount).unwrap();
            verify(org, [line.text().as_str(), corrected.text().as_str()]).unwrap();
            let after = Standing { net: line.amount.plus(amount).unwrap(), agreed: false };
            assert_eq!(rerating(500_000).of(&charge(service), after), Ok(Rerated::Right));
        }
    }

    #[test]
    fn what_is_another_or_agreed_stays() {
        let standing = Standing { net: Nano::new(-200), agreed: false };
        let mut other = rerating(1);
        other.model = "n".into();
        assert_eq!(other.of(&charge(Service::Standard), standing), Ok(Rerated::Other));
        let mut other = rerating(1);
        other.wrong = Some(PriceId::from_bytes([7; 16]));
        assert_eq!(other.of(&charge(Service::Standard), standing), Ok(Rerated::Other));
        let agreed = Standing { agreed: true, ..standing };
        assert_eq!(rerating(1).of(&charge(Service::Standard), agreed), Ok(Rerated::Agreed));
        assert_eq!(rerating(1_000_000).of(&charge(Service::Standard), standing), Ok(Rerated::Right));
    }
}
