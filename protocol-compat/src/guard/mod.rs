//! The bounded check of a request's bytes that stands before every decode.

pub mod shape;
