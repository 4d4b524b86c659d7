//! Configuration keys and resources: what exists, what type it has, what values it accepts, which layer wins.

mod definition;
mod effective;
mod resource;
mod topic_keys;
mod validation;

pub use self::definition::{
    BrokerSynonym, ConfigKey, ConfigType, ConfigValue, Conversion, InvalidConfig, Validator, java_trim,
    parse_value,
};
pub use self::effective::{
    BrokerLayers, ConfigSource, EffectiveConfig, effective_topic_config, effective_topic_configs,
    topic_config_values,
};
pub use self::resource::{ConfigResource, ConfigResourceType};
pub use self::topic_keys::{TOPIC_KEYS, topic_key};
pub use self::validation::validate_topic_configs;
