"""confluent-kafka (librdkafka) against a node: admin, produce, consume, group, seek. Usage: confluent.py HOST:PORT"""
import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic, ResourceType

from steps import expect, finish, step

ADDRESS = sys.argv[1]
TOPIC = f"confluent-{int(time.time() * 1000)}"
GROUP = TOPIC + "-group"
ADMIN = AdminClient({"bootstrap.servers": ADDRESS})


def consumer(**more):
    return Consumer({"bootstrap.servers": ADDRESS, "group.id": GROUP, "auto.offset.reset": "earliest",
                     "enable.auto.commit": False, **more})


def create_topic():
    ADMIN.create_topics([NewTopic(TOPIC, num_partitions=2, replication_factor=1)])[TOPIC].result(20)
    ADMIN.create_partitions([NewPartitions(TOPIC, 3)])[TOPIC].result(20)
    expect(len(ADMIN.list_topics(TOPIC, timeout=20).topics[TOPIC].partitions) == 3, "the topic has not 3 partitions")


def describe_configs():
    resource = ConfigResource(ResourceType.TOPIC, TOPIC)
    answer = ADMIN.describe_configs([resource])[resource].result(20)
    expect(answer["cleanup.policy"].value == "delete", "cleanup.policy is not delete")


def produce():
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        failed = []
        producer = Producer({"bootstrap.servers": ADDRESS, "enable.idempotence": True, "compression.type": codec})
        for i in range(60):
            producer.produce(TOPIC, value=b"v%d" % i, partition=i % 3,
                             on_delivery=lambda error, _: failed.append(error) if error else None)
        expect(producer.flush(20) == 0 and not failed, f"{codec}: not delivered: {failed[:1]}")


def read(client, count, seconds=20):
    seen, deadline = [], time.time() + seconds
    while len(seen) < count and time.time() < deadline:
        message = client.poll(0.2)
        if message is not None:
            expect(message.error() is None, str(message.error()))
            seen.append((message.partition(), message.offset()))
    return seen


def consume_group():
    client = consumer()
    client.subscribe([TOPIC])
    seen = read(client, 300)
    expect(len(set(seen)) == 300, f"saw {len(set(seen))} records of 300")
    client.commit(asynchronous=False)
    committed = client.committed([TopicPartition(TOPIC, p) for p in range(3)], timeout=20)
    expect(sum(partition.offset for partition in committed) == 300, "not everything is committed")
    client.close()


def resume_group():
    client = consumer()
    client.subscribe([TOPIC])
    expect(read(client, 1, seconds=3) == [], "a committed group read records again")
    client.close()


def cooperative_group():
    first = consumer(**{"group.id": GROUP + "-coop", "partition.assignment.strategy": "cooperative-sticky"})
    second = consumer(**{"group.id": GROUP + "-coop", "partition.assignment.strategy": "cooperative-sticky"})
    first.subscribe([TOPIC])
    seen = read(first, 10)
    second.subscribe([TOPIC])
    deadline = time.time() + 30
    while time.time() < deadline and not (len(first.assignment()) + len(second.assignment()) == 3
                                          and second.assignment()):
        first.poll(0.1)
        second.poll(0.1)
    expect(seen and len(first.assignment()) + len(second.assignment()) == 3, "the two members do not share 3 partitions")
    first.close()
    second.close()


def seek():
    client = consumer()
    client.assign([TopicPartition(TOPIC, 1, 42)])
    expect(read(client, 1) == [(1, 42)], "the record at 42 is not 42")
    expect(client.get_watermark_offsets(TopicPartition(TOPIC, 1), timeout=20) == (0, 100), "the log is not 0 to 100")
    client.close()


def groups():
    ids = [group.group_id for group in ADMIN.list_consumer_groups().result(20).valid]
    expect(GROUP in ids, "the group is not listed")
    ADMIN.delete_consumer_groups([GROUP])[GROUP].result(20)


def delete_topic():
    ADMIN.delete_topics([TOPIC])[TOPIC].result(20)


for action in (create_topic, describe_configs, produce, consume_group, resume_group, cooperative_group, seek, groups,
               delete_topic):
    step(action.__name__, action)
finish()
