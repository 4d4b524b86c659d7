//! The last offset of each key in the dirty part of a log, in bounded memory.
//!
//! Keys are kept as 128-bit hashes under a secret of this process, so that nobody can choose two keys that meet; by chance
//! two of ten million meet once in 10^24 runs (Kafka keeps unkeyed MD5 hashes). The table is as large as its bound and the
//! records to come allow, and only the pages that keys fall into become memory.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

/// Bytes of one entry: hash and offset, as in Kafka, so that `log.cleaner.dedupe.buffer.size` means as many keys.
pub const ENTRY_BYTES: u64 = 24;

/// Secret of the hashes.
#[derive(Clone, Copy, Debug)]
pub struct MapSecret(pub u64, pub u64);

/// Both halves of a hash, and the offset plus one; zeros where there is none, so that fresh memory is an empty table.
type Entry = [u64; 3];

/// From keys to offsets.
#[derive(Debug)]
pub struct OffsetMap {
    secret: MapSecret,
    entries: Vec<Entry>,
    len: usize,
    most_keys: usize,
    latest_offset: i64,
}

/// The map has as many keys as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl OffsetMap {
    /// A map of at most `memory_bytes`, of which `load_factor` (above 0, at most 1) may be filled with keys, for no more than
    /// `most_records` of them.
    pub fn new(secret: MapSecret, memory_bytes: u64, load_factor: f64, most_records: u64) -> OffsetMap {
        let slots = (memory_bytes / ENTRY_BYTES).max(2);
        // Lossless enough: a map never has 2^52 slots.
        let most_keys = (slots as f64 * load_factor.clamp(0.0, 1.0)) as usize;
        // Probes stay short below three quarters; above them only where the bound says so.
        let enough = most_records.saturating_mul(4) / 3 + 2;
        let slots = usize::try_from(slots.min(enough)).unwrap_or(usize::MAX);
        OffsetMap {
            secret,
            entries: vec![[0; 3]; slots],
            len: 0,
            most_keys: most_keys.clamp(1, slots - 1),
            latest_offset: -1,
        }
    }

    /// Sets the last offset of a key, which is never below the one that is known.
    ///
    /// # Errors
    /// [`Full`] where there is no room; as in Kafka, known keys are not taken either then.
    pub fn put(&mut self, key: &[u8], offset: i64) -> Result<(), Full> {
        if self.len >= self.most_keys {
            return Err(Full);
        }
        let hash = self.hash(key);
        let at = self.slot_of(hash);
        if let Some(entry) = self.entries.get_mut(at) {
            self.len += usize::from(entry[2] == 0);
            *entry = [hash.0, hash.1, offset.cast_unsigned().wrapping_add(1)];
        }
        Ok(())
    }

    /// The last offset of a key; `None` where it is not in the map.
    pub fn get(&self, key: &[u8]) -> Option<i64> {
        let entry = self.entries.get(self.slot_of(self.hash(key)))?;
        entry[2].checked_sub(1).map(u64::cast_signed)
    }

    /// How many keys there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Which part of its bound the map uses.
    pub fn utilization(&self) -> f64 {
        self.len as f64 / self.most_keys as f64
    }

    /// The last offset up to which every record is in the map; -1 for none.
    pub fn latest_offset(&self) -> i64 {
        self.latest_offset
    }

    /// Notes that every record up to `offset` is in the map.
    pub fn set_latest_offset(&mut self, offset: i64) {
        self.latest_offset = self.latest_offset.max(offset);
    }

    fn hash(&self, key: &[u8]) -> (u64, u64) {
        let mut hasher = SipHasher13::new_with_keys(self.secret.0, self.secret.1);
        hasher.write(key);
        let hash = hasher.finish128();
        (hash.h1, hash.h2)
    }

    /// The slot that has the hash, or the free one where it belongs. There always is one: the map is never full.
    fn slot_of(&self, hash: (u64, u64)) -> usize {
        let slots = self.entries.len();
        // The high half of the product spreads the hash over any number of slots; it is below that number.
        let mut at = ((u128::from(hash.0) * slots as u128) >> 64) as usize;
        while let Some(&[first, second, offset]) = self.entries.get(at) {
            if offset == 0 || (first, second) == hash {
                break;
            }
            at = if at + 1 == slots { 0 } else { at + 1 };
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_map_says_what_a_plain_map_says() {
        let mut map = OffsetMap::new(MapSecret(1, 2), 1 << 20, 0.9, 30_001);
        let mut model = BTreeMap::new();
        for offset in 0..30_000_i64 {
            let key = format!("key-{}", offset * 7919 % 9_001);
            map.put(key.as_bytes(), offset).unwrap();
            model.insert(key, offset);
        }
        assert_eq!(map.len(), model.len());
        assert!(
            model
                .iter()
                .all(|(key, offset)| map.get(key.as_bytes()) == Some(*offset))
        );
        assert_eq!(map.get(b"absent"), None);
        assert_eq!(map.get(b""), None);
        map.put(b"", 40_000).unwrap();
        assert_eq!(map.get(b""), Some(40_000));
    }

    #[test]
    fn a_full_map_takes_no_more_and_forgets_nothing() {
        let mut map = OffsetMap::new(MapSecret(3, 4), 100 * ENTRY_BYTES, 0.5, 1_000);
        for key in 0..50_u8 {
            map.put(&[key], i64::from(key)).unwrap();
        }
        assert_eq!(map.put(&[200], 200), Err(Full));
        assert_eq!((map.len(), map.get(&[49]), map.get(&[200])), (50, Some(49), None));
        assert!(map.utilization() > 0.99);
    }

    #[test]
    fn a_table_filled_to_its_last_place_still_tells_keys_apart() {
        let mut map = OffsetMap::new(MapSecret(5, 6), 64 * ENTRY_BYTES, 1.0, 1_000);
        let put = (0..200_u8).take_while(|key| map.put(&[*key], i64::from(*key)).is_ok());
        assert_eq!(put.count(), 63);
        assert!((0..63_u8).all(|key| map.get(&[key]) == Some(i64::from(key))));
        assert!((63..200_u8).all(|key| map.get(&[key]).is_none()));
    }
}
