//! The node: sockets, tasks, clock, configuration and wiring. The only crate that waits.
