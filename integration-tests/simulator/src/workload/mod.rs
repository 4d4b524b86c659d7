//! The clients of a seed: which, how many and how busy, the seed decides.

mod batches;
mod committer;
pub mod fetch;
mod idempotent_producer;
mod offsets;
mod outcomes;
mod plain_producer;
mod produce;
mod reader;
pub mod topics;

use self::committer::Committer;
use self::idempotent_producer::IdempotentProducer;
use self::plain_producer::PlainProducer;
use self::reader::Reader;
use self::topics::{Kind, Topic};
use crate::rng::Rng;
use crate::world::Actor;

/// Most actors of a seed.
const MAX_ACTORS: u64 = 8;

/// The actors of a seed: always a producer and a reader of what it writes, and others beside them.
pub fn actors(seed: u64) -> Vec<Box<dyn Actor>> {
    let mut rng = Rng::new(seed, "actors");
    let topics = topics_of(&mut rng);
    let mut actors: Vec<Box<dyn Actor>> = Vec::new();
    for number in 0..rng.between(3, MAX_ACTORS) {
        let topic = match number {
            0 | 1 => topics[0].clone(),
            _ => rng.pick(&topics).clone(),
        };
        let own = Rng::new(seed, &format!("actor-{number}"));
        let work = rng.between(20, 120) as u32;
        actors.push(match (number, rng.below(8)) {
            (0, _) | (2.., 0..3) => {
                let name = format!("idempotent-{number}");
                Box::new(IdempotentProducer::new(name, topic, work, own))
            }
            (1, _) | (2.., 3 | 4) => Box::new(Reader::new(format!("reader-{number}"), topic, work * 2, own)),
            (2.., 5 | 6) => Box::new(PlainProducer::new(format!("plain-{number}"), topic, work, own)),
            _ => Box::new(Committer::new(format!("committer-{number}"), topic, work, own)),
        });
    }
    actors
}

/// One to three topics, each of another kind.
fn topics_of(rng: &mut Rng) -> Vec<Topic> {
    let mut kinds = vec![
        ("steady", Kind::Steady),
        ("compacted", Kind::Compacted),
        ("trimmed", Kind::Trimmed),
    ];
    let mut topics = Vec::new();
    for _ in 0..rng.between(1, 3) {
        let (name, kind) = kinds.remove(rng.below(kinds.len() as u64) as usize);
        topics.push(Topic::chosen(name, kind, rng));
    }
    topics
}
