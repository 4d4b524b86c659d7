"""Flips one bit in one file of a node, while it is down and while it is up, for each kind of file.

Checked: no wrong byte is ever served, nothing is missing without an error, committed offsets and answers by time are the
true ones or an error; what can be derived is rebuilt; a node that refuses to start names the file. The last records of a
log that was not closed may be cut off as a torn end, if the node says so.
"""
import glob
import os
import random
import shutil
import time
from collections import Counter

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from faults.history import FAST_RECONNECT, Sender, conclude, read_back
from faults.node import FaultNode

TOPIC, CUT, GROUP, COMMITTED = "flip", "cut", "flip-group", 123
PARTITIONS = range(2)
# kind -> (files below the data directory, whether everything must be served all the same)
KINDS = {
    "log": ("flip-*/*.log", False),
    "index": ("flip-*/*.index", True),
    "timeindex": ("flip-*/*.timeindex", True),
    "snapshot": ("flip-*/*.snapshot", True),
    "leader epochs": ("flip-*/leader-epoch-checkpoint", True),
    "partition.metadata": ("flip-*/partition.metadata", False),
    "meta.properties": ("meta.properties", False),
    "recovery points": ("recovery-point-offset-checkpoint", True),
    "high watermarks": ("replication-offset-checkpoint", True),
    "log starts": ("log-start-offset-checkpoint", True),
    "vote": ("__cluster_metadata-0/quorum-*", False),
    "metadata log": ("__cluster_metadata-0/*.log", False),
    "metadata snapshot": ("__cluster_metadata-0/*.checkpoint", False),
    "offsets topic": ("__consumer_offsets-*/*.log", False),
    "offset store": ("committed-offsets/*", True),
}


class Truth:
    """A data directory that was stopped cleanly, and everything that it holds."""

    def __init__(self, options, directory):
        self.options, self.directory = options, directory
        node = self.node_on(os.path.join(directory, "truth"))
        node.start()
        admin = AdminClient({"bootstrap.servers": node.address, **FAST_RECONNECT})
        admin.create_topics([NewTopic(TOPIC, len(PARTITIONS), 1, config={"segment.bytes": "1048576"})])[TOPIC].result(20)
        self.raise_a_log_start(admin, node)
        sender = Sender(node.address, "flip", TOPIC, PARTITIONS)
        sender.start()
        while len(sender.acknowledged) < 12_000:
            time.sleep(0.05)
        sender.finish()
        client = Consumer({"bootstrap.servers": node.address, "group.id": GROUP, **FAST_RECONNECT})
        client.commit(offsets=[TopicPartition(TOPIC, 0, COMMITTED)], asynchronous=False)
        client.close()
        self.acknowledged = len(sender.acknowledged)
        self.log, errors = read_back(node.address, TOPIC, PARTITIONS)
        if errors:
            raise SystemExit(f"the undamaged log: {errors}")
        self.times = [int(time.time() * 1000) - ago for ago in (0, 500, 1000, 2000, 3000, 60_000)]
        self.by_time = answers_by_time(node, self.times)
        self.cluster = cluster_of(node)
        node.stop()

    def raise_a_log_start(self, admin, node):
        """A log that does not begin at 0, so that there is a checkpoint of such starts."""
        admin.create_topics([NewTopic(CUT, 1, 1)])[CUT].result(20)
        sender = Sender(node.address, "cut", CUT, [0])
        sender.start()
        while not sender.acknowledged:
            time.sleep(0.01)
        sender.finish()
        partition = TopicPartition(CUT, 0, 1)
        admin.delete_records([partition])[partition].result(20)

    def node_on(self, directory):
        os.makedirs(directory, exist_ok=True)
        # Small enough that there is a snapshot.
        return FaultNode(self.options.node, directory, self.options.port, ["metadata.log.max.record.bytes.between.snapshots=1000"])

    def copy(self, name):
        directory = os.path.join(self.directory, name)
        shutil.copytree(os.path.join(self.directory, "truth", "data"), os.path.join(directory, "data"))
        return self.node_on(directory)


def answers_by_time(node, times):
    """The offset of each time in each partition, `None` where the node gives an error."""
    client = Consumer({"bootstrap.servers": node.address, "group.id": "times", **FAST_RECONNECT})
    answers = []
    for at in times:
        try:
            found = client.offsets_for_times([TopicPartition(TOPIC, p, at) for p in PARTITIONS], timeout=5)
            answers += [None if p.error else p.offset for p in found]
        except KafkaException:
            answers += [None] * len(PARTITIONS)
    client.close()
    return answers


def committed_of(node):
    client = Consumer({"bootstrap.servers": node.address, "group.id": GROUP, **FAST_RECONNECT})
    try:
        answer = client.committed([TopicPartition(TOPIC, 0)], timeout=5)[0]
        return None if answer.error else answer.offset
    except KafkaException:
        return None
    finally:
        client.close()


