//! Checks a chain from its first line.

use std::collections::HashMap;

use thiserror::Error;

use super::{Entry, Head, InvalidLine, Line, LineHash};
use crate::OrgId;

/// The first thing that is wrong with a chain.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {number} of the ledger of {org}: {what}")]
pub struct Fault {
    /// Whose chain.
    pub org: OrgId,
    /// Which line, counted from 1.
    pub number: u64,
    /// What is wrong.
    pub what: FaultKind,
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FaultKind {
    /// It is no line.
    #[error(transparent)]
    Invalid(#[from] InvalidLine),
    /// It belongs elsewhere.
    #[error("it is of another organisation")]
    OtherOrganisation,
    /// One is missing, or there twice.
    #[error("its number is {found}")]
    Number {
        /// The number it has.
        found: u64,
    },
    /// The line before is not the one that was there when this one was written.
    #[error("it follows a line with the hash {found}, but the line before it has {expected}")]
    Chain {
        /// The hash of the line before.
        expected: LineHash,
        /// What this one says of it.
        found: LineHash,
    },
    /// The amount is not what the terms cost.
    #[error("its terms do not give its amount")]
    Amount,
    /// The balance is not the one before and the amount.
    #[error("its balance is not the sum of the amounts so far")]
    Balance,
    /// It corrects a line that is not before it.
    #[error("it corrects line {corrects}, which is not before it")]
    Corrects {
        /// The line it names.
        corrects: u64,
    },
}

/// Checks the lines of one organisation, oldest first: form, numbers, hashes, amounts and balances. Returns the end of the
/// chain; who kept an earlier end, from a statement, sees from it whether lines were cut off.
pub fn verify<'a>(org: OrgId, lines: impl IntoIterator<Item = &'a str>) -> Result<Head, Fault> {
    let mut head = Head::EMPTY;
    let mut net = HashMap::new();
    for text in lines {
        let number = head.number + 1;
        head = check(org, text, head, &mut net).map_err(|what| Fault { org, number, what })?;
    }
    Ok(head)
}

/// `net` holds what each line and its corrections add to the balance so far.
fn check(org: OrgId, text: &str, head: Head, net: &mut HashMap<u64, i128>) -> Result<Head, FaultKind> {
    let line = Line::parse(text)?;
    if line.org != org {
        return Err(FaultKind::OtherOrganisation);
    }
    if line.number != head.number + 1 {
        return Err(FaultKind::Number { found: line.number });
    }
    if line.previous != head.hash {
        return Err(FaultKind::Chain { expected: head.hash, found: line.previous });
    }
    let amount = i128::from(line.amount.get());
    let due = |terms: &super::Terms| terms.cost().map(|cost| -i128::from(cost.get())).map_err(|_| FaultKind::Amount);
    match &line.entry {
        Entry::Charge(charge) => {
            if due(&charge.terms)? != amount {
                return Err(FaultKind::Amount);
            }
            net.insert(line.number, amount);
        }
        Entry::Credit { .. } => {
            net.insert(line.number, amount);
        }
        Entry::Correction { corrects, terms } => {
            let corrects = *corrects;
            let sum = net.get_mut(&corrects).ok_or(FaultKind::Corrects { corrects })?;
            *sum += amount;
            if let Some(terms) = terms
                && due(terms)? != *sum
            {
                return Err(FaultKind::Amount);
            }
        }
    }
    if head.balance.plus(line.amount) != Ok(line.balance) {
        return Err(FaultKind::Balance);
    }
    Ok(line.head())
}

#[cfg(test)]
mod tests;
