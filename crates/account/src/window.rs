//! How much there was in the last minute.

use std::{collections::VecDeque, time::Duration};

use crate::Timestamp;

/// Time is divided into slots of one second.
const SLOT: Duration = Duration::from_secs(1);

/// A window is so many whole slots, beside the one that runs.
const SLOTS: i64 = 60;

/// A sliding window of one minute in bounded memory.
///
/// Counts are kept by slots of one second: those of the slot that runs and of the 60 before it. Any 60 seconds lie within
/// 61 neighbouring slots, so a limit that the sum of these never passes is never passed in *any* 60 seconds: there is no
/// border at which it could be had twice, as with counters that start anew each minute, and no burst beside the rate, as
/// with a token bucket. The price is that a count leaves 60 to 61 seconds after it came, and not to the millisecond.
///
/// A clock that goes back is held to stand still.
#[derive(Debug, Clone, Default)]
pub struct Window {
    /// Slots with something in them, oldest first: at most 61.
    slots: VecDeque<(i64, u64)>,
    sum: u64,
}

impl Window {
    /// What counts at `now`.
    pub fn sum(&mut self, now: Timestamp) -> u64 {
        let current = self.current(now);
        while let Some((slot, count)) = self.slots.front().copied().filter(|(slot, _)| current - slot > SLOTS) {
            debug_assert!(slot < current);
            self.slots.pop_front();
            self.sum -= count;
        }
        self.sum
    }

    /// Counts so many at `now`. What no counter can hold is not held.
    pub fn add(&mut self, count: u64, now: Timestamp) {
        let count = count.min(u64::MAX - self.sum(now));
        if count == 0 {
            return;
        }
        self.sum += count;
        let current = self.current(now);
        match self.slots.back_mut() {
            Some((slot, so_far)) if *slot == current => *so_far += count,
            _ => self.slots.push_back((current, count)),
        }
    }

    /// When at most `most` will count, if nothing is added.
    pub fn falls_to(&mut self, most: u64, now: Timestamp) -> Timestamp {
        let mut left = self.sum(now);
        let mut at = now;
        for (slot, count) in &self.slots {
            if left <= most {
                break;
            }
            left -= count;
            at = Timestamp::from_millis((slot + SLOTS + 1) * SLOT.as_millis() as i64);
        }
        at
    }

    fn current(&self, now: Timestamp) -> i64 {
        let slot = now.as_millis().div_euclid(SLOT.as_millis() as i64);
        self.slots.back().map_or(slot, |(last, _)| slot.max(*last))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_burst_at_the_end_of_a_minute_leaves_nothing_for_the_next() {
        let mut window = Window::default();
        window.add(100, at(59_999));
        assert_eq!(window.sum(at(60_000)), 100);
        assert_eq!(window.sum(at(119_999)), 100);
        assert_eq!(window.falls_to(99, at(60_000)), at(120_000));
        assert_eq!(window.sum(at(120_000)), 0);
    }

    #[test]
    fn a_clock_that_goes_back_forgets_nothing() {
        let mut window = Window::default();
        window.add(1, at(1_000_000));
        window.add(1, at(0));
        assert_eq!(window.sum(at(-5_000_000)), 2);
        assert_eq!(window.sum(at(1_060_999)), 2);
        assert_eq!(window.sum(at(1_061_000)), 0);
    }

    #[test]
    fn memory_is_bounded_and_counters_do_not_wrap() {
        let mut window = Window::default();
        for second in 0..10_000 {
            window.add(u64::MAX / 7, at(second * 1000));
        }
        assert!(window.slots.len() <= 61);
        assert_eq!(window.sum(at(9_999_000)), u64::MAX);
    }

    proptest! {
        /// Whatever comes, with a limit held by asking first: no 60 seconds have more, and who fits by the log that
        /// forgets nothing within 61 seconds is let in. `falls_to` names the first moment at which there is room.
        #[test]
        fn no_minute_has_more_than_the_limit_and_nobody_is_refused_for_longer_than_a_slot(
            steps in prop::collection::vec((0_i64..5000, 1_u64..40), 1..300), limit in 1_u64..100,
        ) {
            let (mut window, mut log, mut now) = (Window::default(), Vec::<(i64, u64)>::new(), 777);
            for (wait, count) in steps {
                now += wait;
                let within = |span: i64| log.iter().filter(|(then, _)| now - then < span).map(|(_, count)| count).sum::<u64>();
                let fits = window.sum(at(now)) + count <= limit;
                prop_assert!(!fits || within(60_000) + count <= limit, "admitted beyond the limit");
                prop_assert!(fits || within(61_000) + count > limit, "refused what fits");
                if fits {
                    window.add(count, at(now));
                    log.push((now, count));
                } else if count <= limit {
                    let free = window.falls_to(limit - count, at(now));
                    prop_assert!(free > at(now));
                    prop_assert!(window.clone().sum(free) + count <= limit);
                    prop_assert!(window.clone().sum(at(free.as_millis() - 1)) + count > limit);
                }
            }
        }
    }
}
