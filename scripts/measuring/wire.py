"""A few requests of Kafka's protocol, for what the generator has no workload for: topics, ends of logs, fetch sessions,
classic groups, readers that are slow. Versions before the flexible ones, which Kafka 4 and Cauce both serve."""
import socket, struct, time

PRODUCE, FETCH, LIST_OFFSETS, METADATA, OFFSET_COMMIT, FIND_COORDINATOR = 0, 1, 2, 3, 8, 10
JOIN_GROUP, HEARTBEAT, SYNC_GROUP, CREATE_TOPICS = 11, 12, 14, 19
VERSIONS = {PRODUCE: 3, FETCH: 7, LIST_OFFSETS: 1, METADATA: 4, OFFSET_COMMIT: 2, FIND_COORDINATOR: 0, JOIN_GROUP: 2, HEARTBEAT: 0,
            SYNC_GROUP: 0, CREATE_TOPICS: 2}
# What a broker answers that has not begun to serve a topic or a group: ask again.
NOT_YET = {3, 5, 6, 14, 15, 16, 27}
PATIENCE = 120
BATCH_COUNT_AT = 57
# Kafka refuses ten thousand partitions in one request.
PARTITIONS_OF_A_TOPIC = 1000


def topics_of(prefix, partitions):
    """Names of topics that have so many partitions between them, and how many each has."""
    each = PARTITIONS_OF_A_TOPIC
    return {f"{prefix}-{low}": min(each, partitions - low) for low in range(0, partitions, each)}


class Refused(Exception):
    """The broker answered with an error code."""


def string(text):
    return struct.pack(">h", len(text)) + text.encode()


def array(items):
    return struct.pack(">i", len(items)) + b"".join(items)


def blob(data):
    return struct.pack(">i", len(data)) + data


class Reader:
    def __init__(self, data):
        self.data, self.at = memoryview(data), 0

    def take(self, form):
        found = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(">" + form)
        return found if len(found) > 1 else found[0]

    def bytes(self, form="i"):
        length = max(0, self.take(form))
        self.at += length
        return self.data[self.at - length:self.at]

    def string(self):
        return str(self.bytes("h"), "utf-8")


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def one_record(value=b"one record"):
    """A batch of one record without key and headers."""
    record = bytes([0, 0, 0, 1, 2 * len(value)]) + value + b"\0"
    now = int(time.time() * 1000)
    rest = struct.pack(">hiqqqhii", 0, 0, now, now, -1, -1, -1, 1) + bytes([2 * len(record)]) + record
    rest = struct.pack(">I", crc32c(rest)) + rest
    return struct.pack(">qiib", 0, len(rest) + 5, -1, 2) + rest


RECORD = one_record()


def frame(key, body, correlation_id=1):
    head = struct.pack(">hhi", key, VERSIONS[key], correlation_id) + string("cauce-bench")
    return struct.pack(">i", len(head) + len(body)) + head + body


