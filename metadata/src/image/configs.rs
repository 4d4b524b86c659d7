//! Dynamic configurations: what was set through the admin API, per resource.
//!
//! Values of the configuration file and defaults are not here; `configs::effective` puts the layers together.

use std::sync::Arc;

use rpds::RedBlackTreeMapSync;

use crate::configs::ConfigResource;

type Entries = RedBlackTreeMapSync<Arc<str>, Arc<str>>;

/// Every dynamic configuration of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigsImage {
    resources: RedBlackTreeMapSync<ConfigResource, Entries>,
}

impl Default for ConfigsImage {
    fn default() -> ConfigsImage {
        ConfigsImage {
            resources: RedBlackTreeMapSync::new_sync(),
        }
    }
}

impl ConfigsImage {
    /// The value of one key.
    pub fn get(&self, resource: &ConfigResource, key: &str) -> Option<&Arc<str>> {
        self.resources.get(resource)?.get(key)
    }

    /// The keys and values of one resource, in the order of keys.
    pub fn entries(&self, resource: &ConfigResource) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.resources
            .get(resource)
            .into_iter()
            .flat_map(|entries| entries.iter())
    }

    /// Every resource that has a dynamic configuration, in order.
    pub fn resources(&self) -> impl Iterator<Item = &ConfigResource> {
        self.resources.keys()
    }

    /// The resources whose keys or values differ from `before`, in order.
    pub fn changed_since<'a>(&'a self, before: &'a ConfigsImage) -> Vec<&'a ConfigResource> {
        let changed = self
            .resources
            .iter()
            .filter(|(resource, entries)| before.resources.get(*resource) != Some(*entries));
        let gone = before
            .resources
            .keys()
            .filter(|resource| !self.resources.contains_key(*resource));
        let mut all: Vec<_> = changed.map(|(resource, _)| resource).chain(gone).collect();
        all.sort_unstable();
        all
    }

    /// Sets a key (`Some`) or removes it (`None`). A resource whose last key goes is gone too.
    pub fn set(&mut self, resource: &ConfigResource, key: &str, value: Option<Arc<str>>) {
        let mut entries = self
            .resources
            .get(resource)
            .cloned()
            .unwrap_or_else(RedBlackTreeMapSync::new_sync);
        match value {
            Some(value) => entries.insert_mut(key.into(), value),
            None => {
                entries.remove_mut(key);
            }
        }
        if entries.is_empty() {
            self.resources.remove_mut(resource);
        } else {
            self.resources.insert_mut(resource.clone(), entries);
        }
    }

    /// Forgets every key of a resource.
    pub fn remove_resource(&mut self, resource: &ConfigResource) {
        self.resources.remove_mut(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_names_the_resources_that_were_set_unset_or_removed() {
        let topics = ["kept", "set", "unset"].map(ConfigResource::topic);
        let mut before = ConfigsImage::default();
        before.set(&topics[0], "retention.ms", Some("1".into()));
        before.set(&topics[2], "retention.ms", Some("1".into()));
        assert!(before.changed_since(&before.clone()).is_empty());
        let mut now = before.clone();
        now.set(&topics[1], "retention.ms", Some("2".into()));
        now.set(&topics[2], "retention.ms", None);
        assert_eq!(now.changed_since(&before), [&topics[1], &topics[2]]);
        now.set(&topics[0], "retention.ms", Some("3".into()));
        assert_eq!(now.changed_since(&before).len(), 3);
    }

    #[test]
    fn a_resource_without_keys_is_no_resource() {
        let mut configs = ConfigsImage::default();
        let topic = ConfigResource::topic("orders");
        configs.set(&topic, "retention.ms", Some("1".into()));
        configs.set(&topic, "cleanup.policy", Some("compact".into()));
        let keys: Vec<&str> = configs.entries(&topic).map(|(key, _)| &**key).collect();
        assert_eq!(keys, ["cleanup.policy", "retention.ms"]);
        configs.set(&topic, "retention.ms", None);
        configs.set(&topic, "cleanup.policy", None);
        configs.set(&topic, "never.was", None);
        assert_eq!(configs, ConfigsImage::default());
    }
}
