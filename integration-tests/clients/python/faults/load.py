"""The producers and the group of crash.py on a node that stays the same process."""
import threading
import time
from collections import defaultdict

import crash
from confluent_kafka.admin import AdminClient, NewTopic

from faults.history import conclude


class Load:
    """Works from its making until `finish`."""

    def __init__(self, node, settings=None):
        self.node, self.found = node, []
        # The client must outlive its answer.
        admin = AdminClient({"bootstrap.servers": node.address})
        topic = NewTopic(crash.TOPIC, crash.PARTITIONS, 1, config=settings or {})
        admin.create_topics([topic])[crash.TOPIC].result(20)
        self.stop_sending, self.stop_reading, self.lock = threading.Event(), threading.Event(), threading.Lock()
        self.floor = defaultdict(int)
        self.senders = [crash.Sender(node.address, f"producer-{i}", self.stop_sending) for i in range(crash.PRODUCERS)]
        self.readers = [crash.Reader(node.address, self.floor, self.lock, self.stop_reading) for _ in range(2)]
        for client in self.senders + self.readers:
            client.start()

    def acknowledged(self):
        return sum(len(sender.acknowledged) for sender in self.senders)

    def must_go_on(self, what, seconds):
        """Producers are acknowledged and the group commits again within this time."""
        before, deadline = self.acknowledged(), time.monotonic() + seconds
        while self.acknowledged() == before and time.monotonic() < deadline:
            time.sleep(0.01)
        if self.acknowledged() == before:
            self.found.append(f"nothing was acknowledged within {seconds} s after {what}")
        if not crash.wait_for_commit(self.floor, self.lock):
            self.found.append(f"the group committed nothing within {crash.COMMIT_WAIT_SECONDS} s after {what}")

    def finish(self, title, **figures):
        """Stops the clients, reads everything back and checks it; the exit code."""
        self.stop_sending.set()
        for sender in self.senders:
            sender.join(300)
        log = crash.whole_log(self.node.address)
        ends = {p: len(log[p]) for p in range(crash.PARTITIONS)}
        crash.wait_until_read(self.floor, ends, self.lock)
        self.stop_reading.set()
        for reader in self.readers:
            reader.join(30)
        committed = crash.committed_offsets(self.node.address)
        self.found += crash.violations(log, self.senders, self.readers, self.floor, committed)
        self.found += [f"partition {p}: the group came to {self.floor[p]} of {ends[p]}" for p in ends if self.floor[p] < ends[p]]
        self.node.stop()
        read = sum(len(reader.read) for reader in self.readers)
        lost = sum("not at the acknowledged offset" in sentence for sentence in self.found)
        wrong = sum("another record" in sentence for sentence in self.found)
        return conclude(title, self.found, **figures, acknowledged=self.acknowledged(), read_by_the_group=read, lost=lost, wrong=wrong)
