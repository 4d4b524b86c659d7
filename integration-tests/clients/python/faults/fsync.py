"""Lets one sync fail in one of two log directories.

Checked: the directory goes offline at once and stays so, though every later sync would succeed, until a restart; nothing of
it is acknowledged meanwhile; the other directory serves; after the restart everything acknowledged is there.
"""
import os
import random
import time

from confluent_kafka.admin import AdminClient, NewTopic

from faults.history import FAST_RECONNECT, Sender, conclude, lost_and_moved, read_back, shape_violations
from faults.node import FaultNode

TOPIC = "fsync"
PARTITIONS = range(6)
ONE_ATTEMPT = {"enable.idempotence": False, "retries": 0, "acks": "all"}


class Directories:
    """A node with two log directories; the metadata log lies in the first, and the second is the one that fails."""

    def __init__(self, options, directory):
        self.first, self.second = os.path.join(directory, "first"), os.path.join(directory, "second")
        self.node = FaultNode(options.node, directory, options.port,
                              [f"log.dirs={self.first},{self.second}", "log.flush.interval.messages=1"])
        self.found, self.senders = [], []
        self.acknowledged = self.refused = self.lost = self.wrong = 0

    def hosted(self):
        """Partitions of each directory."""
        of = {}
        for directory in (self.first, self.second):
            names = [name for name in os.listdir(directory) if name.startswith(TOPIC + "-") and not name.endswith("-delete")]
            of[directory] = {int(name.rsplit("-", 1)[1]) for name in names}
        return of[self.first], of[self.second]

    def send(self, name, partitions, seconds):
        sender = Sender(self.node.address, name, TOPIC, sorted(partitions), **ONE_ATTEMPT)
        self.senders.append(sender)
        sender.start()
        time.sleep(seconds)
        return sender

    def round(self, number, chance):
        sender = self.send(f"{number}.both", PARTITIONS, 0.3)
        sender.finish()
        healthy, failing = self.hosted()
        if not healthy or not failing:
            raise SystemExit(f"partitions lie in one directory only: {healthy}, {failing}")
        sender = self.send(f"{number}.while", PARTITIONS, chance.uniform(0, 0.3))
        self.node.fail_next_sync(self.second)
        deadline = time.monotonic() + 20
        while not self.node.sync_has_failed() and time.monotonic() < deadline:
            time.sleep(0.01)
        if not self.node.sync_has_failed():
            self.found.append(f"round {number}: nothing was synced in {self.second}")
        time.sleep(0.3)
        sender.finish()
        self.count(sender)
        # Syncs succeed again, and the directory must stay offline all the same.
        for attempt in range(3):
            self.must_be_offline(number, attempt, healthy, failing)
        if not self.node.is_alive():
            self.found.append(f"round {number}: the node ended")
        self.check(number, healthy)
        self.node.kill()
        self.node.start()
        back = self.send(f"{number}.after", PARTITIONS, 0.3)
        back.finish()
        missing = set(PARTITIONS) - {partition for partition, _ in back.acknowledged}
        if missing:
            self.found.append(f"round {number}: after a restart partitions {missing} take no records: {dict(back.refused)}")
        self.check(number, PARTITIONS)

    def count(self, sender):
        for name, count in sender.refused.items():
            self.refused += count
            if name not in ("KAFKA_STORAGE_ERROR", "NOT_LEADER_FOR_PARTITION", "LEADER_NOT_AVAILABLE"):
                self.found.append(f"{sender.name}: Produce was refused with {name}, {count} times")

    def must_be_offline(self, number, attempt, healthy, failing):
        other = self.send(f"{number}.{attempt}.healthy", healthy, 0.2)
        same = self.send(f"{number}.{attempt}.failing", failing, 0.2)
        other.finish()
        same.finish(10)
        if other.refused or len({p for p, _ in other.acknowledged}) != len(healthy):
            self.found.append(f"round {number}: the healthy directory refused: {dict(other.refused)}")
        if same.acknowledged:
            self.found.append(f"round {number}: {len(same.acknowledged)} records were acknowledged in the failed directory")
        self.count(same)

    def check(self, number, partitions):
        log, errors = read_back(self.node.address, TOPIC, partitions)
        for partition, error in errors.items():
            self.found.append(f"round {number}, {TOPIC}-{partition}: {error}")
        # Refused records may stand in the log or not: only bytes, offsets and what was acknowledged count.
        shape = [s for s in shape_violations(TOPIC, log) if "lost, doubled" not in s]
        self.wrong += sum("wrong bytes" in s for s in shape)
        self.found += [f"round {number}: {sentence}" for sentence in shape]
        lost, moved = lost_and_moved(log, self.senders, partitions)
        self.lost += lost
        self.found += [f"round {number}: {sentence}" for sentence in moved]
        if lost:
            self.found.append(f"round {number}: {lost} acknowledged records are missing")

    def run(self, rounds, seed):
        chance = random.Random(seed)
        self.node.start()
        admin = AdminClient({"bootstrap.servers": self.node.address, **FAST_RECONNECT})
        admin.create_topics([NewTopic(TOPIC, len(PARTITIONS), 1)])[TOPIC].result(20)
        for number in range(rounds):
            self.round(number, chance)
        self.node.end()
        acknowledged = sum(len(sender.acknowledged) for sender in self.senders)
        return conclude("fsync", self.found, failed_syncs=rounds, acknowledged=acknowledged, refused=self.refused,
                        lost=self.lost, wrong=self.wrong)


def main(options, directory):
    """10 failed syncs unless `--rounds` says otherwise."""
    return Directories(options, directory).run(options.rounds or 10, options.seed)
