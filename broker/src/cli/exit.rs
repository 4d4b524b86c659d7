//! Exit codes, after `sysexits.h`: a script can tell a taken port from a wrong configuration.

use std::process::ExitCode;

use storage::log_dirs::OpenError;

use crate::bench::{BenchError, LoadError};
use crate::server::StartError;

/// What was typed makes no sense: the code that `clap` ends with.
const USAGE: u8 = 2;
/// The service cannot be given: a port is taken, a broker cannot be reached.
const UNAVAILABLE: u8 = 69;
/// A fault of this program or of what it runs on.
const SOFTWARE: u8 = 70;
/// The data directories cannot be read or written: no permission, full, broken.
const IO_ERROR: u8 = 74;
/// Something else holds what is needed; later it may work.
const TEMPORARY: u8 = 75;
/// The configuration is wrong, or the directory belongs to somebody else.
const CONFIG: u8 = 78;

/// The exit code of a failure.
pub(super) fn exit_code(error: &StartError) -> ExitCode {
    ExitCode::from(match error {
        StartError::Config(_) => CONFIG,
        StartError::PortInUse { .. } | StartError::Bind { .. } => UNAVAILABLE,
        StartError::LogDirs(error) => of_log_dirs(error),
        StartError::OffsetStore(_)
        | StartError::MetadataLog(_)
        | StartError::Quorum(_)
        | StartError::Stopped(_) => IO_ERROR,
        StartError::Registration(_)
        | StartError::Metrics(_)
        | StartError::Runtime(_)
        | StartError::Task(_) => SOFTWARE,
    })
}

fn of_log_dirs(error: &OpenError) -> u8 {
    match error {
        OpenError::InUse(_) => TEMPORARY,
        OpenError::NoDirectory
        | OpenError::Foreign { .. }
        | OpenError::SameId { .. }
        | OpenError::Unowned(_)
        | OpenError::PartitionTwice { .. }
        | OpenError::MetaProperties(_) => CONFIG,
        OpenError::AllFailed(_) => IO_ERROR,
    }
}

/// The exit code of a load that gave no figures.
pub(super) fn of_load(error: &LoadError) -> ExitCode {
    match error {
        LoadError::Refused(_) => ExitCode::from(USAGE),
        LoadError::Connection { .. }
        | LoadError::Malformed { .. }
        | LoadError::Version { .. }
        | LoadError::Answered { .. } => ExitCode::from(UNAVAILABLE),
        LoadError::Probe(error) => of_bench(error),
    }
}

/// The exit code of a probe that gave no figures.
pub(super) fn of_bench(error: &BenchError) -> ExitCode {
    ExitCode::from(match error {
        BenchError::Busy { .. } => TEMPORARY,
        BenchError::Io { .. } => IO_ERROR,
        BenchError::Damaged { .. } | BenchError::Thread => SOFTWARE,
    })
}
