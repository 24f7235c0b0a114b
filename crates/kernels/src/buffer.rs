//! Memory for packed weights: zeroed, aligned, never resized.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error},
    ops::{Deref, DerefMut},
    ptr::NonNull,
};

/// Bytes that start on a cache line. They come zeroed from the operating system, so that each page is first touched, and
/// on machines with several memory nodes placed, by the thread that packs into it.
pub(crate) struct Buffer {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: a `Buffer` owns its bytes like a `Box<[u8]>`.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// `bytes` zero bytes. Aborts like `Vec` when memory is out.
    pub(crate) fn zeroed(bytes: usize) -> Self {
        let layout = Self::layout(bytes);
        if bytes == 0 {
            return Self { start: NonNull::<Line>::dangling().cast(), layout };
        }
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        Self { start, layout }
    }

    fn layout(bytes: usize) -> Layout {
        Layout::from_size_align(bytes, align_of::<Line>()).expect("a buffer is smaller than the address space")
    }
}

/// What a buffer is aligned to.
#[repr(align(64))]
struct Line;

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.layout.size() > 0 {
            // SAFETY: `start` came from `alloc_zeroed` with this layout.
            unsafe { dealloc(self.start.as_ptr(), self.layout) }
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: `start` points to `size` initialised bytes that this value owns (or dangles, aligned, when there are none).
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.layout.size()) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.layout.size()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_zeroed_and_aligned() {
        for bytes in [0, 1, 64, 1_000_000] {
            let mut buffer = Buffer::zeroed(bytes);
            assert_eq!(buffer.len(), bytes);
            assert_eq!(buffer.as_ptr() as usize % 64, 0);
            assert!(buffer.iter().all(|&byte| byte == 0));
            buffer.fill(1);
        }
    }
}
