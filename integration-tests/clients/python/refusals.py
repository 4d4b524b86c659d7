"""What librdkafka, kafka-python and aiokafka are told when they ask for what a node does not serve.

Each attempt must end with an error that says why, within its limit: never with success, a hang, or an endless retry.
Usage: refusals.py HOST:PORT
"""
import asyncio
import sys
import time

from aiokafka import AIOKafkaProducer
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from kafka import KafkaProducer

from steps import expect, finish, step

ADDRESS = sys.argv[1]
LIMIT_SECONDS = 5
PATIENCE_SECONDS = 15


def refused(name, words, attempt):
    """Runs `attempt`, whose error must say `words` and come soon."""
    def run():
        began = time.monotonic()
        try:
            attempt()
            error = None
        except Exception as thrown:  # the clients' exception types have no common base
            error = thrown
        took = time.monotonic() - began
        print(f"      {name}: {type(error).__name__}: {error} ({took * 1000:.0f} ms)", flush=True)
        expect(error is not None, "no error")
        expect(words in str(error), f"the error does not say '{words}'")
        expect(took <= LIMIT_SECONDS, f"the error took {took:.1f} s")
    step(name, run)


def librdkafka_transaction():
    producer = Producer({"bootstrap.servers": ADDRESS, "transactional.id": "refusals"})
    try:
        producer.init_transactions(PATIENCE_SECONDS)
    except KafkaException as thrown:
        expect(not thrown.args[0].retriable(), f"the error may be retried: {thrown}")
        raise


def raise_fatal(error):
    if error.code() == KafkaError._FATAL or error.fatal():
        raise KafkaException(error)


def librdkafka_consumer_protocol():
    consumer = Consumer({"bootstrap.servers": ADDRESS, "group.id": "refusals", "group.protocol": "consumer",
                         "error_cb": raise_fatal})
    consumer.subscribe(["refusals"])
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        while time.monotonic() < deadline:
            message = consumer.poll(0.2)
            if message is not None and message.error() is not None:
                raise_fatal(message.error())
    finally:
        consumer.close()


SASL = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "a", "sasl.password": "b"}


def librdkafka_connection(settings):
    seen = []
    producer = Producer({"bootstrap.servers": ADDRESS, "error_cb": seen.append, **settings})
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and not seen:
        producer.poll(0.1)
    if seen:
        raise KafkaException(seen[0])


def kafka_python_sasl():
    KafkaProducer(bootstrap_servers=ADDRESS, security_protocol="SASL_PLAINTEXT", sasl_mechanism="PLAIN",
                  sasl_plain_username="a", sasl_plain_password="b", bootstrap_timeout_ms=PATIENCE_SECONDS * 1000)


def aiokafka_sasl():
    async def start():
        producer = AIOKafkaProducer(bootstrap_servers=ADDRESS, security_protocol="SASL_PLAINTEXT", sasl_mechanism="PLAIN",
                                    sasl_plain_username="a", sasl_plain_password="b")
        try:
            await asyncio.wait_for(producer.start(), PATIENCE_SECONDS)
        finally:
            await producer.stop()
    asyncio.run(start())


def kafka_python_transaction():
    producer = KafkaProducer(bootstrap_servers=ADDRESS, transactional_id="refusals", max_block_ms=PATIENCE_SECONDS * 1000)
    try:
        producer.init_transactions()
    finally:
        producer.close(timeout=0)


def aiokafka_transaction():
    async def start():
        producer = AIOKafkaProducer(bootstrap_servers=ADDRESS, transactional_id="refusals")
        try:
            await asyncio.wait_for(producer.start(), PATIENCE_SECONDS)
        finally:
            await producer.stop()
    asyncio.run(start())


refused("librdkafka, transactions", "Transactions are not supported", librdkafka_transaction)
refused("librdkafka, group.protocol=consumer", "not supported", librdkafka_consumer_protocol)
refused("librdkafka, SASL", "SASL Handshake not supported", lambda: librdkafka_connection(SASL))
refused("librdkafka, SSL", "SSL connection closed by peer", lambda: librdkafka_connection({"security.protocol": "SSL"}))
refused("kafka-python, SASL", "does not support the 'SaslHandshakeRequest'", kafka_python_sasl)
refused("aiokafka, SASL", "Unable to bootstrap", aiokafka_sasl)
refused("kafka-python, transactions", "ClusterAuthorizationFailed", kafka_python_transaction)
refused("aiokafka, transactions", "ClusterAuthorizationFailed", aiokafka_transaction)
finish()
