//! Memory in proportion to the bytes: what a reader holds at one time is measured and bounded.

/// Runs `read` and returns what it yields.
///
/// # Panics
/// If this thread held more than `limit_bytes` more than before at any time.
pub fn bounded<T>(limit_bytes: usize, read: impl FnOnce() -> T) -> T {
    let mut result = None;
    let held = allocation_counter::measure(|| result = Some(read()));
    assert!(
        held.bytes_max <= limit_bytes as u64,
        "{} bytes were held, {limit_bytes} are allowed",
        held.bytes_max
    );
    result.expect("it ran")
}
