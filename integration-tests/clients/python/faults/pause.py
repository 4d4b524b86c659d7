"""Stops a node with SIGSTOP for a while under idempotent producers and a group, and lets it go on.

Checked as after crashes (crash.py): nothing acknowledged is lost, doubled or out of order, what the group read is what the
log holds, no committed offset goes back; and the clients work again once the node does.
"""
import random
import signal
import time

from faults.load import Load
from faults.node import FaultNode


def main(options, directory):
    """3 pauses of `--seconds` unless `--rounds` says otherwise."""
    rounds = options.rounds or 3
    chance = random.Random(options.seed)
    node = FaultNode(options.node, directory, options.port)
    node.start()
    load = Load(node)
    for _ in range(rounds):
        time.sleep(chance.uniform(0.5, 2))
        node.process.send_signal(signal.SIGSTOP)
        time.sleep(options.seconds)
        node.process.send_signal(signal.SIGCONT)
        load.must_go_on("the pause", 60)
    return load.finish("pause", pauses=rounds, seconds_each=options.seconds)
