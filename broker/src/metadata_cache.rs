//! The newest metadata image, for whoever reads it.
//!
//! Reading takes no lock. Who makes an image the newest is `metadata_publisher`.

use std::sync::Arc;

use arc_swap::ArcSwap;
use metadata::image::MetadataImage;
use tokio::sync::watch;

/// The newest image. A clone shows the same one.
#[derive(Clone)]
pub struct MetadataCache {
    image: Arc<ArcSwap<MetadataImage>>,
    changed: Arc<watch::Sender<i64>>,
}

impl MetadataCache {
    /// A cache whose first image is `image`.
    pub fn new(image: Arc<MetadataImage>) -> MetadataCache {
        MetadataCache {
            changed: Arc::new(watch::channel(image.offset).0),
            image: Arc::new(ArcSwap::new(image)),
        }
    }

    /// The newest image.
    pub fn image(&self) -> Arc<MetadataImage> {
        self.image.load_full()
    }

    /// Shows the offset of the newest image on which all subscribers of the publisher have acted.
    pub fn changed(&self) -> watch::Receiver<i64> {
        self.changed.subscribe()
    }

    /// Makes `image` the newest and returns the one before it. Waiters sleep until [`MetadataCache::wake`].
    pub fn replace(&self, image: Arc<MetadataImage>) -> Arc<MetadataImage> {
        self.image.swap(image)
    }

    /// Wakes those who wait for an image up to `offset`.
    pub fn wake(&self, offset: i64) {
        self.changed.send_replace(offset);
    }
}
