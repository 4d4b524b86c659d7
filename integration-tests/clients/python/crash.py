"""Kills a node again and again under idempotent producers and a consumer group, and checks what was promised.

Usage: crash.py --node BINARY [--rounds N] [--seed S] [--dir DIR] [--port P] [--override KEY=VALUE]...

Each round lets the clients work for a random while (some until the group has committed), sends SIGKILL, and starts the node again on the same directory.
Checked: every acknowledged record stands in the log once, at the offset that was acknowledged, in the order in which its
producer sent it; what the group read is what the log holds, without a gap; a committed offset that was acknowledged is
never lower afterwards. The seed decides the moments of the kills; the rest is up to the machine. Every 100 rounds everything is
checked and another topic and group begin.
"""
import argparse
import atexit
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

TOPIC = "crash"
GROUP = "crash-group"
PARTITIONS = 4
PRODUCERS = 2
# Every so many rounds the kill waits until the group has committed: members need longer to join than most lives last.
COMMIT_EVERY = 4
COMMIT_WAIT_SECONDS = 60
# So many rounds share a topic, and so many records go out in a second: checking all of them must stay quick.
ROUNDS_PER_TOPIC = 100
RECORDS_PER_SECOND = 1_000


class Node:
    """The node's process: started, killed, started again on one directory."""

    def __init__(self, binary, directory, port, overrides):
        self.command = [binary, "--override", f"log.dirs={directory}/data",
                        "--override", f"listeners=PLAINTEXT://127.0.0.1:{port}",
                        "--override", "group.initial.rebalance.delay.ms=0"]
        for override in overrides:
            self.command += ["--override", override]
        self.log = open(os.path.join(directory, "node.log"), "ab")
        self.port = port
        self.process = None

    def start(self):
        """Starts the process and returns after how many seconds it accepted a connection."""
        began = time.monotonic()
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log)
        while True:
            if self.process.poll() is not None:
                raise SystemExit(f"the node ended with exit code {self.process.returncode}: see {self.log.name}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return time.monotonic() - began
            except OSError:
                if time.monotonic() - began > 30:
                    raise SystemExit("the node does not accept connections") from None
                time.sleep(0.002)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self):
        """Leaves no process behind, however the script ends."""
        if self.process.poll() is None:
            self.kill()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


def value_of(name, partition, number):
    return json.dumps([name, partition, number]).encode()


class Sender(threading.Thread):
    """One idempotent producer: numbers its records per partition and remembers each acknowledgement."""

    def __init__(self, address, name, stop, topic=TOPIC):
        super().__init__(daemon=True)
        self.name, self.stop_asked, self.topic = name, stop, topic
        self.sent = [0] * PARTITIONS
        self.acknowledged = {}  # (partition, number) -> offset
        self.errors = []
        self.producer = Producer({"bootstrap.servers": address, "enable.idempotence": True, "linger.ms": 2,
                                  "message.timeout.ms": 0, "retry.backoff.ms": 20, "reconnect.backoff.ms": 5,
                                  "reconnect.backoff.max.ms": 50, "log_level": 0,
                                  "compression.type": "lz4" if name.endswith("0") else "none"})

    def delivered(self, error, message):
        if error:
            self.errors.append(str(error))
            return
        _, partition, number = json.loads(message.value())
        key = (partition, number)
        if key in self.acknowledged:
            self.errors.append(f"{key} was acknowledged twice")
        self.acknowledged[key] = message.offset()

    def run(self):
        partition, began, count = 0, time.monotonic(), 0
        while not self.stop_asked.is_set():
            ahead = count / RECORDS_PER_SECOND - (time.monotonic() - began)
            if ahead > 0:
                self.producer.poll(ahead)
                continue
            partition = (partition + 1) % PARTITIONS
            value = value_of(self.name, partition, self.sent[partition])
            try:
                self.producer.produce(self.topic, value=value, partition=partition, on_delivery=self.delivered)
                self.sent[partition] += 1
                count += 1
            except BufferError:
                self.producer.poll(0.05)
            self.producer.poll(0)
        left = self.producer.flush(240)
        if left:
            self.errors.append(f"{left} records were never acknowledged")


