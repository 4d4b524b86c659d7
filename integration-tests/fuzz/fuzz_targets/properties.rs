//! `server.properties` and every key of the table: any text is read, refused in a sentence, or a whole configuration.
//!
//! The bytes are the file. Its keys are then set on topics as well, whose table is another one.

#![no_main]

use std::collections::BTreeMap;

use broker::config::{NodeConfig, Settings, parse_properties, table};
use fuzz::{memory, seeds};
use libfuzzer_sys::fuzz_target;
use metadata::configs::{
    BrokerLayers, TOPIC_KEYS, effective_topic_configs, topic_config_values, validate_topic_configs,
};
use metadata::image::ConfigsImage;
use protocol_compat::BrokerId;

const FREE_BYTES: usize = 1 << 20;
/// A short line becomes a key, a value and where it was found.
const BYTES_PER_BYTE: usize = 256;

fuzz_target!(init: seeds::write(seeds), |data: &[u8]| {
    let limit = FREE_BYTES + BYTES_PER_BYTE * data.len();
    memory::bounded(limit, || {
        let Ok(pairs) = parse_properties(data) else { return };
        node(&pairs);
        topic(&pairs);
    });
});

fn node(pairs: &[(String, String)]) {
    let mut settings = Settings::default();
    for (key, value) in pairs {
        // A key that is refused leaves the rest to be tried.
        if let Err(error) = settings.set(key, value, "server.properties") {
            assert!(!error.to_string().is_empty());
        }
    }
    let _sentences = settings.without_effect();
    if let Ok(config) = NodeConfig::new(settings, None) {
        assert!(!config.log_dirs.is_empty() && !config.listeners.is_empty());
    }
}

fn topic(pairs: &[(String, String)]) {
    let own: BTreeMap<String, String> = pairs.iter().cloned().collect();
    let dynamic = ConfigsImage::default();
    let layers = BrokerLayers {
        node_id: BrokerId(1),
        from_file: &own,
        dynamic: &dynamic,
    };
    // Each alone as well: what is unknown hides what stands behind it.
    for (key, value) in pairs {
        let _outcome = validate_topic_configs(&BTreeMap::from([(key.clone(), value.clone())]), layers);
    }
    let _outcome = validate_topic_configs(&own, layers);
    assert_eq!(topic_config_values(&own, layers).len(), TOPIC_KEYS.len());
    assert_eq!(effective_topic_configs(&own, layers).len(), TOPIC_KEYS.len());
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = table::rows()
        .map(|row| format!("{}={}\n", row.name, row.default.unwrap_or("x")).into_bytes())
        .collect();
    seeds.extend(
        TOPIC_KEYS
            .iter()
            .map(|key| format!("{} : {}\n", key.name, key.default).into_bytes()),
    );
    seeds.push(b"# a comment\nlisteners=PLAINTEXT://:9092,CONTROLLER://[::1]:9093\nadvertised.listeners=PLAINTEXT://\\u0061:1\n".to_vec());
    seeds.push(b"listener.security.protocol.map=A:PLAINTEXT,B:PLAINTEXT\nlisteners=A://a:1,B://b:2\nnode.id=1\nlog.dirs=/a,\\\n  /b\n".to_vec());
    seeds
}
