//! Whether a stream is read again after a read that took all there was.
//!
//! Such a second read finds out that nothing more is there, and costs as much as the first one. A client that waits for its
//! answers never has more there; one that sends without a pause mostly has, and for it the second read saves a round through the
//! runtime. Each connection finds out which client it has, and looks again now and then.

/// After so many second reads in a row that found nothing, a connection's client is taken for one that waits for its answers.
const MISSES: u8 = 8;
/// So many reads end the stream's readiness before another second read is tried.
const TRUSTED_READS: u8 = 15;

/// What a connection knows of its client.
#[derive(Debug, Default)]
pub(super) struct Rereads {
    /// So many second reads in a row have found nothing.
    misses: u8,
    /// So many reads are yet to end the stream's readiness.
    trusted: u8,
    /// The last read left room, and the stream is read again to find out whether more is there.
    is_second: bool,
}

impl Rereads {
    /// Whether a read that leaves room ends the stream's readiness.
    pub fn may_be_last(&self) -> bool {
        self.trusted > 0
    }

    /// A read took something, and left room in its buffer or not.
    pub fn took(&mut self, left_room: bool) {
        if self.is_second {
            self.misses = 0;
        }
        self.is_second = left_room && self.trusted == 0;
        if left_room {
            self.trusted = self.trusted.saturating_sub(1);
        }
    }

    /// A read found nothing.
    pub fn found_nothing(&mut self) {
        if std::mem::take(&mut self.is_second) {
            self.misses = self.misses.saturating_add(1).min(MISSES);
            if self.misses == MISSES {
                self.trusted = TRUSTED_READS;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many reads it takes to serve so many requests, each of which is whole before it is read.
    fn reads(requests: u32, is_more_there: impl Fn(u32) -> bool) -> u32 {
        let mut rereads = Rereads::default();
        let mut reads = 0;
        for request in 0..requests {
            let is_last = rereads.may_be_last();
            rereads.took(true);
            reads += 1;
            if !is_last && !is_more_there(request) {
                rereads.found_nothing();
                reads += 1;
            }
        }
        reads
    }

    #[test]
    fn a_client_that_waits_for_its_answers_is_read_once_a_request() {
        assert_eq!(reads(168, |_| false), 168 + 18);
    }

    #[test]
    fn a_client_that_always_has_more_is_read_without_waiting() {
        assert_eq!(reads(160, |_| true), 160);
        let misses_one_of_two = reads(160, |request| request % 2 == 0);
        assert_eq!(misses_one_of_two, 160 + 80, "as if nothing were known");
        let mut rereads = Rereads::default();
        rereads.took(true);
        assert!(!rereads.may_be_last(), "nothing is known yet");
        rereads.took(true);
        assert!(!rereads.may_be_last(), "there was more");
    }

    #[test]
    fn a_buffer_that_was_filled_says_nothing() {
        let mut rereads = Rereads::default();
        rereads.took(false);
        rereads.found_nothing();
        assert!(!rereads.may_be_last());
    }
}
