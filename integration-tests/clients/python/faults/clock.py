"""Sets the wall clock of a node forward and back by a day, again and again, under idempotent producers and a group.

Checked as after crashes (crash.py): nothing acknowledged is lost, doubled or out of order, what the group read is what the
log holds, no committed offset goes back; and the node answers all the while. Retention is on (a day and a half).
"""
import random
import time

from faults.load import Load
from faults.node import FaultNode

DAY_SECONDS = 86_400


def main(options, directory):
    """12 steps of the clock unless `--rounds` says otherwise."""
    steps = options.rounds or 12
    chance = random.Random(options.seed)
    # Records of a client whose clock is right must not be refused by a node whose clock is a day behind.
    node = FaultNode(options.node, directory, options.port, [f"log.message.timestamp.after.max.ms={DAY_SECONDS * 2000}",
                                                            f"log.retention.ms={DAY_SECONDS * 1500}",
                                                            "log.retention.check.interval.ms=500"])
    node.start()
    load = Load(node, settings={"segment.bytes": "1048576"})
    for _ in range(steps):
        time.sleep(chance.uniform(0.5, 2))
        node.set_clock(chance.choice([DAY_SECONDS, -DAY_SECONDS, 0]))
        load.must_go_on("the clock was set", 20)
    node.set_clock(0)
    return load.finish("clock", steps=steps)
