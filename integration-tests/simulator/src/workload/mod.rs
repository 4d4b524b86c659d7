//! The clients of a seed: which, how many and how busy, the seed decides.

mod admin;
mod batches;
mod committer;
pub mod fetch;
mod idempotent_producer;
mod member;
mod membership;
mod offsets;
mod outcomes;
mod pace;
mod plain_producer;
mod produce;
mod reader;
mod rude_client;
pub mod topics;

use self::admin::Admin;
use self::committer::Committer;
use self::idempotent_producer::IdempotentProducer;
use self::member::Member;
use self::plain_producer::PlainProducer;
use self::reader::Reader;
use self::rude_client::RudeClient;
use self::topics::{Kind, Topic};
use crate::rng::Rng;
use crate::world::Actor;

/// Most actors of a seed, beside the rude client.
const MAX_ACTORS: u64 = 8;
/// The group of a seed's members.
const GROUP: &str = "members";

/// The actors of a seed: always a producer and a reader of what it writes, and others beside them.
pub fn actors(seed: u64) -> Vec<Box<dyn Actor>> {
    let mut rng = Rng::new(seed, "actors");
    let topics = topics_of(&mut rng);
    let staying: Vec<Topic> = topics
        .iter()
        .filter(|topic| topic.kind != Kind::Volatile)
        .cloned()
        .collect();
    let mut actors: Vec<Box<dyn Actor>> = Vec::new();
    for number in 0..rng.between(3, MAX_ACTORS) {
        let own = Rng::new(seed, &format!("actor-{number}"));
        let work = rng.between(20, 120) as u32;
        let topic = match number {
            0 | 1 => topics[0].clone(),
            _ => rng.pick(&topics).clone(),
        };
        let staying = rng.pick(&staying).clone();
        let kind = match number {
            0 => 0,
            1 => 3,
            _ => rng.below(12),
        };
        actors.push(match kind {
            0..3 => Box::new(IdempotentProducer::new(
                format!("idempotent-{number}"),
                topic,
                work,
                own,
            )),
            3 | 4 => Box::new(Reader::new(format!("reader-{number}"), topic, work * 2, own)),
            5 | 6 => Box::new(PlainProducer::new(format!("plain-{number}"), topic, work, own)),
            7 => Box::new(Committer::new(format!("committer-{number}"), staying, work, own)),
            _ => Box::new(Member::new(
                format!("member-{number}"),
                GROUP,
                topics[0].clone(),
                work * 2,
                own,
            )),
        });
    }
    if topics.iter().any(|topic| topic.kind != Kind::Steady) {
        let own = Rng::new(seed, "admin");
        actors.push(Box::new(Admin::new(
            "admin".to_owned(),
            topics,
            rng.between(10, 40) as u32,
            own,
        )));
    }
    if rng.chance(300) {
        let own = Rng::new(seed, "rude");
        actors.push(Box::new(RudeClient::new(
            "rude".to_owned(),
            rng.between(5, 40) as u32,
            own,
        )));
    }
    actors
}

/// One to three topics of different kinds, the first of which stays.
fn topics_of(rng: &mut Rng) -> Vec<Topic> {
    let mut kinds = vec![
        ("steady", Kind::Steady),
        ("compacted", Kind::Compacted),
        ("trimmed", Kind::Trimmed),
        ("volatile", Kind::Volatile),
    ];
    let first = kinds.remove(rng.below(3) as usize);
    let mut topics = vec![Topic::chosen(first.0, first.1, rng)];
    for _ in 0..rng.below(3) {
        let (name, kind) = kinds.remove(rng.below(kinds.len() as u64) as usize);
        topics.push(Topic::chosen(name, kind, rng));
    }
    topics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_has_one_row_of_actors_and_among_some_seeds_every_kind_is_there() {
        let names = |seed| {
            actors(seed)
                .iter()
                .map(|actor| actor.name())
                .collect::<Vec<String>>()
        };
        assert_eq!(names(5), names(5));
        let all: Vec<String> = (0..60).flat_map(names).collect();
        for kind in [
            "idempotent",
            "reader",
            "plain",
            "committer",
            "member",
            "admin",
            "rude",
        ] {
            assert!(all.iter().any(|name| name.starts_with(kind)), "{kind}");
        }
    }
}
