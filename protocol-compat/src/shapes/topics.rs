//! Requests about topics.
//!
//! Fields, versions and tags of Apache Kafka 4.3. The codec crate decodes these; the guard walks them first.

use super::shape;

shape! {
    metadata_request, flexible 9+;

    MetadataRequest {
        topics: Vec<MetadataRequestTopic>, v(0+), nullable(1+);
        allow_auto_topic_creation: bool, v(4+);
        include_cluster_authorized_operations: bool, v(8-10);
        include_topic_authorized_operations: bool, v(8+);
    }

    MetadataRequestTopic {
        topic_id: Uuid, v(10+);
        name: StrBytes, v(0+), nullable(10+);
    }
}

shape! {
    create_topics_request, flexible 5+;

    CreateTopicsRequest {
        topics: Vec<CreatableTopic>, v(0+);
        timeout_ms: i32, v(0+);
        validate_only: bool, v(1+);
    }

    CreatableTopic {
        name: StrBytes, v(0+);
        num_partitions: i32, v(0+);
        replication_factor: i16, v(0+);
        assignments: Vec<CreatableReplicaAssignment>, v(0+);
        configs: Vec<CreatableTopicConfig>, v(0+);
    }

    CreatableReplicaAssignment {
        partition_index: i32, v(0+);
        broker_ids: Vec<i32>, v(0+);
    }

    CreatableTopicConfig {
        name: StrBytes, v(0+);
        value: StrBytes, v(0+), nullable(0+);
    }
}

shape! {
    delete_topics_request, flexible 4+;

    DeleteTopicsRequest {
        topics: Vec<DeleteTopicState>, v(6+);
        topic_names: Vec<StrBytes>, v(0-5);
        timeout_ms: i32, v(0+);
    }

    DeleteTopicState {
        name: StrBytes, v(6+), nullable(6+);
        topic_id: Uuid, v(6+);
    }
}

shape! {
    create_partitions_request, flexible 2+;

    CreatePartitionsRequest {
        topics: Vec<CreatePartitionsTopic>, v(0+);
        timeout_ms: i32, v(0+);
        validate_only: bool, v(0+);
    }

    CreatePartitionsTopic {
        name: StrBytes, v(0+);
        count: i32, v(0+);
        assignments: Vec<CreatePartitionsAssignment>, v(0+), nullable(0+);
    }

    CreatePartitionsAssignment {
        broker_ids: Vec<i32>, v(0+);
    }
}

shape! {
    describe_topic_partitions_request, flexible 0+;

    DescribeTopicPartitionsRequest {
        topics: Vec<TopicRequest>, v(0+);
        response_partition_limit: i32, v(0+);
        cursor: crate::guard::shape::Nullable<Cursor>, v(0+), nullable(0+);
    }

    TopicRequest {
        name: StrBytes, v(0+);
    }

    Cursor {
        topic_name: StrBytes, v(0+);
        partition_index: i32, v(0+);
    }
}
