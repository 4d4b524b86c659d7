//! Why an append or a send took long, as far as that is certain.
//!
//! A cause took at least half of the stall. What a thread did is known for an interval that begins some time before the
//! stall, so that all of that time is taken off first: what is left happened within the stall, whatever the thread did
//! before it.

use std::time::Duration;

use storage::log::AppendStall;

use super::SendStall;

/// What made an append or a send take long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The thread was ready to run, and others had the processors.
    Processor,
    /// The thread ran all the while: much to check or to copy, memory touched for the first time, or a virtual machine that was
    /// not given its processor, which looks the same from within.
    Running,
    /// The thread slept inside the kernel: too many dirty pages, the journal, the disk.
    WriteBack,
    /// Another thread wrote to the same log.
    Lock,
    /// A segment or the partition's directory was made.
    Roll,
    /// The socket was full: the peer had not taken what was sent before.
    Peer,
    /// None of these is certain.
    Unknown,
}

impl Cause {
    /// In the order of their numbers.
    pub(super) const ALL: [Cause; 7] = [
        Cause::Processor,
        Cause::Running,
        Cause::WriteBack,
        Cause::Lock,
        Cause::Roll,
        Cause::Peer,
        Cause::Unknown,
    ];

    /// The label under which it is counted.
    pub fn label(self) -> &'static str {
        match self {
            Cause::Processor => "processor",
            Cause::Running => "running",
            Cause::WriteBack => "write_back",
            Cause::Lock => "lock",
            Cause::Roll => "roll",
            Cause::Peer => "peer",
            Cause::Unknown => "unknown",
        }
    }
}

/// What a thread did until the end of a stall, from some time before its beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval {
    pub(super) length: Duration,
    /// It had a processor.
    pub(super) ran: Duration,
    /// It could have run, and had none.
    pub(super) was_ready: Duration,
}

impl Interval {
    /// What the thread certainly did for at least half of the last `stall`. Of what it slept, `explained` had another reason.
    fn cause(&self, stall: Duration, explained: Duration) -> Cause {
        let before = self.length.saturating_sub(stall);
        let is_most = |least: Duration| least.saturating_mul(2) >= stall;
        let slept = stall
            .saturating_sub(self.ran)
            .saturating_sub(self.was_ready)
            .saturating_sub(explained);
        if is_most(self.was_ready.saturating_sub(before)) {
            Cause::Processor
        } else if is_most(self.ran.saturating_sub(before)) {
            Cause::Running
        } else if is_most(slept) {
            Cause::WriteBack
        } else {
            Cause::Unknown
        }
    }
}

/// Looks at the thread only where the log does not know the cause.
pub(super) fn of_append(stall: &AppendStall<'_>, look: impl FnOnce() -> Option<Interval>) -> Cause {
    let is_most = |part: Duration| part.saturating_mul(2) >= stall.took;
    if is_most(stall.waited_for_log) {
        return Cause::Lock;
    }
    if is_most(stall.made_files) {
        return Cause::Roll;
    }
    look().map_or(Cause::Unknown, |interval| {
        interval.cause(stall.took, stall.waited_for_log + stall.made_files)
    })
}

/// Looks at the thread only where the socket took all at once. A thread does not sleep for that.
pub(super) fn of_send(stall: &SendStall, look: impl FnOnce() -> Option<Interval>) -> Cause {
    if stall.waited_for_peer {
        return Cause::Peer;
    }
    look().map_or(Cause::Unknown, |interval| {
        interval.cause(stall.took, Duration::MAX)
    })
}

#[cfg(test)]
mod tests {
    use protocol_compat::TopicPartition;

    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn interval(length: u64, ran: u64, was_ready: u64) -> Interval {
        Interval {
            length: ms(length),
            ran: ms(ran),
            was_ready: ms(was_ready),
        }
    }

    fn append(waited_for_log: u64, made_files: u64, look: Option<Interval>) -> Cause {
        let stall = AppendStall {
            topic_partition: &TopicPartition::new("orders", 0),
            bytes: 100,
            took: ms(10),
            waited_for_log: ms(waited_for_log),
            made_files: ms(made_files),
        };
        of_append(&stall, || look)
    }

    #[test]
    fn numbers_and_labels_are_in_one_order() {
        for (at, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, at);
        }
    }

    #[test]
    fn what_the_log_knows_comes_first() {
        let busy = Some(interval(10, 0, 10));
        assert_eq!(append(5, 0, busy), Cause::Lock);
        assert_eq!(append(4, 5, busy), Cause::Roll);
        assert_eq!(append(4, 4, busy), Cause::Processor);
    }

    #[test]
    fn a_cause_has_half_of_the_stall_for_certain() {
        assert_eq!(append(0, 0, Some(interval(10, 1, 6))), Cause::Processor);
        assert_eq!(append(0, 0, Some(interval(10, 6, 1))), Cause::Running);
        assert_eq!(append(0, 0, Some(interval(10, 1, 1))), Cause::WriteBack);
        assert_eq!(append(0, 0, Some(interval(10, 4, 4))), Cause::Unknown);
        assert_eq!(append(0, 0, None), Cause::Unknown);
    }

    #[test]
    fn what_may_have_been_before_the_stall_does_not_count() {
        // 4 ms before the stall: of 8 ms without a processor only 4 were certainly within.
        assert_eq!(append(0, 0, Some(interval(14, 2, 8))), Cause::Unknown);
        assert_eq!(append(0, 0, Some(interval(14, 2, 9))), Cause::Processor);
        assert_eq!(append(0, 0, Some(interval(14, 9, 2))), Cause::Running);
        // What it ran before may have been within: it slept for at least 4 ms, perhaps.
        assert_eq!(append(0, 0, Some(interval(14, 5, 1))), Cause::Unknown);
        assert_eq!(append(0, 0, Some(interval(14, 4, 1))), Cause::WriteBack);
    }

    #[test]
    fn sleep_behind_another_thread_is_not_the_disks() {
        assert_eq!(append(4, 0, Some(interval(10, 1, 0))), Cause::WriteBack);
        assert_eq!(append(4, 2, Some(interval(10, 1, 0))), Cause::Unknown);
    }

    #[test]
    fn a_send_waits_for_its_peer_or_for_a_processor() {
        let send = |waited_for_peer, look| {
            let stall = SendStall {
                bytes: 100,
                took: ms(10),
                waited_for_peer,
            };
            of_send(&stall, || look)
        };
        assert_eq!(send(true, Some(interval(10, 0, 10))), Cause::Peer);
        assert_eq!(send(false, Some(interval(10, 0, 10))), Cause::Processor);
        assert_eq!(send(false, Some(interval(10, 10, 0))), Cause::Running);
        assert_eq!(send(false, Some(interval(10, 0, 0))), Cause::Unknown);
        assert_eq!(send(false, None), Cause::Unknown);
    }
}
