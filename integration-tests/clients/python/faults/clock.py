"""Sets the wall clock of a node forward and back by a day, again and again, under idempotent producers and a group.

Checked as after crashes (crash.py): nothing acknowledged is lost, doubled or out of order, what the group read is what the
log holds, no committed offset goes back; and the node answers all the while. Records are kept for half a day and offsets of idle
groups for six hours, so that a node that believed a day's step would delete both at once: none may be missing. The operator is
told.
"""
import random
import time

import crash
from confluent_kafka import Consumer, TopicPartition

from faults.history import FAST_RECONNECT
from faults.load import Load
from faults.node import FaultNode

DAY_SECONDS = 86_400
IDLE_GROUP, IDLE_OFFSET = "idle", 3
TOLD = "the wall clock was set by more than an hour"


def idle_group(node):
    return Consumer({"bootstrap.servers": node.address, "group.id": IDLE_GROUP, **FAST_RECONNECT})


def idle_offset(node):
    client = idle_group(node)
    try:
        return client.committed([TopicPartition(crash.TOPIC, 0)], timeout=20)[0].offset
    finally:
        client.close()


def main(options, directory):
    """12 steps of the clock unless `--rounds` says otherwise."""
    steps = options.rounds or 12
    chance = random.Random(options.seed)
    # Records of a client whose clock is right must not be refused by a node whose clock is a day behind.
    node = FaultNode(options.node, directory, options.port, [f"log.message.timestamp.after.max.ms={DAY_SECONDS * 2000}",
                                                            f"log.retention.ms={DAY_SECONDS * 500}",
                                                            "log.retention.check.interval.ms=200",
                                                            "offsets.retention.minutes=360",
                                                            "offsets.retention.check.interval.ms=200"])
    node.start()
    load = Load(node, settings={"segment.ms": "500"})
    client = idle_group(node)
    client.commit(offsets=[TopicPartition(crash.TOPIC, 0, IDLE_OFFSET)], asynchronous=False)
    client.close()
    ahead = 0
    for _ in range(steps):
        time.sleep(chance.uniform(0.5, 2))
        ahead = chance.choice([step for step in (DAY_SECONDS, -DAY_SECONDS, 0) if step != ahead])
        node.set_clock(ahead)
        load.must_go_on("the clock was set", 20)
        offset = idle_offset(node)
        if offset != IDLE_OFFSET:
            load.found.append(f"the idle group's offset is {offset} after the clock was set")
    if not ahead:
        node.set_clock(DAY_SECONDS)
    if not node.wait_for_line(TOLD, 0, 20):
        load.found.append("the operator was not told that the clock was set")
    node.set_clock(0)
    return load.finish("clock", steps=steps)
