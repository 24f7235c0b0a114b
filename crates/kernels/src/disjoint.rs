//! One slice, written by many tasks that each own a part of it.

use std::{marker::PhantomData, ops::Range};

/// A mutable slice that tasks of a pool share, each writing elements that no other task touches.
pub(crate) struct Disjoint<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: the only access is `slice`, whose caller promises that no two uses overlap; so sharing a `Disjoint` between
// threads moves `&mut T`s to them and nothing more.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}
// SAFETY: it is a `&mut [T]`, which may be sent when `T` may.
unsafe impl<T: Send> Send for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    /// Takes the slice over; it comes back when the `Disjoint` is gone.
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// The first element, for parts that are not contiguous.
    pub(crate) fn as_mut_ptr(&self) -> *mut T {
        self.start
    }

    /// The elements in `range`. Panics when `range` is not inside the slice.
    ///
    /// # Safety
    /// While the returned slice lives, no other slice that overlaps it is alive.
    #[expect(clippy::mut_from_ref, reason = "the caller promises disjointness; that is what this type is for")]
    pub(crate) unsafe fn slice(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} lies outside of {} elements", self.len);
        // SAFETY: in bounds by the check above, of a slice borrowed for 'a; unaliased by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.end - range.start) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Level, Pool};

    #[test]
    fn tasks_write_their_parts() {
        let mut numbers = vec![0usize; 1000];
        let parts = Disjoint::new(&mut numbers);
        Pool::new(Level::Scalar, 3).run(10, &|task| {
            // SAFETY: task numbers differ, so the ranges do not overlap.
            for number in unsafe { parts.slice(task * 100..(task + 1) * 100) } {
                *number = task;
            }
        });
        assert!(numbers.iter().enumerate().all(|(i, &number)| number == i / 100));
    }

    #[test]
    #[should_panic(expected = "lies outside of 4 elements")]
    fn a_range_outside_is_refused() {
        let mut numbers = [0; 4];
        let parts = Disjoint::new(&mut numbers);
        // SAFETY: it is the only slice.
        let _ = unsafe { parts.slice(2..5) };
    }
}
