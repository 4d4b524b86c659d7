//! Requests about brokers, the quorum and configurations.
//!
//! Fields, versions and tags of Apache Kafka 4.3. The codec crate decodes these; the guard walks them first.

use super::shape;

shape! {
    api_versions_request, flexible 3+;

    ApiVersionsRequest {
        client_software_name: StrBytes, v(3+);
        client_software_version: StrBytes, v(3+);
    }
}

shape! {
    describe_configs_request, flexible 4+;

    DescribeConfigsRequest {
        resources: Vec<DescribeConfigsResource>, v(0+);
        include_synonyms: bool, v(1+);
        include_documentation: bool, v(3+);
    }

    DescribeConfigsResource {
        resource_type: i8, v(0+);
        resource_name: StrBytes, v(0+);
        configuration_keys: Vec<StrBytes>, v(0+), nullable(0+);
    }
}

shape! {
    alter_configs_request, flexible 2+;

    AlterConfigsRequest {
        resources: Vec<AlterConfigsResource>, v(0+);
        validate_only: bool, v(0+);
    }

    AlterConfigsResource {
        resource_type: i8, v(0+);
        resource_name: StrBytes, v(0+);
        configs: Vec<AlterableConfig>, v(0+);
    }

    AlterableConfig {
        name: StrBytes, v(0+);
        value: StrBytes, v(0+), nullable(0+);
    }
}

shape! {
    incremental_alter_configs_request, flexible 1+;

    IncrementalAlterConfigsRequest {
        resources: Vec<AlterConfigsResource>, v(0+);
        validate_only: bool, v(0+);
    }

    AlterConfigsResource {
        resource_type: i8, v(0+);
        resource_name: StrBytes, v(0+);
        configs: Vec<AlterableConfig>, v(0+);
    }

    AlterableConfig {
        name: StrBytes, v(0+);
        config_operation: i8, v(0+);
        value: StrBytes, v(0+), nullable(0+);
    }
}

shape! {
    describe_cluster_request, flexible 0+;

    DescribeClusterRequest {
        include_cluster_authorized_operations: bool, v(0+);
        endpoint_type: i8, v(1+);
        include_fenced_brokers: bool, v(2+);
    }
}

shape! {
    describe_quorum_request, flexible 0+;

    DescribeQuorumRequest {
        topics: Vec<TopicData>, v(0+);
    }

    TopicData {
        topic_name: StrBytes, v(0+);
        partitions: Vec<PartitionData>, v(0+);
    }

    PartitionData {
        partition_index: i32, v(0+);
    }
}

shape! {
    list_config_resources_request, flexible 0+;

    ListConfigResourcesRequest {
        resource_types: Vec<i8>, v(1+);
    }
}
