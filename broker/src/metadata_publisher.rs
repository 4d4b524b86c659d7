//! Hands every new metadata image to those who act on it.
//!
//! Subscribers are told in the order in which they were added, on the task that applied the image, one image at a time:
//! whoever comes later finds what the earlier ones did (a partition is there before its coordinator is asked to load
//! it). A subscriber must not wait. What an image means is for each subscriber; nothing is decided here.

use std::sync::{Arc, Mutex, PoisonError};

use metadata::image::MetadataImage;

use crate::metadata_cache::MetadataCache;

/// Someone who acts on a new image. Called with the image before it and the new one, which differ at least in offset.
pub type ImageSubscriber = Box<dyn Fn(&Arc<MetadataImage>, &Arc<MetadataImage>) + Send + Sync>;

/// Those who act on new images.
pub struct MetadataPublisher {
    cache: MetadataCache,
    subscribers: Mutex<Vec<ImageSubscriber>>,
}

impl MetadataPublisher {
    /// A publisher that keeps `cache` at the newest image.
    pub fn new(cache: MetadataCache) -> MetadataPublisher {
        MetadataPublisher {
            cache,
            subscribers: Mutex::default(),
        }
    }

    /// Adds a subscriber behind those that are there, and tells it of the image of this moment as both images, so that
    /// it misses none.
    pub fn subscribe(&self, subscriber: ImageSubscriber) {
        let mut subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        let image = self.cache.image();
        subscriber(&image, &image);
        subscribers.push(subscriber);
    }

    /// Makes `image` the newest: every subscriber has acted on it before a waiter of the cache wakes.
    pub fn publish(&self, image: Arc<MetadataImage>) {
        let subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.cache.replace(image.clone());
        for subscriber in subscribers.iter() {
            subscriber(&before, &image);
        }
        self.cache.wake(image.offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(offset: i64) -> Arc<MetadataImage> {
        Arc::new(MetadataImage {
            offset,
            ..MetadataImage::empty("a-cluster")
        })
    }

    #[tokio::test]
    async fn subscribers_act_in_order_before_a_waiter_wakes() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let cache = MetadataCache::new(image(-1));
        let publisher = MetadataPublisher::new(cache.clone());
        for name in ["first", "second"] {
            let seen = seen.clone();
            publisher.subscribe(Box::new(move |before, now| {
                seen.lock().unwrap().push((name, before.offset, now.offset));
            }));
        }
        let mut changed = cache.changed();
        let waiter = tokio::spawn(async move {
            changed.changed().await.unwrap();
            *changed.borrow()
        });
        tokio::task::yield_now().await;
        publisher.publish(image(4));
        assert_eq!(waiter.await.unwrap(), 4);
        let expected = [
            ("first", -1, -1),
            ("second", -1, -1),
            ("first", -1, 4),
            ("second", -1, 4),
        ];
        assert_eq!(*seen.lock().unwrap(), expected);
        assert_eq!(cache.image().offset, 4);
    }
}
