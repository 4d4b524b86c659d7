//! The command line: what a person types, what the node says, and the exit code.
//!
//! Starts the runtime and stops it again. What is started is `server`'s; what the keys mean is `config`'s.

mod args;
mod exit;
mod logging;
mod signals;

use std::process::ExitCode;
use std::sync::Arc;

use tracing::{error, info};

pub use self::args::Args;
use self::args::{Bench, Command};
use self::exit::exit_code;
use crate::bench::{self, LimitsArgs, LoadArgs};
use crate::config::{ConfigSources, NodeConfig, read_settings};
use crate::disk_stalls::{DiskStalls, NodeRuntime};
use crate::server::{Server, StartError};

/// Does what was typed: runs a node until it is told to stop, or measures the machine or a broker.
pub fn run(args: Args) -> ExitCode {
    match &args.command {
        None => run_node(&args),
        Some(Command::Bench(Bench::Limits(limits))) => measure_limits(limits),
        Some(Command::Bench(Bench::Load(load))) => load_broker(load),
    }
}

fn measure_limits(args: &LimitsArgs) -> ExitCode {
    match bench::limits(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cauce: {error}");
            exit::of_bench(&error)
        }
    }
}

fn load_broker(args: &LoadArgs) -> ExitCode {
    match bench::load(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("cauce: not every request was answered without error: see the faults");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("cauce: {error}");
            exit::of_load(&error)
        }
    }
}

fn run_node(args: &Args) -> ExitCode {
    let (config, reports) = match configure(args) {
        Ok(configured) => configured,
        Err(error) => return fail(&error),
    };
    logging::start(args.log_level.as_deref(), args.log_format);
    abort_on_panic();
    for report in reports {
        info!("{report}");
    }
    match NodeRuntime::start(&config.directories()) {
        Ok(runtime) => runtime.block_on(serve(config, runtime.disk_stalls().clone())),
        Err(cause) => fail(&StartError::Runtime(cause)),
    }
}

fn configure(args: &Args) -> Result<(NodeConfig, Vec<String>), StartError> {
    let sources = ConfigSources {
        environment: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        file: args.file.clone(),
        overrides: args.overrides.clone(),
    };
    let (settings, mut reports) = read_settings(&sources)?;
    reports.extend(settings.without_effect());
    let config = NodeConfig::new(settings, std::env::var("CLUSTER_ID").ok())?;
    Ok((config, reports))
}

async fn serve(config: NodeConfig, disk_stalls: Arc<DiskStalls>) -> ExitCode {
    // Asked for before the start, so that a signal during the start is not lost.
    let mut stop = match signals::StopSignals::listen() {
        Ok(stop) => stop,
        Err(cause) => return fail(&StartError::Runtime(cause)),
    };
    let mut server = match Server::start(config, disk_stalls).await {
        Ok(server) => server,
        Err(error) => return fail(&error),
    };
    println!("{}", server.greeting());
    let failure = tokio::select! {
        signal = stop.received() => {
            info!(signal, "stopping");
            None
        }
        failure = server.failed() => Some(failure),
    };
    server.stop().await;
    match failure {
        None => ExitCode::SUCCESS,
        Some(reason) => fail(&StartError::Stopped(reason)),
    }
}

/// One sentence for a person, on the standard error.
fn fail(error: &StartError) -> ExitCode {
    eprintln!("cauce: {error}");
    exit_code(error)
}

/// A panic is a broken invariant: nothing goes on after it (rule P1).
fn abort_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        error!("a broken invariant stops the process: {panic}");
        report(panic);
        std::process::abort();
    }));
}
