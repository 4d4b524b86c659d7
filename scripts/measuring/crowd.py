"""Many clients in one process, beside what is measured: run as `nice -n 19 python3 -m measuring.crowd ROLE PORT ...`.

  slow PORT TOPIC COUNT BYTES_PER_S       consumers that ask for 1 MiB and read so little of it a second
  idle PORT TOPIC COUNT                   consumers at the end of an idle topic, each waiting 500 ms at a time, as clients do
  cold PORT TOPIC PARTITIONS COUNT        consumers that read from the start as fast as they can, again and again
  sessions PORT TOPIC PARTITIONS COUNT    consumers with a fetch session over all partitions of TOPIC-0, TOPIC-1000, ..., waiting
  groups PORT COUNT SPEED                 classic groups of one member: a heartbeat every 3 s and a commit every 5 s, SPEED times

Prints `ready` once all are connected, and on SIGTERM one line of JSON: answers, errors by code, latencies where they are told.
"""
import collections, json, selectors, signal, struct, sys, time
from . import machine, wire

MAX_BYTES = 1 << 20
WAIT_MS = 500
# A member's heartbeat.interval.ms, and auto.commit.interval.ms.
HEARTBEAT_S, COMMIT_S = 3.0, 5.0


class Peer:
    """A connection that reads answers piece by piece."""

    def __init__(self, port, **options):
        self.connection = wire.Connection(port, **options)
        self.socket, self.data = self.connection.socket, bytearray()

    def ask(self, key, body):
        self.socket.setblocking(True)
        self.connection.send(key, body)
        self.socket.setblocking(False)

    def take(self, most):
        """Reads at most so many bytes: an answer if one is whole."""
        try:
            piece = self.socket.recv(most)
        except BlockingIOError:
            return None
        if not piece:
            raise ConnectionError("the broker closed a connection")
        self.data += piece
        if len(self.data) < 4:
            return None
        length = struct.unpack_from(">i", self.data)[0]
        if len(self.data) < 4 + length:
            return None
        answer = wire.Reader(bytes(self.data[4:4 + length]))
        self.data = self.data[4 + length:]
        answer.take("i")
        return answer


class Crowd:
    def __init__(self):
        self.answers, self.errors, self.latencies, self.is_over = 0, collections.Counter(), [], False
        signal.signal(signal.SIGTERM, self.end)

    def end(self, *_):
        self.is_over = True

    def note(self, *codes):
        self.answers += 1
        self.errors.update(code for code in codes if code)

    def tell(self):
        found = {"answers": self.answers, "errors": {str(code): count for code, count in self.errors.items()}}
        if self.latencies:
            sorted_ms = sorted(self.latencies)
            for name, part in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
                found[name + "_ms"] = sorted_ms[min(len(sorted_ms) - 1, int(part * len(sorted_ms)))] * 1e3
        print(json.dumps(found), flush=True)


def slow(crowd, port, topic, count, bytes_per_s):
    peers = [Peer(port, receive_buffer=4096) for _ in range(count)]
    probe = wire.Connection(port)
    for peer in peers:
        peer.ask(wire.FETCH, probe.fetch(topic, {0: 0}, max_bytes=MAX_BYTES))
    print("ready", flush=True)
    while not crowd.is_over:
        began = time.monotonic()
        for peer in peers:
            answer = peer.take(bytes_per_s)
            if answer:
                error, _, found = probe.fetched(answer)
                crowd.note(error, *(code for _, code, _ in found))
                peer.ask(wire.FETCH, probe.fetch(topic, {0: 0}, max_bytes=MAX_BYTES))
        # A second of all, in short sleeps, so that its end is not missed.
        while not crowd.is_over and time.monotonic() < began + 1:
            time.sleep(0.05)


