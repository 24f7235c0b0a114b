//! Grammars that were compiled, so that the next request with the same one does not wait.

use std::collections::VecDeque;

/// Grammars that are kept, and at most for one salt: a tenant that sends ever new ones takes nobody else's place.
const MOST: usize = 64;
const MOST_OF_ONE: usize = 16;

/// Compiled grammars by salt and text, the latest used first.
#[derive(Debug)]
pub(super) struct Cache<T>(VecDeque<Entry<T>>);

#[derive(Debug)]
struct Entry<T> {
    salt: u64,
    key: String,
    value: T,
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Clone> Cache<T> {
    /// What is kept for this salt under this key.
    pub(super) fn get(&mut self, salt: u64, key: &str) -> Option<T> {
        let at = self.0.iter().position(|entry| entry.salt == salt && entry.key == key)?;
        let entry = self.0.remove(at)?;
        let value = entry.value.clone();
        self.0.push_front(entry);
        Some(value)
    }

    /// Keeps a value; the one that was not used for longest makes room.
    pub(super) fn put(&mut self, salt: u64, key: String, value: T) {
        self.0.retain(|entry| entry.salt != salt || entry.key != key);
        let own = self.0.iter().filter(|entry| entry.salt == salt).count();
        if own >= MOST_OF_ONE
            && let Some(oldest) = self.0.iter().rposition(|entry| entry.salt == salt)
        {
            self.0.remove(oldest);
        }
        self.0.truncate(MOST - 1);
        self.0.push_front(Entry { salt, key, value });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_salt_sees_its_own_and_loses_its_own() {
        let mut cache = Cache::default();
        cache.put(1, "a".into(), 'a');
        cache.put(2, "b".into(), 'b');
        assert_eq!((cache.get(1, "a"), cache.get(2, "a"), cache.get(1, "b")), (Some('a'), None, None));
        for number in 0..MOST_OF_ONE {
            cache.put(2, number.to_string(), 'n');
        }
        assert_eq!((cache.get(2, "b"), cache.get(1, "a")), (None, Some('a')));
        for salt in 3..200 {
            cache.put(salt, "x".into(), 'x');
        }
        assert_eq!((cache.get(1, "a"), cache.0.len()), (None, MOST));
    }

    #[test]
    fn what_was_used_last_stays() {
        let mut cache = Cache::default();
        for number in 0..MOST_OF_ONE {
            cache.put(1, number.to_string(), number);
        }
        assert_eq!(cache.get(1, "0"), Some(0));
        cache.put(1, "new".into(), 99);
        assert_eq!((cache.get(1, "0"), cache.get(1, "1")), (Some(0), None));
    }
}
