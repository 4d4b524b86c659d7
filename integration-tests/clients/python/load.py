"""librdkafka under load, by confluent-kafka: produces at a rate, or consumes, until it is ended. See scripts/bench-clients.

  load.py produce|consume BOOTSTRAP TOPIC RECORD_BYTES RECORDS_PER_SECOND [KEY=VALUE...]

A rate of 0 is as fast as it goes. Further words are librdkafka's settings. Ends on SIGTERM and prints how many records it was.
"""
import os, signal, sys, time
from confluent_kafka import Consumer, Producer

TICK = 0.01
# Drawn once: what is sent must cost nothing to make.
VALUES = 256


def produce(settings, topic, record_bytes, rate, is_over):
    producer = Producer({"linger.ms": 5, "queue.buffering.max.messages": 1_000_000, **settings})
    values = [os.urandom(record_bytes) for _ in range(VALUES)]
    began, sent = time.monotonic(), 0
    while not is_over():
        due = int((time.monotonic() - began) * rate) if rate else sent + 1000
        while sent < due and not is_over():
            try:
                producer.produce(topic, values[sent % VALUES])
                sent += 1
            except BufferError:
                producer.poll(TICK)
        producer.poll(0)
        if rate:
            time.sleep(TICK)
    left = producer.flush(30)
    print(f"{sent - left} of {sent} records were acknowledged" if left else f"{sent} records")
    return left == 0


def consume(settings, topic, is_over):
    consumer = Consumer({"group.id": topic, "auto.offset.reset": "earliest", **settings})
    consumer.subscribe([topic])
    read = 0
    while not is_over():
        for message in consumer.consume(10_000, 0.1):
            if message.error():
                sys.exit(f"error: {message.error()}")
            read += 1
    consumer.close()
    print(f"{read} records")
    return read > 0


def main():
    mode, bootstrap, topic, record_bytes, rate, *rest = sys.argv[1:]
    settings = {"bootstrap.servers": bootstrap, **dict(word.split("=", 1) for word in rest)}
    over = []
    signal.signal(signal.SIGTERM, lambda *_: over.append(True))
    is_good = (produce(settings, topic, int(record_bytes), int(rate), lambda: over) if mode == "produce"
               else consume(settings, topic, lambda: over))
    sys.exit(0 if is_good else 1)


if __name__ == "__main__":
    main()
