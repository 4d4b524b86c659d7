//! `idle`: what connections cost that nobody uses, and whether others notice them.

use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use super::control::Control;
use super::error::LoadError;
use super::outcome::{IdleConnections, Outcome};
use super::plan::Plan;
use super::process::Usage;
use super::run::{Lane, Terms, allow_open_files, run};
use crate::bench::error::Doing;

/// An allocator gives pages back some time after they are free.
const SETTLES_IN: Duration = Duration::from_secs(2);

/// Opens the idle connections, runs the lanes beside them, and looks whether they are still open.
///
/// # Errors
/// If a connection can not be opened, and those of a run.
pub fn measure(plan: &Plan, lanes: Vec<Lane>, terms: &Terms) -> Result<Outcome, LoadError> {
    let count = plan.connections.unwrap_or(1);
    allow_open_files(count as usize + lanes.len() + 1)?;
    let resident = || -> Result<u64, LoadError> {
        let usage = plan.pid.map(Usage::of).transpose()?;
        Ok(usage.map_or(0, |usage| usage.resident_bytes))
    };
    let resident_bytes_before = resident()?;
    let began = Instant::now();
    let mut idle = Vec::with_capacity(count as usize);
    for _ in 0..count {
        idle.push(Control::connect(plan.address)?.into_stream());
    }
    let opened_in_s = began.elapsed().as_secs_f64();
    thread::sleep(SETTLES_IN);
    let resident_bytes_after = resident()?;
    let mut outcome = Outcome::from(run(lanes, terms)?);
    let closed = closed(&mut idle).doing("look at idle connections")?;
    for _ in 0..closed {
        let tally = &mut outcome.measured.tally;
        tally.broke("the broker closed an idle connection".to_owned());
    }
    outcome.idle = Some(IdleConnections {
        count,
        opened_in_s,
        resident_bytes_before,
        resident_bytes_after,
        bytes_each: resident_bytes_after.saturating_sub(resident_bytes_before) as f64 / f64::from(count),
        closed,
    });
    Ok(outcome)
}

/// An open connection on which nothing was sent has nothing to read.
fn closed(idle: &mut [TcpStream]) -> io::Result<u64> {
    let mut closed = 0;
    for stream in idle {
        stream.set_nonblocking(true)?;
        match stream.read(&mut [0]) {
            Err(cause) if cause.kind() == ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => closed += 1,
        }
    }
    Ok(closed)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn connections_that_the_other_end_closed_are_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut idle: Vec<TcpStream> = (0..3)
            .map(|_| TcpStream::connect(address).expect("connected"))
            .collect();
        let mut there: Vec<TcpStream> = (0..3).map(|_| listener.accept().expect("accepted").0).collect();
        drop(there.remove(1));
        // The end of the stream has arrived when it can be seen.
        assert_eq!(idle[1].peek(&mut [0]).expect("an end"), 0);
        assert_eq!(closed(&mut idle).expect("a count"), 1);
    }
}
