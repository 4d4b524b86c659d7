//! Finalized feature levels (KIP-584): what the whole cluster has agreed to run.

use std::sync::Arc;

use rpds::RedBlackTreeMapSync;

/// The finalized level of each feature; a feature at level 0 is not listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeaturesImage {
    levels: RedBlackTreeMapSync<Arc<str>, i16>,
}

impl Default for FeaturesImage {
    fn default() -> FeaturesImage {
        FeaturesImage {
            levels: RedBlackTreeMapSync::new_sync(),
        }
    }
}

impl FeaturesImage {
    /// The finalized level of a feature; 0 when it is not in use.
    pub fn level(&self, feature: &str) -> i16 {
        self.levels.get(feature).copied().unwrap_or(0)
    }

    /// Whether a level was ever finalized, that is, whether the log has been bootstrapped.
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// Features in use with their levels, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, i16)> {
        self.levels.iter().map(|(name, level)| (name, *level))
    }

    /// Finalizes a level; 0 takes the feature out of use.
    pub fn set(&mut self, feature: &str, level: i16) {
        if level == 0 {
            self.levels.remove_mut(feature);
        } else {
            self.levels.insert_mut(feature.into(), level);
        }
    }
}
