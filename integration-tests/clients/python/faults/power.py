"""Cuts the power of a node's data disk again and again under load, once with every append flushed and once without.

Checked after every cut, by reading everything back: no hole, no wrong byte, no record before its predecessor; the log is
what it was before, a part of its end at most missing; nothing below a recovery point on disk is missing; topics whose
creation was acknowledged are there. With log.flush.interval.messages=1 nothing acknowledged is missing, no record and no
committed offset.
"""
import atexit
import os
import random
import time

from confluent_kafka import OFFSET_INVALID, Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from faults.history import FAST_RECONNECT, Sender, conclude, lost_and_moved, read_back, shape_violations
from faults.image import LoopImage
from faults.node import FaultNode

PARTITIONS = range(3)
# A topic lives this long, so that reading everything back stays quick; the one before it is deleted under load.
ROUNDS_PER_TOPIC = 8
CODECS = ["none", "lz4", "zstd"]
GROUP = "power"
# A busy machine is no violation.
READ_SECONDS = 300


class Mode:
    """One node, one image, and what must hold of it."""

    def __init__(self, options, directory, name, overrides):
        self.name, self.is_flushed = name, name == "flushed"
        self.directory = os.path.join(directory, name)
        os.makedirs(self.directory)
        self.image = LoopImage(self.directory, 2048)
        self.image.mount()
        self.node = FaultNode(options.node, self.directory, options.port, overrides)
        atexit.register(self.image.unmount)
        atexit.register(self.node.end)
        self.chance = random.Random(f"{options.seed}/{name}")
        self.found, self.before, self.created = [], {}, set()
        self.acknowledged = self.after_cut = self.lost = self.commits_lost = 0

    def wrong(self, number, sentence):
        self.found.append(f"{self.name}, cut {number}: {sentence}")
        print(f"violated at once: {self.found[-1]}", flush=True)

    def round(self, number):
        topic = f"power-{number // ROUNDS_PER_TOPIC}"
        if number % ROUNDS_PER_TOPIC == 0:
            self.new_topic(number, topic)
        senders = [Sender(self.node.address, f"{number}.{i}", topic, PARTITIONS, codec)
                   for i, codec in enumerate(self.chance.sample(CODECS, 2))]
        for sender in senders:
            sender.start()
        until = time.monotonic() + self.chance.uniform(0.05, 0.9)
        committed = self.commit_until(until, topic)
        self.create(f"made-{number}")
        time.sleep(max(0, until - time.monotonic()))
        cut_at = self.cut()
        for sender in senders:
            sender.give_up()
            self.after_cut += sender.forget_after(cut_at)
        self.image.unmount()
        self.image.mount()
        points = recovery_points(self.image.path)
        self.node.reboot()
        self.node.start()
        self.check(number, topic, senders, committed, points)

    def cut(self):
        """Cuts the power, and when acknowledgements stopped counting: without power there would have been none.

        Every other time the node goes on over the dead disk for a moment, as it would over one that fails. A sync that is
        under way then may still report success for what ext4 drops, so that what is acknowledged after it proves nothing.
        """
        if self.chance.random() < 0.5:
            self.node.kill()
            self.image.cut()
            return float("inf")
        before = time.monotonic()
        self.image.cut()
        self.node.kill()
        return before

    def new_topic(self, number, topic):
        admin = AdminClient({"bootstrap.servers": self.node.address, **FAST_RECONNECT})
        new = NewTopic(topic, len(PARTITIONS), 1, config={"segment.bytes": "1048576"})
        admin.create_topics([new])[topic].result(60)
        if number:
            old = f"power-{number // ROUNDS_PER_TOPIC - 1}"
            admin.delete_topics([old])[old].result(60)
        self.created = {topic}
        self.before = {}

    def create(self, topic):
        admin = AdminClient({"bootstrap.servers": self.node.address, **FAST_RECONNECT})
        admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(60)
        self.created.add(topic)

    def commit_until(self, until, topic):
        """Commits rising offsets for partition 0; the highest that was acknowledged, or what stands for none."""
        client = Consumer({"bootstrap.servers": self.node.address, "group.id": GROUP, "enable.auto.commit": False,
                           **FAST_RECONNECT})
        highest, offset = OFFSET_INVALID, 0
        while time.monotonic() < until - 0.02:
            offset += 1
            answer = client.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
            if answer[0].error is None:
                highest = offset
        client.close()
        return highest

    def committed(self, topic):
        client = Consumer({"bootstrap.servers": self.node.address, "group.id": GROUP, **FAST_RECONNECT})
        try:
            return client.committed([TopicPartition(topic, 0)], timeout=READ_SECONDS)[0].offset
        finally:
            client.close()

    def check(self, number, topic, senders, committed, points):
        log, errors = read_back(self.node.address, topic, PARTITIONS, READ_SECONDS)
        for partition, error in errors.items():
            self.wrong(number, f"{topic}-{partition}: {error}")
        for sentence in shape_violations(topic, log):
            self.wrong(number, sentence)
        # What could not be read is told above; whether it is lost only a reading tells.
        lost, moved = lost_and_moved(log, senders, set(PARTITIONS) - set(errors))
        for sentence in moved:
            self.wrong(number, sentence)
        for partition, records in log.items():
            old = self.before.get(partition, [])
            shared = min(len(old), len(records))
            if partition in errors:
                continue
            if old[:shared] != records[:shared]:
                self.wrong(number, f"{topic}-{partition}: a record changed that was there before")
            self.lost_from_before(number, f"{topic}-{partition}", len(old) - shared)
            if len(records) < points.get((topic, partition), 0):
                self.wrong(number, f"{topic}-{partition}: ends at {len(records)}, below its recovery point")
        if lost and self.is_flushed:
            self.wrong(number, f"{topic}: {lost} acknowledged records are missing")
        found = self.committed(topic)
        if found < committed:
            self.commits_lost += 1
            if self.is_flushed:
                self.wrong(number, f"committed offset is back at {found} from {committed}")
        admin = AdminClient({"bootstrap.servers": self.node.address, **FAST_RECONNECT})
        for name in self.created - set(admin.list_topics(timeout=READ_SECONDS).topics):
            self.wrong(number, f"{name} was created and is missing")
        self.acknowledged += sum(len(sender.acknowledged) for sender in senders)
        self.lost += lost
        self.before = {**self.before, **{p: records for p, records in log.items() if p not in errors}}

    def lost_from_before(self, number, where, count):
        self.lost += count
        if count and self.is_flushed:
            self.wrong(number, f"{where}: {count} records of former rounds are missing")

    def run(self, rounds):
        self.node.start()
        for number in range(rounds):
            self.round(number)
            if (number + 1) % 10 == 0:
                print(f"{self.name}: {number + 1} cuts, {self.acknowledged} acknowledged, {self.lost} lost, "
                      f"{len(self.found)} violations", flush=True)
        self.node.end()
        self.image.remove()
        has_put_back = "put back what was acknowledged" in self.node.log_since(0)
        if self.is_flushed and not has_put_back:
            self.wrong(rounds, "no start has put anything back from the flush journal: the cuts show nothing of it")
        wrong = sum("wrong bytes" in sentence or "changed" in sentence for sentence in self.found)
        return conclude(f"power, {self.name}", self.found, cuts=rounds, acknowledged=self.acknowledged, lost=self.lost,
                        commits_lost=self.commits_lost, wrong=wrong)


def recovery_points(directory):
    """Up to where each partition was flushed, as its directory says on disk: (topic, partition) -> offset."""
    try:
        with open(os.path.join(directory, "recovery-point-offset-checkpoint"), encoding="ascii") as file:
            lines = file.read().split("\n")[2:]
    except FileNotFoundError:
        return {}
    rows = [line.split(" ") for line in lines if line]
    return {(topic, int(partition)): int(offset) for topic, partition, offset in rows}


def main(options, directory):
    """200 cuts in each mode unless `--rounds` says otherwise."""
    rounds = options.rounds or 200
    flushed = Mode(options, directory, "flushed", ["log.flush.interval.messages=1"])
    code = flushed.run(rounds)
    # Frequent checkpoints, so that recovery points move while the load goes on.
    default = Mode(options, directory, "default", ["log.flush.offset.checkpoint.interval.ms=500",
                                                   "log.flush.scheduler.interval.ms=200"])
    return code | default.run(rounds)
