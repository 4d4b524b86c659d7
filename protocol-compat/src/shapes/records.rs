//! Requests that read and write records, and those about producers.
//!
//! Fields, versions and tags of Apache Kafka 4.3. The codec crate decodes these; the guard walks them first.

use super::shape;

shape! {
    produce_request, flexible 9+;

    ProduceRequest {
        transactional_id: StrBytes, v(3+), nullable(3+);
        acks: i16, v(0+);
        timeout_ms: i32, v(0+);
        topic_data: Vec<TopicProduceData>, v(0+);
    }

    TopicProduceData {
        name: StrBytes, v(0-12);
        topic_id: Uuid, v(13+);
        partition_data: Vec<PartitionProduceData>, v(0+);
    }

    PartitionProduceData {
        index: i32, v(0+);
        records: Bytes, v(0+), nullable(0+);
    }
}

shape! {
    fetch_request, flexible 12+;

    FetchRequest {
        cluster_id: StrBytes, v(12+), nullable(12+), tag(0);
        replica_id: i32, v(0-14);
        replica_state: ReplicaState, v(15+), tag(1);
        max_wait_ms: i32, v(0+);
        min_bytes: i32, v(0+);
        max_bytes: i32, v(3+);
        isolation_level: i8, v(4+);
        session_id: i32, v(7+);
        session_epoch: i32, v(7+);
        topics: Vec<FetchTopic>, v(0+);
        forgotten_topics_data: Vec<ForgottenTopic>, v(7+);
        rack_id: StrBytes, v(11+);
    }

    ReplicaState {
        replica_id: i32, v(15+);
        replica_epoch: i64, v(15+);
    }

    FetchTopic {
        topic: StrBytes, v(0-12);
        topic_id: Uuid, v(13+);
        partitions: Vec<FetchPartition>, v(0+);
    }

    FetchPartition {
        partition: i32, v(0+);
        current_leader_epoch: i32, v(9+);
        fetch_offset: i64, v(0+);
        last_fetched_epoch: i32, v(12+);
        log_start_offset: i64, v(5+);
        partition_max_bytes: i32, v(0+);
        replica_directory_id: Uuid, v(17+), tag(0);
        high_watermark: i64, v(18+), tag(1);
    }

    ForgottenTopic {
        topic: StrBytes, v(7-12);
        topic_id: Uuid, v(13+);
        partitions: Vec<i32>, v(7+);
    }
}

shape! {
    delete_records_request, flexible 2+;

    DeleteRecordsRequest {
        topics: Vec<DeleteRecordsTopic>, v(0+);
        timeout_ms: i32, v(0+);
    }

    DeleteRecordsTopic {
        name: StrBytes, v(0+);
        partitions: Vec<DeleteRecordsPartition>, v(0+);
    }

    DeleteRecordsPartition {
        partition_index: i32, v(0+);
        offset: i64, v(0+);
    }
}

shape! {
    init_producer_id_request, flexible 2+;

    InitProducerIdRequest {
        transactional_id: StrBytes, v(0+), nullable(0+);
        transaction_timeout_ms: i32, v(0+);
        producer_id: i64, v(3+);
        producer_epoch: i16, v(3+);
        enable2_pc: bool, v(6+);
        keep_prepared_txn: bool, v(6+);
    }
}

shape! {
    offset_for_leader_epoch_request, flexible 4+;

    OffsetForLeaderEpochRequest {
        replica_id: i32, v(3+);
        topics: Vec<OffsetForLeaderTopic>, v(0+);
    }

    OffsetForLeaderTopic {
        topic: StrBytes, v(0+);
        partitions: Vec<OffsetForLeaderPartition>, v(0+);
    }

    OffsetForLeaderPartition {
        partition: i32, v(0+);
        current_leader_epoch: i32, v(2+);
        leader_epoch: i32, v(0+);
    }
}

shape! {
    describe_producers_request, flexible 0+;

    DescribeProducersRequest {
        topics: Vec<TopicRequest>, v(0+);
    }

    TopicRequest {
        name: StrBytes, v(0+);
        partition_indexes: Vec<i32>, v(0+);
    }
}
