"""What was sent, what was acknowledged, and whether the log that is read back agrees with it.

A record's value tells who sent it and is made again from that, so that one wrong byte is seen.
"""
import hashlib
import threading
import time
from collections import defaultdict

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

FAST_RECONNECT = {"reconnect.backoff.ms": 5, "reconnect.backoff.max.ms": 50, "log_level": 0}


def value_of(sender, partition, number):
    """The only bytes that this record may have."""
    head = f"{sender}|{partition}|{number}|"
    digest = hashlib.md5(head.encode()).hexdigest()
    return (head + digest * (1 + int(digest[:4], 16) % 40)).encode()


def sent_as(value):
    """Sender, partition and number of a value, or `None` if these are not the bytes that anybody sent."""
    try:
        sender, partition, number, _ = value.decode().split("|")
        name = (sender, int(partition), int(number))
    except (UnicodeDecodeError, ValueError):
        return None
    return name if value_of(*name) == value else None


class Sender(threading.Thread):
    """One idempotent producer that numbers its records per partition; when stopped it gives up what is not acknowledged."""

    def __init__(self, address, name, topic, partitions, codec="none", pause=0.001, **settings):
        super().__init__(daemon=True)
        self.name, self.topic, self.partitions, self.pause = name, topic, partitions, pause
        self.stop_asked = threading.Event()
        self.sent = defaultdict(int)
        self.acknowledged = {}  # (partition, number) -> offset
        self.acknowledged_at = {}  # (partition, number) -> monotonic seconds
        self.refused = defaultdict(int)  # error name -> count
        self.producer = Producer({"bootstrap.servers": address, "enable.idempotence": True, "linger.ms": 1,
                                  "compression.type": codec, **FAST_RECONNECT, **settings})

    def delivered(self, error, message, key):
        if error is None:
            self.acknowledged[key] = message.offset()
            self.acknowledged_at[key] = time.monotonic()
        elif error.code() not in (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT):
            self.refused[error.name()] += 1

    def send(self, partition):
        number = self.sent[partition]
        key = (partition, number)
        try:
            self.producer.produce(self.topic, value=value_of(self.name, partition, number), partition=partition,
                                  on_delivery=lambda error, message: self.delivered(error, message, key))
            self.sent[partition] += 1
        except BufferError:
            self.producer.poll(0.05)

    def run(self):
        while not self.stop_asked.is_set():
            for partition in self.partitions:
                self.send(partition)
            self.producer.poll(self.pause)

    def give_up(self):
        """Ends the producer; nothing is sent or counted as acknowledged afterwards."""
        self.stop_asked.set()
        self.join()
        self.producer.purge()
        # What was on its way may come back to the queue: only a producer that is no more sends nothing.
        while self.producer.flush(1):
            self.producer.purge()
        self.producer = None

    def forget_after(self, moment):
        """Takes back acknowledgements that came after `moment` (monotonic seconds)."""
        late = [key for key, at in self.acknowledged_at.items() if at >= moment]
        for key in late:
            del self.acknowledged[key]
        return len(late)

    def finish(self, seconds=60):
        """Ends the thread once everything that was sent is acknowledged or refused; how many records are neither."""
        self.stop_asked.set()
        self.join()
        return self.producer.flush(seconds)


def read_back(address, topic, partitions, seconds=60):
    """Every record of a topic: partition -> [(offset, value)], and what could not be read: partition -> error."""
    client = Consumer({"bootstrap.servers": address, "group.id": "read-back", "enable.auto.commit": False,
                       "auto.offset.reset": "error", "enable.partition.eof": True, "fetch.wait.max.ms": 20,
                       "fetch.error.backoff.ms": 20, **FAST_RECONNECT})
    client.assign([TopicPartition(topic, p, 0) for p in partitions])
    log, errors, waiting = {p: [] for p in partitions}, {}, set(partitions)
    deadline = time.monotonic() + seconds
    while waiting and time.monotonic() < deadline:
        for message in client.consume(5000, 0.2):
            partition = message.partition()
            if message.error() is None:
                log[partition].append((message.offset(), message.value()))
            elif message.error().code() == KafkaError._PARTITION_EOF:
                waiting.discard(partition)
            elif partition in waiting and message.topic() == topic:
                errors[partition] = message.error().str()
                waiting.discard(partition)
    client.close()
    errors |= {p: f"not read to its end within {seconds} s" for p in waiting}
    return log, errors


def shape_violations(topic, log):
    """Sentences on holes, wrong bytes, and records of one sender that are missing before another, doubled or out of order."""
    found = []
    for partition, records in log.items():
        where = f"{topic}-{partition}"
        offsets = [offset for offset, _ in records]
        if offsets != list(range(len(offsets))):
            gap = next(i for i, offset in enumerate(offsets) if i != offset)
            found.append(f"{where}: offset {offsets[gap]} where {gap} was expected")
        numbers = defaultdict(list)
        for offset, value in records:
            name = sent_as(value)
            if name is None or name[1] != partition:
                found.append(f"{where}: wrong bytes at offset {offset}: {value[:60]!r}")
            else:
                numbers[name[0]].append(name[2])
        for sender, seen in numbers.items():
            if seen != list(range(len(seen))):
                found.append(f"{where}: records of {sender} are lost, doubled or out of order")
    return found


def lost_and_moved(log, senders, partitions=None):
    """Of these partitions, or all: how many acknowledged records lie beyond the log's end, and sentences on those that stand at another offset."""
    lost, found = 0, []
    at = {(p, offset): value for p, records in log.items() for offset, value in records}
    for sender in senders:
        for (partition, number), offset in sender.acknowledged.items():
            if partitions is not None and partition not in partitions:
                continue
            value = at.get((partition, offset))
            if value is None:
                lost += 1
            elif value != value_of(sender.name, partition, number):
                found.append(f"{sender.topic}-{partition}: another record than {sender.name}/{number} at {offset}")
    return lost, found


def conclude(title, found, **figures):
    """Prints what was violated and one line of figures; the exit code."""
    for sentence in found[:30]:
        print("VIOLATION", sentence)
    print(f"{title}: " + ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in figures.items())
          + f", {len(found)} violations", flush=True)
    return 1 if found else 0
