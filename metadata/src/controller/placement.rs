//! Where the replicas of new partitions go.
//!
//! Pure policy: leaders walk around the brokers, followers walk around the racks, fenced brokers get replicas only when
//! there are not enough others. The starting points are drawn from the randomness that is handed in.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol_compat::{BrokerId, ErrorCode};

use super::decision::{ApiError, IdSource};
use crate::image::BrokersImage;

/// Assigns `replication_factor` replicas to each of `count` partitions.
///
/// # Errors
/// INVALID_REPLICATION_FACTOR when the brokers do not suffice, with Kafka's sentence.
pub fn place(
    brokers: &BrokersImage,
    count: usize,
    replication_factor: usize,
    ids: &mut dyn IdSource,
) -> Result<Vec<Vec<BrokerId>>, ApiError> {
    let refuse = |message: String| Err(ApiError::new(ErrorCode::InvalidReplicationFactor, message));
    let registered = brokers.len();
    if replication_factor == 0 {
        return refuse("Invalid replication factor 0: the replication factor must be positive.".to_owned());
    }
    if brokers.iter().all(|broker| broker.fenced) {
        return refuse(
            "All brokers are currently fenced, or have all their log directories cordoned.".to_owned(),
        );
    }
    if replication_factor > registered {
        return refuse(format!(
            "The target replication factor of {replication_factor} cannot be reached because only {registered} broker(s) are registered or some brokers have all their log directories cordoned."
        ));
    }
    let unfenced = rack_alternated(brokers, false);
    let fenced = rack_alternated(brokers, true);
    let start = random_below(ids, unfenced.len());
    let shift = random_below(ids, unfenced.len());
    Ok((0..count)
        .map(|index| replicas_of(index, &unfenced, &fenced, start, shift, replication_factor))
        .collect())
}

/// Brokers ordered so that neighbours lie in different racks as far as possible.
fn rack_alternated(brokers: &BrokersImage, fenced: bool) -> Vec<BrokerId> {
    let mut racks: BTreeMap<Option<Arc<str>>, Vec<BrokerId>> = BTreeMap::new();
    for broker in brokers.iter().filter(|broker| broker.fenced == fenced) {
        racks.entry(broker.rack.clone()).or_default().push(broker.id);
    }
    let deepest = racks.values().map(Vec::len).max().unwrap_or(0);
    (0..deepest)
        .flat_map(|row| racks.values().filter_map(move |rack| rack.get(row).copied()))
        .collect()
}

fn replicas_of(
    index: usize,
    unfenced: &[BrokerId],
    fenced: &[BrokerId],
    start: usize,
    shift: usize,
    replication_factor: usize,
) -> Vec<BrokerId> {
    let around = unfenced.len().max(1);
    let round = index / around;
    let leader = (start + index) % around;
    // The gap between leader and first follower grows by one each time the leaders have gone around once.
    let gap = 1 + (shift + round) % around.saturating_sub(1).max(1);
    let followers = (0..around.saturating_sub(1)).map(|step| {
        let distance = 1 + (gap - 1 + step) % (around - 1);
        (leader + distance) % around
    });
    let positions = std::iter::once(leader).chain(followers);
    positions
        .filter_map(|position| unfenced.get(position))
        .chain(fenced)
        .copied()
        .take(replication_factor)
        .collect()
}

fn random_below(ids: &mut dyn IdSource, bound: usize) -> usize {
    if bound <= 1 {
        return 0;
    }
    let drawn = ids.next_id().as_u128() % bound as u128;
    usize::try_from(drawn).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::BrokerImage;
    use uuid::Uuid;

    struct Counting(u128);
    impl IdSource for Counting {
        fn next_id(&mut self) -> Uuid {
            self.0 += 1;
            Uuid::from_u128(self.0)
        }
    }

    fn brokers(count: i32, racks: i32, fenced: &[i32]) -> BrokersImage {
        let mut image = BrokersImage::default();
        for id in 0..count {
            image.insert(BrokerImage {
                id: BrokerId(id),
                epoch: 1,
                incarnation_id: Uuid::nil(),
                endpoints: vec![],
                features: vec![],
                rack: (racks > 0).then(|| format!("r{}", id % racks).into()),
                fenced: fenced.contains(&id),
                in_controlled_shutdown: false,
                directories: vec![],
                cordoned_directories: vec![],
            });
        }
        image
    }

    #[test]
    fn replicas_are_distinct_and_leaders_spread_evenly() {
        for (count, factor) in [(1, 1), (3, 2), (5, 3), (5, 5)] {
            let image = brokers(count, 0, &[]);
            let placed = place(&image, 60, factor, &mut Counting(7)).expect("enough brokers");
            let mut leaders = BTreeMap::new();
            for replicas in &placed {
                let distinct: std::collections::BTreeSet<_> = replicas.iter().collect();
                assert_eq!((distinct.len(), replicas.len()), (factor, factor));
                *leaders.entry(replicas[0]).or_insert(0) += 1;
            }
            assert!(leaders.values().all(|led| *led == 60 / count), "{leaders:?}");
        }
    }

    #[test]
    fn a_second_replica_lies_in_another_rack_while_the_walk_allows_it() {
        let image = brokers(4, 2, &[]);
        let placed = place(&image, 4, 2, &mut Counting(1)).expect("enough brokers");
        assert!(placed.iter().all(|replicas| replicas.len() == 2));
    }

    #[test]
    fn a_fenced_broker_is_the_last_choice() {
        let image = brokers(3, 0, &[1]);
        let placed = place(&image, 8, 2, &mut Counting(1)).expect("enough brokers");
        assert!(placed.iter().all(|replicas| !replicas.contains(&BrokerId(1))));
        let all = place(&image, 1, 3, &mut Counting(1)).expect("enough brokers");
        assert_eq!(all[0].last(), Some(&BrokerId(1)));
    }

    #[test]
    fn too_few_brokers_are_refused_in_kafkas_words() {
        let refusal =
            |image: &BrokersImage, factor| place(image, 1, factor, &mut Counting(1)).unwrap_err().message;
        assert_eq!(
            refusal(&brokers(1, 0, &[]), 3).as_deref(),
            Some(
                "The target replication factor of 3 cannot be reached because only 1 broker(s) are registered or some brokers have all their log directories cordoned."
            )
        );
        assert_eq!(
            refusal(&brokers(1, 0, &[0]), 1).as_deref(),
            Some("All brokers are currently fenced, or have all their log directories cordoned.")
        );
    }
}
