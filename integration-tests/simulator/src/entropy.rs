//! The system's randomness, replaced by the seed's: hash maps, ids and the runtime's choices are the same in every run.
//!
//! The process has one seed, and this is its only source from the first instruction on. Where the seed is not known yet (the
//! standard library may ask before `main`), the row begins at the same place in every process.

use std::sync::atomic::{AtomicU64, Ordering};

static STATE: AtomicU64 = AtomicU64::new(0x0123_4567_89ab_cdef);

/// Begins the row that belongs to `seed`.
pub fn seed(seed: u64) {
    STATE.store(seed ^ 0x0123_4567_89ab_cdef, Ordering::Relaxed);
}

fn next() -> u64 {
    let before = STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    let mut mixed = before.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn fill(buffer: &mut [u8]) {
    for chunk in buffer.chunks_mut(8) {
        let bytes = next().to_le_bytes();
        chunk.copy_from_slice(&bytes[..chunk.len()]);
    }
}

/// What the C library calls `getrandom`: fills `length` bytes at `buffer` and returns how many.
///
/// # Safety
/// `buffer` points to `length` bytes that may be written, as for the system's.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    if !buffer.is_null() && length > 0 {
        // SAFETY: the caller promises `length` writable bytes.
        fill(unsafe { std::slice::from_raw_parts_mut(buffer, length) });
    }
    length as isize
}
