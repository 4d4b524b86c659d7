//! The `cauce` binary.

use std::process::ExitCode;

use broker::cli::{self, Args};
use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(Args::parse())
}