class Connection:
    def __init__(self, port, timeout=PATIENCE, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self):
        self.socket.close()

    def send(self, key, body):
        self.socket.sendall(frame(key, body))

    def read(self, count):
        data = bytearray(count)
        view, at = memoryview(data), 0
        while at < count:
            got = self.socket.recv_into(view[at:])
            if not got:
                raise ConnectionError("the broker closed the connection")
            at += got
        return data

    def receive(self):
        answer = Reader(self.read(struct.unpack(">i", self.read(4))[0]))
        answer.take("i")
        return answer

    def ask(self, key, body):
        self.send(key, body)
        return self.receive()

    def create_topic(self, name, partitions, keys=None):
        """Waits until every partition has a leader."""
        configs = [string(key) + string(str(value)) for key, value in (keys or {}).items()]
        topic = string(name) + struct.pack(">ih", partitions, 1) + array([]) + array(configs)
        answer = self.ask(CREATE_TOPICS, array([topic]) + struct.pack(">ib", 60_000, 0))
        answer.take("i")
        answer.take("i")
        answer.string()
        error = answer.take("h")
        if error:
            raise Refused(f"create {name}: error {error} {answer.string()}")

    def led(self, name):
        """How many partitions of a topic have a leader."""
        answer = self.ask(METADATA, array([string(name)]) + b"\0")
        answer.take("i")
        for _ in range(answer.take("i")):
            answer.take("i"), answer.string(), answer.take("i"), answer.string()
        answer.string(), answer.take("i")
        led = 0
        for _ in range(answer.take("i")):
            answer.take("h"), answer.string(), answer.take("b")
            for _ in range(answer.take("i")):
                error, _, leader = answer.take("hii")
                led += error == 0 and leader >= 0
                for _ in range(2):
                    for _ in range(answer.take("i")):
                        answer.take("i")
        return led

    def await_led(self, name, partitions, patience=PATIENCE):
        until = time.monotonic() + patience
        while self.led(name) < partitions:
            if time.monotonic() > until:
                raise Refused(f"{name}: {self.led(name)} of {partitions} partitions are led")
            time.sleep(0.01)

    def produce_to_all(self, name, partitions, pause=0.005):
        """One record to each of these partitions, in one request; those that are not led yet are asked again."""
        left, until = list(partitions), time.monotonic() + PATIENCE
        while left:
            data = [struct.pack(">i", partition) + blob(RECORD) for partition in left]
            body = struct.pack(">hhi", -1, -1, 30_000) + array([string(name) + array(data)])
            answer, left = self.ask(PRODUCE, body), []
            for _ in range(answer.take("i")):
                answer.string()
                for _ in range(answer.take("i")):
                    partition, error, _, _ = answer.take("ihqq")
                    if error not in NOT_YET | {0}:
                        raise Refused(f"produce to {name}-{partition}: error {error}")
                    left += [partition] if error else []
            if left and time.monotonic() > until:
                raise Refused(f"{name}: {len(left)} partitions take no record")
            time.sleep(pause if left else 0)

    def offsets(self, name, partitions, timestamp, pause=0.05):
        """Of each partition the end (timestamp -1) or the start (-2); what cannot be said yet is asked for again."""
        until, known, left = time.monotonic() + PATIENCE, {}, list(range(partitions))
        while left:
            asked = [struct.pack(">iq", partition, timestamp) for partition in left]
            answer = self.ask(LIST_OFFSETS, struct.pack(">i", -1) + array([string(name) + array(asked)]))
            left = []
            for _ in range(answer.take("i")):
                answer.string()
                for _ in range(answer.take("i")):
                    partition, error, _, offset = answer.take("ihqq")
                    if error not in NOT_YET | {0} or error and time.monotonic() > until:
                        raise Refused(f"offsets of {name}-{partition}: error {error}")
                    if error:
                        left.append(partition)
                    else:
                        known[partition] = offset
            time.sleep(pause if left else 0)
        return known

    def fetch(self, name, offsets, **bounds):
        """Asks one topic from these offsets (partition: offset)."""
        return self.fetch_all({name: offsets}, **bounds)

    def fetch_all(self, topics, session=(0, -1), max_wait_ms=500, max_bytes=1 << 20):
        """Of each topic, offsets by partition; a session is its id and its epoch (0, -1: none)."""
        asked = [string(name) + array([struct.pack(">iqqi", partition, offset, -1, max_bytes)
                                       for partition, offset in offsets.items()]) for name, offsets in topics.items()]
        return struct.pack(">iiiibii", -1, max_wait_ms, 1, max_bytes, 0, *session) + array(asked) + array([])

    def fetched(self, answer):
        """Error, session and (partition, error, records) of what a fetch brought."""
        _, error, session = answer.take("ihi")
        found = []
        for _ in range(answer.take("i")):
            answer.string()
            for _ in range(answer.take("i")):
                partition, code, _, _, _ = answer.take("ihqqq")
                for _ in range(max(0, answer.take("i"))):
                    answer.take("qq")
                found.append((partition, code, answer.bytes()))
        return error, session, found

    def count_records(self, name, partition, start, end):
        """Reads a partition from start to end, and gives how many records its batches hold; offsets must follow each other."""
        at, records = start, 0
        while at < end:
            error, _, found = self.fetched(self.ask(FETCH, self.fetch(name, {partition: at}, max_bytes=4 << 20)))
            if error or not found or found[0][1]:
                raise Refused(f"fetch {name}-{partition} at {at}: errors {error} {[one[1] for one in found]}")
            data, place, before = found[0][2], 0, at
            while place + 61 <= len(data):
                base, length = struct.unpack_from(">qi", data, place)
                if place + 12 + length > len(data):
                    break
                last = struct.unpack_from(">i", data, place + 23)[0]
                if base > at:
                    raise Refused(f"{name}-{partition}: offset {base} follows {at}")
                records += struct.unpack_from(">i", data, place + BATCH_COUNT_AT)[0]
                at, place = base + last + 1, place + 12 + length
            if at == before:
                raise Refused(f"fetch {name}-{partition} at {at} of {end}: nothing came")
        return records

    def join_classic(self, group, session_ms=45_000):
        """One member joins a group of its own: its member id and the generation."""
        body = string(group) + struct.pack(">ii", session_ms, 60_000) + string("") + string("consumer")
        body += array([string("range") + blob(struct.pack(">hii", 0, 0, -1))])
        until = time.monotonic() + PATIENCE
        while True:
            answer = self.ask(JOIN_GROUP, body)
            _, error, generation = answer.take("ihi")
            if error == 0:
                break
            if error not in NOT_YET or time.monotonic() > until:
                raise Refused(f"join {group}: error {error}")
            time.sleep(0.05)
        answer.string(), answer.string()
        member = answer.string()
        sync = string(group) + struct.pack(">i", generation) + string(member) + array([string(member) + blob(b"")])
        error = self.ask(SYNC_GROUP, sync).take("h")
        if error:
            raise Refused(f"sync {group}: error {error}")
        return member, generation

    def find_coordinator(self, group):
        until = time.monotonic() + PATIENCE
        while (error := self.ask(FIND_COORDINATOR, string(group)).take("h")) != 0:
            if error not in NOT_YET or time.monotonic() > until:
                raise Refused(f"find the coordinator of {group}: error {error}")
            time.sleep(0.05)


def heartbeat(group, generation, member):
    return string(group) + struct.pack(">i", generation) + string(member)


def commit(group, generation, member, topic, offset):
    partition = struct.pack(">iq", 0, offset) + string("")
    head = string(group) + struct.pack(">i", generation) + string(member) + struct.pack(">q", -1)
    return head + array([string(topic) + array([partition])])


def commit_error(answer):
    for _ in range(answer.take("i")):
        answer.string()
        for _ in range(answer.take("i")):
            if (error := answer.take("ih")[1]) != 0:
                return error
    return 0
