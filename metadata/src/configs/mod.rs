//! Configuration keys and resources: what exists, what type it has, what values it accepts.

mod resource;

pub use self::resource::{ConfigResource, ConfigResourceType};
