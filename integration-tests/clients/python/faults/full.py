"""Fills the disk of a node: with its own records, and with somebody else's file to the last byte.

Checked: Produce gets Kafka's error, nothing acknowledged is lost, everything can be read while the disk is full, a group
commits as long as the node's reserve lasts and never loses a commit, topics are deleted, no log directory goes offline; once that or the file's removal makes room, Produce works again without a restart; and after a restart too.
"""
import atexit
import errno
import os
import time
from itertools import product

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from faults.history import FAST_RECONNECT, Sender, conclude, lost_and_moved, read_back, sent_as
from faults.image import LoopImage
from faults.node import FaultNode

KEPT, LARGE, GROUP = "full-kept", "full-large", "full-group"
PARTITIONS = range(2)
MIB = 160
# Each record is sent once and answered once, so that the answer is seen.
ONE_ATTEMPT = {"enable.idempotence": False, "retries": 0, "acks": "all"}
PATIENCE_SECONDS = 40


class Disk:
    """One node on one small disk; `metadata` is where its metadata log lies, `mode` whether records are flushed first."""

    def __init__(self, options, directory, metadata, mode):
        self.directory = directory
        self.image = LoopImage(directory, MIB)
        self.image.mount()
        overrides = ["log.segment.delete.delay.ms=1000", "auto.create.topics.enable=false"]
        if metadata == "elsewhere":
            overrides.append(f"metadata.log.dir={directory}/metadata")
        if mode == "flushed":
            overrides.append("log.flush.interval.messages=1")
        self.elsewhere = metadata == "elsewhere"
        self.node = FaultNode(options.node, directory, options.port, overrides)
        atexit.register(self.image.unmount)
        atexit.register(self.node.end)
        self.title, self.found, self.senders = f"metadata {metadata}, {mode}", [], []
        self.acknowledged = self.refused = self.lost = self.wrong_bytes = 0
        self.asked = self.committed = 0

    def wrong(self, sentence):
        self.found.append(f"{self.title}: {sentence}")

    def admin(self):
        return AdminClient({"bootstrap.servers": self.node.address, **FAST_RECONNECT})

    def sender(self, name, topic, **settings):
        sender = Sender(self.node.address, name, topic, PARTITIONS, **{**ONE_ATTEMPT, **settings})
        self.senders.append(sender)
        sender.start()
        return sender

    def fill_with_records(self):
        """Returns once Produce is refused."""
        before = len(self.senders)
        senders = [self.sender(f"large-{before + i}", LARGE, pause=0, **{"linger.ms": 5}) for i in range(3)]
        deadline = time.monotonic() + 120
        while not all(sender.refused for sender in senders):
            if time.monotonic() > deadline or not self.node.is_alive():
                self.wrong("the disk was filled and Produce was not refused" if self.node.is_alive() else "the node ended")
                break
            time.sleep(0.05)
        for sender in senders:
            sender.finish()
            self.check_refusals(sender)

    def check_refusals(self, sender):
        for name, count in sender.refused.items():
            self.refused += count
            if name != "KAFKA_STORAGE_ERROR":
                self.wrong(f"Produce was refused with {name}, {count} times")

    def ballast(self):
        """Takes what room is left, to the last block."""
        with open(os.path.join(self.image.path, "ballast"), "ab", buffering=0) as file:
            for size in (1 << 20, 4096, 512):
                try:
                    while file.write(b"x" * size):
                        pass
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def remove_ballast(self):
        os.remove(os.path.join(self.image.path, "ballast"))

    def group(self):
        return Consumer({"bootstrap.servers": self.node.address, "group.id": GROUP, "enable.auto.commit": False,
                         **FAST_RECONNECT})

    def commit(self):
        """Commits a higher offset than before; whether it was acknowledged."""
        client = self.group()
        self.asked += 1
        try:
            answer = client.commit(offsets=[TopicPartition(KEPT, 0, self.asked)], asynchronous=False)
            is_done = answer[0].error is None
        except KafkaException:
            is_done = False
        client.close()
        if is_done:
            self.committed = self.asked
        return is_done

    def must_commit(self, when):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.commit():
            if time.monotonic() > deadline:
                return self.wrong(f"{when}: nothing can be committed for {PATIENCE_SECONDS} s")
            time.sleep(0.2)

    def check_commit(self, when):
        client = self.group()
        found = client.committed([TopicPartition(KEPT, 0)], timeout=30)[0].offset
        client.close()
        if not self.committed <= found <= self.asked:
            self.wrong(f"{when}: offset {found} is committed, {self.committed} was acknowledged")

    def check_directories(self):
        text = self.node.log_since(0)
        if "offline" in text:
            at = text.index("offline")
            self.wrong(f"something went offline: {text[max(0, at - 150):at + 100]!r}")

    def must_refuse(self, name):
        sender = self.sender(name, KEPT)
        time.sleep(1)
        sender.finish()
        self.check_refusals(sender)
        if not sender.refused:
            self.wrong(f"{len(sender.acknowledged)} records were taken on a full disk")

    def must_take(self, name, why):
        """Produce works again within the patience of this check."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        attempt = 0
        while time.monotonic() < deadline:
            sender = self.sender(f"{name}.{attempt}", KEPT)
            time.sleep(0.3)
            sender.finish()
            attempt += 1
            if sender.acknowledged and not sender.refused:
                return
            self.check_refusals(sender)
        self.wrong(f"{why}, and Produce is still refused after {PATIENCE_SECONDS} s")

    def check_log(self, when, topics=(KEPT, LARGE)):
        for topic in topics:
            log, errors = read_back(self.node.address, topic, PARTITIONS)
            for partition, error in errors.items():
                self.wrong(f"{when}, {topic}-{partition}: {error}")
            senders = [s for s in self.senders if s.topic == topic]
            lost, moved = lost_and_moved(log, senders)
            self.lost += lost
            self.found += [f"{self.title}: {when}: {sentence}" for sentence in moved]
            if lost:
                self.wrong(f"{when}, {topic}: {lost} acknowledged records are missing")
            for partition, records in log.items():
                if [offset for offset, _ in records] != list(range(len(records))):
                    self.wrong(f"{when}, {topic}-{partition}: offsets have a gap or repeat")
                bad = [offset for offset, value in records if sent_as(value) is None]
                self.wrong_bytes += len(bad)
                if bad:
                    self.wrong(f"{when}, {topic}-{partition}: wrong bytes at {bad[:5]}")

    def delete_large(self):
        # The client must outlive its answer.
        admin = self.admin()
        try:
            admin.delete_topics([LARGE])[LARGE].result(20)
        except KafkaException as error:
            self.wrong(f"the topic cannot be deleted on a full disk: {error}")
            return False
        self.senders = [s for s in self.senders if s.topic != LARGE]
        return True

    def create_topics(self, *names):
        admin = self.admin()
        for name, future in admin.create_topics([NewTopic(n, len(PARTITIONS), 1) for n in names]).items():
            try:
                future.result(20)
            except KafkaException as error:
                self.wrong(f"{name} cannot be created: {error}")

    def run(self):
        self.node.start()
        self.create_topics(KEPT, LARGE)
        self.must_take("first", "a new node")
        self.fill_with_records()
        self.must_commit("full of records")
        self.check_log("full of records")
        self.must_refuse("refused-1")
        if self.delete_large():
            self.must_take("after-delete", "a topic was deleted")
        self.create_topics(LARGE)
        self.fill_with_records()
        self.ballast()
        self.must_refuse("refused-2")
        self.commit()
        self.check_commit("no byte free")
        self.check_log("no byte free")
        self.delete_on_no_byte()
        if self.node.is_alive():
            self.remove_ballast()
            self.must_take("after-ballast", "the file that filled the disk was removed")
            self.must_commit("room again")
        else:
            self.wrong("the node ended on a disk without a free byte")
            self.remove_ballast()
            self.node.start()
        self.check_log("room again", [KEPT])
        self.node.stop()
        self.node.start()
        self.check_log("after a restart", [KEPT])
        self.check_commit("after a restart")
        self.must_take("last", "a restart")
        self.acknowledged = sum(len(sender.acknowledged) for sender in self.senders)
        self.check_directories()
        self.node.end()
        self.image.remove()

    def delete_on_no_byte(self):
        """Without a free byte a topic can be deleted where the metadata log lies elsewhere; else an error is an answer."""
        if self.elsewhere:
            self.delete_large()
            return
        admin = self.admin()
        try:
            admin.delete_topics([LARGE])[LARGE].result(10)
        except KafkaException as error:
            print(f"{self.title}: deletion without a free byte: {error}")


def main(options, directory):
    """Each place of the metadata log in each mode `--rounds` times, once by default."""
    found, acknowledged, refused, lost, wrong_bytes = [], 0, 0, 0, 0
    rounds = options.rounds or 1
    for number in range(rounds):
        for metadata, mode in product(("beside", "elsewhere"), ("default", "flushed")):
            place = os.path.join(directory, f"{number}-{metadata}-{mode}")
            os.makedirs(place)
            disk = Disk(options, place, metadata, mode)
            disk.run()
            found += disk.found
            acknowledged += disk.acknowledged
            refused += disk.refused
            lost += disk.lost
            wrong_bytes += disk.wrong_bytes
    return conclude("full", found, disks=4 * rounds, acknowledged=acknowledged, refused=refused, lost=lost, wrong=wrong_bytes)
