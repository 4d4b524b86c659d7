//! The bounded check of a request's bytes that stands before every decode.
//!
//! Protects the rule that bytes from a network never take more memory than they carry: the codec crate sizes its
//! vectors from counts on the wire, so that four bytes could ask for hundreds of gigabytes. The guard walks a message
//! by its [`Shape`], compares every length with what is left and every count with the smallest
//! element, and holds the memory of the decoded message to a budget. It allocates nothing. Frames are bounded per API
//! in [`frame`](crate::frame).

pub mod shape;
mod walk;

use crate::error::DecodeError;
use shape::Shape;
use walk::Walk;

/// Memory that any request may take decoded, however short it is. No request that a client sends in earnest and that is
/// short comes near it.
const FREE_BYTES: usize = 256 << 10;
/// Memory that a request may take for each of its bytes. The smallest elements of some requests take a hundred times
/// their bytes; what clients send (names, ids) takes two to five times.
const BYTES_PER_BYTE: usize = 16;

/// Most memory that the arrays and tagged fields of a body of so many bytes may take decoded.
pub const fn budget_bytes(body_bytes: usize) -> usize {
    FREE_BYTES.saturating_add(body_bytes.saturating_mul(BYTES_PER_BYTE))
}

/// Whether `body` begins with a message of this shape at `version` that decodes within its budget; the length of that
/// message. Bytes after it are ignored, as Kafka ignores them.
///
/// # Errors
/// On lengths and counts that the bytes do not back, on nulls where the version has none, on tagged fields that lie
/// about their length, and where the decoded message would be too large.
pub fn check(shape: &Shape, version: i16, body: &[u8]) -> Result<usize, DecodeError> {
    let budget_bytes = budget_bytes(body.len());
    let mut walk = Walk::new(body, version, version >= shape.first_flexible, budget_bytes);
    walk.fields_of(shape)?;
    Ok(body.len() - walk.left())
}
