"""aiokafka against a node: admin, produce, consume, group with commit, seek. Usage: aio_kafka.py HOST:PORT"""
import asyncio
import sys
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from steps import expect, finish, step

ADDRESS = sys.argv[1]
TOPIC = f"aiokafka-{int(time.time() * 1000)}"
GROUP = TOPIC + "-group"


async def create_topic():
    admin = AIOKafkaAdminClient(bootstrap_servers=ADDRESS)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, num_partitions=3, replication_factor=1)])
    expect(TOPIC in await admin.list_topics(), "the created topic is not listed")
    await admin.close()


async def produce():
    for idempotent in (False, True):
        producer = AIOKafkaProducer(bootstrap_servers=ADDRESS, acks="all", enable_idempotence=idempotent)
        await producer.start()
        sent = [await producer.send(TOPIC, b"v%d" % i, partition=i % 3) for i in range(150)]
        await asyncio.gather(*sent)
        await producer.stop()


async def consume_group():
    consumer = AIOKafkaConsumer(TOPIC, bootstrap_servers=ADDRESS, group_id=GROUP, auto_offset_reset="earliest",
                                enable_auto_commit=False)
    await consumer.start()
    seen = set()
    while len(seen) < 300:
        record = await asyncio.wait_for(consumer.getone(), 20)
        expect((record.partition, record.offset) not in seen, "a record came twice")
        seen.add((record.partition, record.offset))
    await consumer.commit()
    await consumer.stop()


async def resume_group():
    consumer = AIOKafkaConsumer(TOPIC, bootstrap_servers=ADDRESS, group_id=GROUP, auto_offset_reset="earliest")
    await consumer.start()
    again = await consumer.getmany(timeout_ms=1500)
    expect(not again, "a committed group read records again")
    await consumer.stop()


async def seek():
    consumer = AIOKafkaConsumer(bootstrap_servers=ADDRESS)
    await consumer.start()
    partition = TopicPartition(TOPIC, 1)
    consumer.assign([partition])
    expect((await consumer.end_offsets([partition]))[partition] == 100, "the log does not end at 100")
    consumer.seek(partition, 42)
    record = await asyncio.wait_for(consumer.getone(), 20)
    expect(record.offset == 42, "the record after seek(42) is not 42")
    await consumer.stop()


async def delete_topic():
    admin = AIOKafkaAdminClient(bootstrap_servers=ADDRESS)
    await admin.start()
    await admin.delete_topics([TOPIC])
    expect(TOPIC not in await admin.list_topics(), "the deleted topic is still listed")
    await admin.close()


for action in (create_topic, produce, consume_group, resume_group, seek, delete_topic):
    step(action.__name__, lambda action=action: asyncio.run(asyncio.wait_for(action(), 60)))
finish()
