"""A consumer group of librdkafka on a node that has only just begun to listen, new and after `kill -9`.

Usage: first_contact.py BINARY PORT DIRECTORY (empty). Fails if any answer made the client look for its coordinator again.
"""
import os
import signal
import socket
import subprocess
import sys
import time

from confluent_kafka import Consumer, Producer

from steps import expect, finish, step

BINARY, PORT, DIRECTORY = sys.argv[1:4]
ADDRESS = f"127.0.0.1:{PORT}"
UNREADY = ("coordinator load", "not coordinator", "coordinator not available", "NOT_COORDINATOR", "LOAD_IN_PROGRESS",
           "COORDINATOR_NOT_AVAILABLE")


class Lines(list):
    """The client's own log, kept."""

    def log(self, _level, text, *arguments):
        self.append(text % arguments if arguments else text)


def start_node():
    """Starts the node and returns as soon as its port is open."""
    with open(os.path.join(DIRECTORY, "node.log"), "ab") as output:
        node = subprocess.Popen([BINARY, "--override", f"log.dirs={DIRECTORY}/data", "--override",
                                 f"listeners=PLAINTEXT://{ADDRESS}", "--override", "metrics.listener=none"], stdout=output,
                                stderr=output)
    while True:
        expect(node.poll() is None, "the node ended")
        try:
            socket.create_connection(("127.0.0.1", int(PORT))).close()
            return node
        except ConnectionRefusedError:
            continue


def consume(first, count):
    """Reads `count` records as the group from offset `first` and commits, then looks at the client's log."""
    lines = Lines()
    began = time.monotonic()
    consumer = Consumer({"bootstrap.servers": ADDRESS, "group.id": "first-contact", "auto.offset.reset": "earliest",
                         "enable.auto.commit": False, "debug": "cgrp,protocol,broker"}, logger=lines)
    consumer.subscribe(["first-contact"])
    offsets = []
    while len(offsets) < count and time.monotonic() < began + 20:
        message = consumer.poll(0.1)
        if message is not None:
            expect(message.error() is None, str(message.error()))
            offsets.append(message.offset())
    took = time.monotonic() - began
    consumer.commit(asynchronous=False)
    consumer.close()
    unready = [line for line in lines if any(word.lower() in line.lower() for word in UNREADY)]
    expect(lines, "the client logged nothing")
    expect(not unready, f"the client was sent away: {unready[:3]}")
    expect(offsets == list(range(first, first + count)), f"read {offsets[:5]}, expected {count} from {first}")
    print(f"      {count} records read by a new group member in {took * 1000:.0f} ms", flush=True)


def produce(count):
    """Sends `count` records to the only partition."""
    failed = []
    producer = Producer({"bootstrap.servers": ADDRESS, "enable.idempotence": True})
    for i in range(count):
        producer.produce("first-contact", b"v%d" % i, on_delivery=lambda error, _: failed.append(error) if error else None)
    expect(producer.flush(20) == 0 and not failed, f"not delivered: {failed[:1]}")


def round_of(first):
    """Starts the node, works at once, and kills it."""
    node = start_node()
    try:
        produce(10)
        consume(first, 10)
    finally:
        node.send_signal(signal.SIGKILL)
        node.wait()


step("a_new_node", lambda: round_of(0))
step("after_kill_9", lambda: round_of(10))
step("after_kill_9_again", lambda: round_of(20))
finish()
