//! Answers about all topics, kept from one client to the next.
//!
//! Such an answer has a row for every partition and is the same for all who ask the same way, until the image changes:
//! a thousand clients that come back at once are told the same bytes.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use metadata::image::MetadataImage;
use parking_lot::Mutex;
use protocol_compat::messages::MetadataRequest;
use protocol_compat::messages::output::Piece;

use crate::request::{RequestContext, ResponseFrame};

/// Versions and listeners in use at one time are few.
const MOST_ANSWERS: usize = 8;
/// What all of them take; an answer that is larger is made anew each time.
const MOST_BYTES: usize = 8 << 20;
/// Length and correlation id, which are the only bytes that differ between two answers.
const PREFIX_BYTES: usize = 8;

/// Everything besides the image that an answer about all topics depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Question {
    version: i16,
    listener: Arc<str>,
    /// A broker that advertises nothing is reached where the client reached it.
    local: SocketAddr,
    cluster_operations: bool,
    topic_operations: bool,
}

/// The answers of the image that was asked about last, at most [`MOST_ANSWERS`] of them and [`MOST_BYTES`] in all.
#[derive(Debug, Default)]
pub struct KeptAnswers(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    image: Weak<MetadataImage>,
    /// What stands behind the correlation id.
    answers: Vec<(Question, Bytes)>,
}

impl KeptAnswers {
    /// The answer to this question about `image`, made by `make` unless it is there.
    pub(super) fn answer(
        &self,
        image: &Arc<MetadataImage>,
        request: &MetadataRequest,
        context: &RequestContext,
        make: impl FnOnce() -> ResponseFrame,
    ) -> ResponseFrame {
        let question = Question {
            version: context.version,
            listener: context.listener.clone(),
            local: context.local,
            cluster_operations: request.include_cluster_authorized_operations,
            topic_operations: request.include_topic_authorized_operations,
        };
        let found = self.0.lock().find(image, &question);
        if let Some(rest) = found {
            return context.respond_again(rest);
        }
        let answer = make();
        // One with errors is counted by what it holds: it is made anew.
        if let Ok([Piece::Bytes(frame)]) = answer.pieces.as_deref()
            && answer.errors.is_empty()
            && frame.len() > PREFIX_BYTES
        {
            self.0.lock().keep(image, question, frame.slice(PREFIX_BYTES..));
        }
        answer
    }
}

impl Kept {
    fn find(&self, image: &Arc<MetadataImage>, question: &Question) -> Option<Bytes> {
        if !self.is_of(image) {
            return None;
        }
        let found = self.answers.iter().find(|(kept, _)| kept == question);
        found.map(|(_, rest)| rest.clone())
    }

    /// Makes room by what was kept first.
    fn keep(&mut self, image: &Arc<MetadataImage>, question: Question, rest: Bytes) {
        if !self.is_of(image) {
            self.answers.clear();
            self.image = Arc::downgrade(image);
        }
        // Two may have asked at the same time.
        self.answers.retain(|(kept, _)| *kept != question);
        if rest.len() > MOST_BYTES {
            return;
        }
        self.answers.push((question, rest));
        while self.answers.len() > MOST_ANSWERS || self.bytes() > MOST_BYTES {
            self.answers.remove(0);
        }
    }

    fn is_of(&self, image: &Arc<MetadataImage>) -> bool {
        std::ptr::eq(self.image.as_ptr(), Arc::as_ptr(image))
    }

    fn bytes(&self) -> usize {
        self.answers.iter().map(|(_, rest)| rest.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use protocol_compat::ApiKey;
    use protocol_compat::messages::MetadataResponse;

    use super::*;

    fn context(correlation_id: i32, version: i16) -> RequestContext {
        RequestContext {
            correlation_id,
            ..RequestContext::for_test(ApiKey::Metadata, version)
        }
    }

    fn image() -> Arc<MetadataImage> {
        Arc::new(MetadataImage::empty("cluster"))
    }

    /// An answer of a cluster whose identifier has so many characters.
    fn fresh(context: &RequestContext, characters: usize) -> ResponseFrame {
        let id = "x".repeat(characters).into();
        context.respond(&MetadataResponse::default().with_cluster_id(Some(id)))
    }

    fn bytes(answer: &ResponseFrame) -> Vec<u8> {
        answer.to_bytes().to_vec()
    }

    /// Asks, and says whether an answer was made for it.
    fn ask(
        kept: &KeptAnswers,
        image: &Arc<MetadataImage>,
        context: &RequestContext,
        characters: usize,
    ) -> bool {
        let mut is_made = false;
        let answer = kept.answer(image, &MetadataRequest::default(), context, || {
            is_made = true;
            fresh(context, characters)
        });
        assert_eq!(bytes(&answer), bytes(&fresh(context, characters)));
        is_made
    }

    #[test]
    fn a_kept_answer_has_the_bytes_of_a_fresh_one_at_every_version() {
        let (kept, image) = (KeptAnswers::default(), image());
        for version in 2..=13 {
            assert!(ask(&kept, &image, &context(1, version), 10));
            assert!(!ask(&kept, &image, &context(i32::MAX, version), 10));
        }
    }

    #[test]
    fn another_image_address_or_request_has_another_answer() {
        let (kept, image) = (KeptAnswers::default(), image());
        assert!(ask(&kept, &image, &context(1, 12), 10));
        let elsewhere = RequestContext {
            local: "127.0.0.8:19099".parse().expect("an address"),
            ..context(2, 12)
        };
        assert!(ask(&kept, &image, &elsewhere, 11));
        let request = MetadataRequest::default().with_include_topic_authorized_operations(true);
        let with_operations = kept.answer(&image, &request, &context(3, 12), || fresh(&context(3, 12), 12));
        assert_eq!(bytes(&with_operations), bytes(&fresh(&context(3, 12), 12)));
        let newer = self::image();
        assert!(ask(&kept, &newer, &context(4, 12), 13));
        assert!(!ask(&kept, &newer, &context(5, 12), 13));
    }

    #[test]
    fn no_more_answers_are_kept_than_the_bounds() {
        let (kept, image) = (KeptAnswers::default(), image());
        let large = MOST_BYTES / 2;
        assert!(ask(&kept, &image, &context(1, 10), MOST_BYTES));
        assert!(ask(&kept, &image, &context(1, 10), MOST_BYTES));
        for version in 9..=11 {
            assert!(ask(&kept, &image, &context(1, version), large));
        }
        let held = kept.0.lock().bytes();
        assert!((large..=MOST_BYTES).contains(&held), "{held}");
        for version in 2..=13 {
            ask(&kept, &image, &context(1, version), 10);
        }
        assert_eq!(kept.0.lock().answers.len(), MOST_ANSWERS);
    }

    #[test]
    fn an_answer_with_an_error_is_made_each_time() {
        let (kept, image, context) = (KeptAnswers::default(), image(), context(1, 13));
        for _ in 0..2 {
            let failed = MetadataResponse::default().with_error_code(1);
            let answer = kept.answer(&image, &MetadataRequest::default(), &context, || {
                context.respond(&failed)
            });
            assert_eq!(answer.errors.len(), 1);
        }
        assert!(kept.0.lock().answers.is_empty());
    }
}