class Reader(threading.Thread):
    """One member of the group: remembers what it read and the highest commit that was acknowledged."""

    def __init__(self, address, floor, lock, stop, topic=TOPIC, group=GROUP):
        super().__init__(daemon=True)
        self.stop_asked, self.floor, self.lock, self.topic = stop, floor, lock, topic
        self.read = []
        self.errors = []
        self.consumer = Consumer({"bootstrap.servers": address, "group.id": group, "auto.offset.reset": "earliest",
                                  "enable.auto.commit": False, "session.timeout.ms": 6000, "log_level": 0,
                                  "reconnect.backoff.ms": 5, "reconnect.backoff.max.ms": 50,
                                  "heartbeat.interval.ms": 300, "fetch.wait.max.ms": 50})

    def run(self):
        self.consumer.subscribe([self.topic])
        while not self.stop_asked.is_set():
            messages = self.consumer.consume(500, 0.1)
            good = [m for m in messages if m.error() is None]
            self.read += [(m.partition(), m.offset(), m.value()) for m in good]
            if good:
                self.commit(good)
        self.consumer.close()

    def commit(self, messages):
        ends = {}
        for message in messages:
            ends[message.partition()] = message.offset() + 1
        try:
            answers = self.consumer.commit(offsets=[TopicPartition(self.topic, p, o) for p, o in ends.items()],
                                           asynchronous=False)
        except KafkaException as error:
            # A commit that was cut off or came from a former generation promises nothing.
            if error.args[0].code() in (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError.UNKNOWN_TOPIC_OR_PART):
                self.errors.append(f"commit: {error}")
            return
        with self.lock:
            for answer in answers:
                if answer.error is None:
                    self.floor[answer.partition] = max(self.floor[answer.partition], answer.offset)


def committed_offsets(address, topic=TOPIC, group=GROUP):
    """The group's committed offsets, asked of the node by a client that is not a member."""
    client = Consumer({"bootstrap.servers": address, "group.id": group, "log_level": 0,
                       "reconnect.backoff.ms": 5, "reconnect.backoff.max.ms": 50})
    try:
        return {p.partition: p.offset
                for p in client.committed([TopicPartition(topic, p) for p in range(PARTITIONS)], timeout=30)}
    finally:
        client.close()


def whole_log(address, topic=TOPIC):
    """Every record of the topic from the start to the end: partition -> [(offset, value)]."""
    client = Consumer({"bootstrap.servers": address, "group.id": GROUP + "-audit", "enable.auto.commit": False,
                       "enable.partition.eof": True, "log_level": 0})
    client.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
    log, ended = defaultdict(list), set()
    while len(ended) < PARTITIONS:
        for message in client.consume(2000, 5):
            if message.error() is None:
                log[message.partition()].append((message.offset(), message.value()))
            elif message.error().code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
            else:
                raise SystemExit(f"reading the log back: {message.error()}")
    client.close()
    return log


def wait_for_commit(floor, lock):
    """Returns once the group has committed further; whether it did."""
    with lock:
        before = sum(floor.values())
    deadline = time.monotonic() + COMMIT_WAIT_SECONDS
    while time.monotonic() < deadline:
        with lock:
            if sum(floor.values()) > before:
                return True
        time.sleep(0.01)
    return False


def wait_until_read(floor, ends, lock):
    """Returns once the group has committed everything, or nothing more for a minute."""
    known, deadline = -1, 0
    while any(floor[p] < ends[p] for p in ends):
        with lock:
            now = sum(floor.values())
        if now > known:
            known, deadline = now, time.monotonic() + 60
        elif time.monotonic() > deadline:
            return
        time.sleep(0.1)


def violations(log, senders, readers, floor, last_committed):
    """Sentences on everything that is not as promised."""
    found = []
    for owner in senders + readers:
        found += [f"{owner.name}: {error}" for error in owner.errors]
    value_at = {}
    for partition, records in log.items():
        offsets = [offset for offset, _ in records]
        if offsets != list(range(len(offsets))):
            found.append(f"partition {partition}: offsets have a gap or repeat")
        numbers = defaultdict(list)
        for offset, value in records:
            value_at[(partition, offset)] = value
            name, _, number = json.loads(value)
            numbers[name].append(number)
        for name, seen in numbers.items():
            if seen != list(range(len(seen))):
                found.append(f"partition {partition}: records of {name} are lost, doubled or out of order")
    for sender in senders:
        for (partition, number), offset in sender.acknowledged.items():
            value = value_at.get((partition, offset))
            if value is None or value != value_of(sender.name, partition, number):
                found.append(f"{sender.name} {partition}/{number}: not at the acknowledged offset {offset}")
    seen = defaultdict(set)
    for reader in readers:
        for partition, offset, value in reader.read:
            seen[partition].add(offset)
            if value_at.get((partition, offset)) != value:
                found.append(f"partition {partition}: the group read another record at {offset} than the log holds")
    for partition in range(PARTITIONS):
        missing = [o for o in range(floor[partition]) if o not in seen[partition]]
        if missing:
            found.append(f"partition {partition}: {len(missing)} committed offsets were never read, first {missing[0]}")
        if last_committed[partition] < floor[partition]:
            found.append(f"partition {partition}: committed {last_committed[partition]} after {floor[partition]}")
    return found


