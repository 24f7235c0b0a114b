//! When budgets and balances are told of: as they pass a share of what is allowed, or fall below an amount.

use crate::Nano;

/// What was spent of what is allowed, in billionths of the currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetState {
    /// Charges so far.
    pub spent: i128,
    /// The limit.
    pub allowed: i128,
}

/// Those of `percents` that a budget passes as it goes from `before` to `after`. Where there was no limit before, nothing was
/// passed.
///
/// All of it counts as spent once less than `step` is left, the price of one more token: what is left then buys nothing, so that
/// a budget seldom comes to exactly all. A budget of zero is not told of: nothing of it is ever spent.
pub fn passed(
    percents: impl IntoIterator<Item = u8>,
    before: Option<BudgetState>,
    after: BudgetState,
    step: Nano,
) -> Vec<u8> {
    let reached = |budget: BudgetState, percent: u8| {
        let all = percent >= 100 && budget.allowed - budget.spent < i128::from(step.get()).max(1);
        budget.allowed > 0 && (all || budget.spent * 100 >= i128::from(percent) * budget.allowed)
    };
    let is_new = |percent: &u8| reached(after, *percent) && !before.is_some_and(|before| reached(before, *percent));
    percents.into_iter().filter(is_new).collect()
}

/// Whether a balance falls below `amount` as it goes from `before` to `after`.
pub fn falls_below(amount: Nano, before: Nano, after: Nano) -> bool {
    after < amount && amount <= before
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn budget(spent: i128, allowed: i128) -> BudgetState {
        BudgetState { spent, allowed }
    }

    #[test]
    fn a_share_is_passed_when_it_is_reached_and_not_before() {
        for (before, after, step, expect) in [
            (Some(budget(0, 100)), budget(49, 100), 1, &[][..]),
            (Some(budget(49, 100)), budget(50, 100), 1, &[50]),
            (Some(budget(50, 100)), budget(79, 100), 1, &[]),
            (Some(budget(0, 100)), budget(100, 100), 1, &[50, 80, 100]),
            (Some(budget(0, 3)), budget(2, 3), 0, &[50]),
            // What is left buys no token more.
            (Some(budget(80, 100)), budget(95, 100), 5, &[]),
            (Some(budget(80, 100)), budget(96, 100), 5, &[100]),
            (Some(budget(96, 100)), budget(100, 100), 5, &[]),
            // A limit that is new, lowered, raised, or zero.
            (None, budget(80, 100), 1, &[50, 80]),
            (Some(budget(80, 200)), budget(80, 90), 1, &[50, 80]),
            (Some(budget(100, 100)), budget(100, 150), 1, &[]),
            (Some(budget(100, 100)), budget(100, 1000), 1, &[]),
            (None, budget(0, 0), 1, &[]),
            (
                Some(budget(0, i128::from(i64::MAX))),
                budget(i128::from(i64::MAX), i128::from(i64::MAX)),
                1,
                &[50, 80, 100],
            ),
        ] {
            assert_eq!(passed([50, 80, 100], before, after, Nano::new(step)), expect, "{before:?} {after:?}");
        }
    }

    #[test]
    fn a_balance_falls_below_an_amount_once() {
        let falls = |before, after| falls_below(Nano::new(10), Nano::new(before), Nano::new(after));
        assert!(falls(10, 9) && falls(100, -5));
        assert!(!falls(11, 10) && !falls(9, 8) && !falls(9, 10) && !falls(0, 100));
    }

    proptest! {
        /// However a budget is spent, in many pieces or at once, each share is passed once, and the same ones are.
        #[test]
        fn shares_do_not_depend_on_the_pieces(
            pieces in prop::collection::vec(0_i128..500, 0..40),
            allowed in 1_i128..5000,
            step in 0_i64..50,
            percents in prop::collection::btree_set(1_u8..=100, 0..6),
        ) {
            let mut spent = 0;
            let mut one_by_one = Vec::new();
            for piece in &pieces {
                let before = budget(spent, allowed);
                spent += piece;
                one_by_one.extend(passed(percents.iter().copied(), Some(before), budget(spent, allowed), Nano::new(step)));
            }
            let at_once = passed(percents.iter().copied(), Some(budget(0, allowed)), budget(spent, allowed), Nano::new(step));
            one_by_one.sort_unstable();
            prop_assert_eq!(one_by_one, at_once);
        }
    }
}