def waiting(crowd, port, count, first, again):
    """Consumers of which each asks again as soon as it has its answer; `first` and `again` make their requests."""
    selector, probe = selectors.DefaultSelector(), wire.Connection(port)
    began = time.monotonic()
    for number in range(count):
        peer = Peer(port)
        # Evenly over the time that they wait, as those that know nothing of each other.
        time.sleep(max(0.0, began + number * WAIT_MS / 1e3 / count - time.monotonic()))
        peer.ask(wire.FETCH, first(probe, number))
        selector.register(peer.socket, selectors.EVENT_READ, (peer, number))
    print("ready", flush=True)
    while not crowd.is_over:
        for key, _ in selector.select(0.1):
            peer, number = key.data
            answer = peer.take(MAX_BYTES * 2)
            if answer:
                error, session, found = probe.fetched(answer)
                crowd.note(error, *(code for _, code, _ in found))
                peer.ask(wire.FETCH, again(probe, number, session, found))


def idle(crowd, port, topic, count):
    ends = wire.Connection(port).offsets(topic, 1, -1)
    ask = lambda probe, *_: probe.fetch(topic, ends, max_wait_ms=WAIT_MS)
    waiting(crowd, port, count, ask, ask)


def cold(crowd, port, topic, partitions, count):
    at = [0] * count

    def ask(probe, number):
        return probe.fetch(topic, {number % partitions: at[number]}, max_bytes=MAX_BYTES)

    def again(probe, number, _, found):
        records = found[0][2] if found else b""
        last = at[number]
        place = 0
        while place + 61 <= len(records):
            base, length = struct.unpack_from(">qi", records, place)
            if place + 12 + length > len(records):
                break
            last, place = base + struct.unpack_from(">i", records, place + 23)[0] + 1, place + 12 + length
        # At the end it begins again.
        at[number] = last if last > at[number] else 0
        return ask(probe, number)

    waiting(crowd, port, count, ask, again)


def sessions(crowd, port, topic, partitions, count):
    probe = wire.Connection(port)
    ends = {name: probe.offsets(name, of_it, -1) for name, of_it in wire.topics_of(topic, partitions).items()}
    epochs = [0] * count

    def again(probe, number, session, _):
        epochs[number] += 1
        return probe.fetch_all({}, session=(session, epochs[number]), max_wait_ms=WAIT_MS)

    waiting(crowd, port, count, lambda probe, _: probe.fetch_all(ends, session=(0, 0), max_wait_ms=WAIT_MS), again)


def groups(crowd, port, count, speed):
    control = wire.Connection(port)
    control.find_coordinator("group-0")
    control.create_topic("groups", 1)
    control.await_led("groups", 1)
    members = [(f"group-{number}", *control.join_classic(f"group-{number}")) for number in range(count)]
    heartbeats = [wire.frame(wire.HEARTBEAT, wire.heartbeat(group, generation, member)) for group, member, generation in members]
    # Each group's own connection, as with real clients.
    peers = [Peer(port) for _ in members]
    selector, sent = selectors.DefaultSelector(), [collections.deque() for _ in members]
    for number, peer in enumerate(peers):
        peer.socket.setblocking(False)
        selector.register(peer.socket, selectors.EVENT_READ, number)
    print("ready", flush=True)
    began, turns = time.monotonic(), [0, 0]
    while not crowd.is_over:
        now = time.monotonic()
        for kind, every in ((0, HEARTBEAT_S), (1, COMMIT_S)):
            pace = every / speed / count
            while began + turns[kind] * pace <= now:
                number, due = turns[kind] % count, began + turns[kind] * pace
                group, member, generation = members[number]
                data = heartbeats[number] if kind == 0 else wire.frame(
                    wire.OFFSET_COMMIT, wire.commit(group, generation, member, "groups", turns[kind]))
                peers[number].socket.sendall(data)
                sent[number].append((kind, due))
                turns[kind] += 1
        for key, _ in selector.select(0.001):
            answer = peers[key.data].take(1 << 16)
            if answer:
                kind, due = sent[key.data].popleft()
                crowd.note(answer.take("h") if kind == 0 else wire.commit_error(answer))
                crowd.latencies.append(time.monotonic() - due)


def main():
    role, port, *rest = sys.argv[1:]
    machine.raise_open_files()
    crowd = Crowd()
    words = [int(word) if word.isdigit() else word for word in rest]
    {"slow": slow, "idle": idle, "cold": cold, "sessions": sessions, "groups": groups}[role](crowd, int(port), *words)
    crowd.tell()


if __name__ == "__main__":
    main()
