//! The house rules of this repository as tests: what `docs/architecture.md` promises and a reader of the tree can check.
//!
//! Every rule is a small detector over text plus a walk over the tree, and every detector is itself tested against a
//! sample that it must catch.

mod dependencies;
mod docs;
mod import_circles;
mod layering;
mod purity;
mod tidy;
mod tree;