class Figures:
    """What all topics together came to."""

    def __init__(self):
        self.acknowledged = self.in_log = self.read = self.commits = 0
        self.starts, self.found = [], []

    def line(self, rounds):
        return (f"{rounds} kills, {self.acknowledged} records acknowledged, {self.in_log} in the log, "
                f"{self.read} read by the group, {self.commits} kills behind a commit")


def kill_under_load(node, chance, rounds, name, figures):
    """Kills the node in each of these rounds while clients use a topic and a group of this name, then checks both."""
    address, found = f"127.0.0.1:{node.port}", figures.found
    # The client must outlive its answer.
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result(20)
    stop_sending, stop_reading, lock = threading.Event(), threading.Event(), threading.Lock()
    floor = defaultdict(int)
    senders = [Sender(address, f"producer-{i}", stop_sending, name) for i in range(PRODUCERS)]
    readers = [Reader(address, floor, lock, stop_reading, name, name) for _ in range(2)]
    for client in senders + readers:
        client.start()
    for number in rounds:
        if number % COMMIT_EVERY == 0:
            if wait_for_commit(floor, lock):
                figures.commits += 1
            else:
                found.append(f"round {number}: the group committed nothing in {COMMIT_WAIT_SECONDS} s")
        time.sleep(chance.uniform(0.05, 0.8))
        node.kill()
        with lock:
            promised = dict(floor)
        figures.starts.append(node.start())
        if number % 10 == 0:
            now = committed_offsets(address, name, name)
            found += [f"round {number}: partition {p} committed {now[p]} after {promised[p]}"
                      for p in promised if now[p] < promised[p]]
    stop_sending.set()
    for sender in senders:
        sender.join(300)
    log = whole_log(address, name)
    ends = {p: len(log[p]) for p in range(PARTITIONS)}
    wait_until_read(floor, ends, lock)
    stop_reading.set()
    for reader in readers:
        reader.join(30)
    found += violations(log, senders, readers, floor, committed_offsets(address, name, name))
    found += [f"partition {p}: the group came to {floor[p]} of {ends[p]}" for p in ends if floor[p] < ends[p]]
    figures.acknowledged += sum(len(sender.acknowledged) for sender in senders)
    figures.in_log += sum(ends.values())
    figures.read += sum(len(reader.read) for reader in readers)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--node", required=True)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dir")
    parser.add_argument("--port", type=int, default=19092)
    parser.add_argument("--override", action="append", default=[])
    options = parser.parse_args()
    directory = options.dir or tempfile.mkdtemp(prefix="cauce-crash-")
    os.makedirs(directory, exist_ok=True)
    chance = random.Random(options.seed)
    node = Node(options.node, directory, options.port, options.override)
    node.start()
    atexit.register(node.end)
    figures, old = Figures(), None
    for first in range(1, options.rounds + 1, ROUNDS_PER_TOPIC):
        last = min(first + ROUNDS_PER_TOPIC - 1, options.rounds)
        name = f"{TOPIC}-{first}"
        if old:
            admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{options.port}", "log_level": 0})
            admin.delete_topics([old])[old].result(20)
        kill_under_load(node, chance, range(first, last + 1), name, figures)
        print(f"{figures.line(last)}, {len(figures.found)} violations", flush=True)
        old = name
    node.stop()

    for sentence in figures.found[:50]:
        print("VIOLATION", sentence)
    figures.starts.sort()
    median_ms = figures.starts[len(figures.starts) // 2] * 1000
    print(f"kill: {figures.line(options.rounds)}, seed {options.seed}, start to listening median {median_ms:.0f} ms, "
          f"{len(figures.found)} violations")
    sys.exit(1 if figures.found else 0)


if __name__ == "__main__":
    main()
