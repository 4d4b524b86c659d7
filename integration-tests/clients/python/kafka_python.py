"""kafka-python against a node: admin, produce, consume, group with commit, seek. Usage: kafka_python.py HOST:PORT"""
import sys
import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

from steps import expect, finish, step

ADDRESS = sys.argv[1]
TOPIC = f"kafka-python-{int(time.time() * 1000)}"
GROUP = TOPIC + "-group"


def create_topic():
    admin = KafkaAdminClient(bootstrap_servers=ADDRESS)
    admin.create_topics([NewTopic(name=TOPIC, num_partitions=3, replication_factor=1)])
    expect(TOPIC in admin.list_topics(), "the created topic is not listed")
    admin.close()


def produce():
    for codec in (None, "gzip"):
        producer = KafkaProducer(bootstrap_servers=ADDRESS, acks="all", compression_type=codec)
        futures = [producer.send(TOPIC, key=b"k%d" % i, value=b"v%d" % i, partition=i % 3) for i in range(150)]
        offsets = [future.get(timeout=20).offset for future in futures]
        expect(len(offsets) == 150, "not every record was acknowledged")
        producer.close()


def consume_group():
    consumer = KafkaConsumer(TOPIC, bootstrap_servers=ADDRESS, group_id=GROUP, auto_offset_reset="earliest",
                             enable_auto_commit=False, consumer_timeout_ms=20000)
    seen = []
    for record in consumer:
        seen.append((record.partition, record.offset))
        if len(seen) == 300:
            break
    expect(len(set(seen)) == 300, f"saw {len(set(seen))} records of 300")
    consumer.commit()
    committed = sum(consumer.committed(TopicPartition(TOPIC, p)) for p in range(3))
    expect(committed == 300, f"committed {committed}, not 300")
    consumer.close()


def resume_group():
    consumer = KafkaConsumer(TOPIC, bootstrap_servers=ADDRESS, group_id=GROUP, auto_offset_reset="earliest",
                             consumer_timeout_ms=2000)
    expect(len(list(consumer)) == 0, "a committed group read records again")
    consumer.close()


def seek():
    consumer = KafkaConsumer(bootstrap_servers=ADDRESS, consumer_timeout_ms=20000)
    partition = TopicPartition(TOPIC, 1)
    consumer.assign([partition])
    expect(consumer.beginning_offsets([partition])[partition] == 0, "the log does not begin at 0")
    expect(consumer.end_offsets([partition])[partition] == 100, "the log does not end at 100")
    consumer.seek(partition, 42)
    expect(next(consumer).offset == 42, "the record after seek(42) is not 42")
    consumer.close()


def delete_topic():
    admin = KafkaAdminClient(bootstrap_servers=ADDRESS)
    admin.delete_topics([TOPIC])
    expect(TOPIC not in admin.list_topics(), "the deleted topic is still listed")
    admin.close()


for action in (create_topic, produce, consume_group, resume_group, seek, delete_topic):
    step(action.__name__, action)
finish()