def cluster_of(node):
    admin = AdminClient({"bootstrap.servers": node.address, **FAST_RECONNECT})
    try:
        return admin.list_topics(timeout=10).cluster_id
    except KafkaException:
        return None


def flip(path, chance):
    """Turns one bit of the file; where."""
    at, bit = chance.randrange(os.path.getsize(path)), chance.randrange(8)
    with open(path, "r+b", buffering=0) as file:
        byte = os.pread(file.fileno(), 1, at)[0]
        os.pwrite(file.fileno(), bytes([byte ^ (1 << bit)]), at)
    return f"bit {bit} of byte {at}"


class Flips:
    """All rounds on copies of one truth."""

    def __init__(self, truth, chance):
        self.truth, self.chance = truth, chance
        self.found, self.outcomes = [], Counter()

    def round(self, kind, number, is_up):
        pattern, is_derived = KINDS[kind]
        node = self.truth.copy(f"{kind.replace(' ', '-')}-{number}-{'up' if is_up else 'down'}")
        files = [f for f in glob.glob(os.path.join(node.data, pattern)) if os.path.isfile(f) and os.path.getsize(f)]
        if not files:
            self.outcomes[f"{kind}: no such file"] += 1
            return
        path = self.chance.choice(sorted(files))
        if is_up:
            node.start()
            if not node.wait_served(20):
                raise SystemExit("an undamaged copy does not start")
            if not os.path.exists(path):
                self.outcomes[f"{kind}: gone at start"] += 1
                return node.end()
            where = f"{os.path.relpath(path, node.data)}, {flip(path, self.chance)}, while up"
            self.examine(node, kind, where, is_derived, is_torn=False)
            node.kill()
            self.start_and_examine(node, kind, f"{where}, then killed", is_derived, path, is_torn=True)
        else:
            where = f"{os.path.relpath(path, node.data)}, {flip(path, self.chance)}, while down"
            self.start_and_examine(node, kind, where, is_derived, path, is_torn=False)
        node.end()
        shutil.rmtree(os.path.dirname(node.data))

    def start_and_examine(self, node, kind, where, is_derived, path, is_torn):
        refusal = node.start_or_refusal()
        if refusal is None:
            return self.examine(node, kind, where, is_derived, is_torn)
        self.outcomes[f"{kind}: refused"] += 1
        names_it = os.path.basename(path) in refusal or os.path.basename(os.path.dirname(path)) in refusal
        if is_derived or not names_it:
            self.found.append(f"{where}: no start: {refusal.strip()[-300:]}")

    def examine(self, node, kind, where, is_derived, is_torn):
        log, errors = read_back(node.address, TOPIC, PARTITIONS, seconds=6)
        said_torn = is_torn and "torn tail" in node.log_since(0)
        bad = [] if node.is_alive() else [f"the node ended: {node.log_since(0).strip()[-300:]}"]
        for partition in PARTITIONS:
            truth, served = self.truth.log[partition], log[partition]
            if any(offset >= len(truth) or truth[offset][1] != value for offset, value in served):
                bad.append(f"wrong bytes were served of partition {partition}")
            elif partition in errors and is_derived:
                bad.append(f"partition {partition} is not served: {errors[partition]}")
            elif partition not in errors and len(served) < len(truth) and not said_torn:
                bad.append(f"partition {partition} lacks {len(truth) - len(served)} records without an error")
        committed = committed_of(node)
        if committed not in (COMMITTED, None) or (committed is None and is_derived):
            bad.append(f"committed offset {committed}")
        by_time = answers_by_time(node, self.truth.times)
        differ = [got for got, true in zip(by_time, self.truth.by_time) if got != true and (got is not None or is_derived)]
        if differ and not said_torn:
            bad.append(f"offsets by time are {differ}")
        if node.is_alive() and cluster_of(node) != self.truth.cluster:
            bad.append("another cluster id")
        self.outcomes[f"{kind}: {'violated' if bad else 'an error' if errors or committed is None else 'served'}"] += 1
        self.found += [f"{where}: {sentence}" for sentence in bad]


def main(options, directory):
    """3 flips of each kind of file while down and as many while up, unless `--rounds` says otherwise."""
    rounds = options.rounds or 3
    truth = Truth(options, directory)
    flips = Flips(truth, random.Random(options.seed))
    for kind in KINDS:
        for number in range(rounds):
            for is_up in (False, True):
                flips.round(kind, number, is_up)
    for outcome, count in sorted(flips.outcomes.items()):
        print(f"flip: {outcome}: {count}")
    wrong = sum("wrong bytes" in sentence for sentence in flips.found)
    lost = sum("without an error" in sentence for sentence in flips.found)
    return conclude("flip", flips.found, flips=2 * rounds * len(KINDS), acknowledged=truth.acknowledged, lost=lost, wrong=wrong)
