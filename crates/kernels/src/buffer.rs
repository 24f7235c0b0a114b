//! Memory for packed weights: zeroed, aligned, never resized, in huge pages where the operating system gives them.
//!
//! Each step reads every weight once, so with pages of 4 KiB each read of a page begins with a walk through the page tables,
//! and in a virtual machine through the host's as well. In pages of 2 MiB a small model decodes up to 1.4 times as fast.
//! Its matrices are smaller than such a page, so buffers are cut from regions which are not.

use std::{
    alloc::{Layout, handle_alloc_error},
    ops::{Deref, DerefMut},
    ptr::NonNull,
    sync::{Arc, Mutex, PoisonError, Weak},
};

/// Bytes of a huge page, and what regions are aligned to.
const HUGE_PAGE: usize = 2 << 20;

/// Least bytes of a region. What is not used of its end is never touched, so it costs nothing.
const REGION: usize = 64 << 20;

/// What a buffer is aligned to: a cache line.
const LINE: usize = 64;

/// Where the next buffer is cut from. The region lives as long as its buffers do, and no longer.
static NEXT: Mutex<Next> = Mutex::new(Next { region: Weak::new(), used: 0 });

struct Next {
    region: Weak<Region>,
    /// Bytes of it that buffers have.
    used: usize,
}

/// Bytes that start on a cache line. They come zeroed from the operating system, so that each page is first touched, and
/// on machines with several memory nodes placed, by the thread that packs into it.
pub(crate) struct Buffer {
    start: NonNull<u8>,
    bytes: usize,
    /// Keeps the bytes mapped.
    _region: Option<Arc<Region>>,
}

// SAFETY: a `Buffer` is the only one that has its bytes, like a `Box<[u8]>`.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// `bytes` zero bytes. Aborts like `Vec` when memory is out.
    pub(crate) fn zeroed(bytes: usize) -> Self {
        if bytes == 0 {
            return Self { start: NonNull::<Line>::dangling().cast(), bytes, _region: None };
        }
        let mut next = NEXT.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |region: &Arc<Region>| region.bytes - next.used >= bytes;
        let region = next.region.upgrade().filter(fits).unwrap_or_else(|| {
            let region = Arc::new(Region::map(bytes.max(REGION)));
            *next = Next { region: Arc::downgrade(&region), used: 0 };
            region
        });
        // SAFETY: the region has that many bytes behind `used`, as was checked or asked for.
        let start = unsafe { region.start.add(next.used) };
        next.used += bytes.next_multiple_of(LINE).min(region.bytes - next.used);
        Self { start, bytes, _region: Some(region) }
    }
}

/// What a buffer without bytes points to.
#[repr(align(64))]
struct Line;
const _: () = assert!(align_of::<Line>() == LINE);

/// Memory from the operating system, from which buffers are cut that do not overlap.
struct Region {
    start: NonNull<u8>,
    bytes: usize,
    /// All that was mapped.
    mapping: (NonNull<u8>, usize),
}

// SAFETY: a region is a place; its bytes are reached through buffers only.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// At least `bytes` zero bytes, on a huge page's border.
    fn map(bytes: usize) -> Self {
        let bytes = bytes.checked_next_multiple_of(HUGE_PAGE).expect("a buffer is smaller than the address space");
        let mapping = (map(bytes + HUGE_PAGE), bytes + HUGE_PAGE);
        // SAFETY: the mapping is a huge page longer than what is wanted behind the offset.
        let start = unsafe { mapping.0.add(mapping.0.align_offset(HUGE_PAGE)) };
        advise(start, bytes);
        Self { start, bytes, mapping }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        unmap(self.mapping);
    }
}

#[cfg(not(miri))]
fn map(bytes: usize) -> NonNull<u8> {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
    let (access, kind) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
    // SAFETY: without an address of ours a new mapping replaces none.
    let start = unsafe { mmap_anonymous(std::ptr::null_mut(), bytes, access, kind) };
    let out_of_memory = || handle_alloc_error(Layout::from_size_align(bytes, LINE).unwrap_or(Layout::new::<Line>()));
    start.ok().and_then(|start| NonNull::new(start.cast())).unwrap_or_else(out_of_memory)
}

/// Asks for huge pages.
#[cfg(all(target_os = "linux", not(miri)))]
fn advise(start: NonNull<u8>, bytes: usize) {
    // SAFETY: the advice changes how the mapping's pages are found, not what is in them.
    let advised = unsafe { rustix::mm::madvise(start.as_ptr().cast(), bytes, rustix::mm::Advice::LinuxHugepage) };
    // A kernel that has none refuses; small pages do as well.
    let _ = advised;
}

#[cfg(any(not(target_os = "linux"), miri))]
fn advise(_start: NonNull<u8>, _bytes: usize) {}

#[cfg(not(miri))]
fn unmap((start, bytes): (NonNull<u8>, usize)) {
    // SAFETY: the mapping is the region's own, and with the last buffer the last reference into it is gone.
    let unmapped = unsafe { rustix::mm::munmap(start.as_ptr().cast(), bytes) };
    debug_assert!(unmapped.is_ok(), "a region of {bytes} bytes was not mapped as a whole");
}

/// The interpreter has no system calls; its allocator stands in.
#[cfg(miri)]
fn map(bytes: usize) -> NonNull<u8> {
    let layout = Layout::from_size_align(bytes, LINE).expect("tests are small");
    // SAFETY: the size is not zero.
    NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}

#[cfg(miri)]
fn unmap((start, bytes): (NonNull<u8>, usize)) {
    let layout = Layout::from_size_align(bytes, LINE).expect("as when it was mapped");
    // SAFETY: it came from `map` with this layout.
    unsafe { std::alloc::dealloc(start.as_ptr(), layout) }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: `start` points to `bytes` initialised bytes that no other buffer has (or dangles, aligned, when there are none).
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_zeroed_aligned_and_apart() {
        // More than a region has, so that some begin a new one.
        let sizes = [0, 1, 64, 100_000, 65, REGION - 1000, 30_000, REGION + 1];
        let sizes = &sizes[..if cfg!(miri) { 4 } else { sizes.len() }];
        let mut buffers: Vec<Buffer> = sizes.iter().map(|&bytes| Buffer::zeroed(bytes)).collect();
        for (mark, (buffer, &bytes)) in (1..).zip(buffers.iter_mut().zip(sizes)) {
            assert_eq!(buffer.len(), bytes);
            assert_eq!(buffer.as_ptr() as usize % LINE, 0);
            assert!(buffer.iter().all(|&byte| byte == 0));
            buffer.fill(mark);
        }
        for (mark, buffer) in (1..).zip(&buffers) {
            assert!(buffer.iter().all(|&byte| byte == mark));
        }
    }

    #[test]
    fn a_region_goes_with_its_last_buffer() {
        let first = Buffer::zeroed(REGION); // nobody else's fits in behind it
        let region = Arc::downgrade(first._region.as_ref().expect("it has bytes"));
        drop(first);
        assert_eq!(region.strong_count(), 0);
    }
}
