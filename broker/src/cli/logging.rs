//! Where log lines go: the standard error, as text or JSON.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use super::args::LogFormat;

/// What is logged where nobody says otherwise. The consensus crate reports its own workings at INFO.
const DEFAULT_FILTER: &str = "info,openraft=error";

/// Starts logging. A filter that cannot be read is reported and replaced by the default.
pub(super) fn start(level: Option<&str>, format: LogFormat) {
    let wanted = level.unwrap_or(DEFAULT_FILTER);
    let filter = EnvFilter::try_new(wanted).unwrap_or_else(|cause| {
        eprintln!("cauce: log level \"{wanted}\" is not used: {cause}");
        EnvFilter::new(DEFAULT_FILTER)
    });
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => lines
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    if let Err(cause) = started {
        eprintln!("cauce: logging was started before: {cause}");
    }
}
