#!/usr/bin/env bash
# A node serves partitions that Apache Kafka 4.3.1 wrote and left by `kill -9`: each codec, several segments.
#
#   adopt.sh CAUCE PORT DIRECTORY LIBS      Kafka listens on PORT + 10, the node on PORT
#
# The node makes topics of the same names and is killed; Kafka's files take the place of its own, but for
# partition.metadata, which ties a directory to its topic; then the node starts again and every record is read back.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cauce=$1 port=$2 dir=$3 LIBS=$4
kafka=127.0.0.1:$((port + 10)) address=127.0.0.1:$port
CODECS=(none gzip snappy lz4 zstd)
RECORDS=3000
node=

tool() { local class=$1; shift; java -Xmx256m -cp "$LIBS/*" "org.apache.kafka.tools.$class" "$@"; }
fail() { printf 'FAIL  %s\n' "$*"; exit 1; }
cleanup() {
    [ -z "$node" ] || kill -9 "$node" 2>/dev/null || true
    [ ! -f "$dir/kafka/pid" ] || kill -9 "$(cat "$dir/kafka/pid")" 2>/dev/null || true
}
trap cleanup EXIT

create() { # ADDRESS TOPIC
    tool TopicCommand --bootstrap-server "$1" --create --topic "$2" --partitions 1 --config segment.bytes=1048576 \
        --config index.interval.bytes=1024
}

start_node() {
    "$cauce" --override "log.dirs=$dir/cauce" --override "listeners=PLAINTEXT://$address" --override metrics.listener=none \
        >>"$dir/cauce.log" 2>&1 &
    node=$!
    until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
        kill -0 "$node" 2>/dev/null || { cat "$dir/cauce.log"; fail "the node did not start"; }
    done
}

kill_node() {
    kill -9 "$node"
    wait "$node" 2>/dev/null || true
    node=
}

consume() { # ADDRESS TOPIC -> prints offset and value of every record
    tool consumer.ConsoleConsumer --bootstrap-server "$1" --topic "$2" --from-beginning --max-messages $RECORDS \
        --timeout-ms 20000 --command-property group.protocol=classic --formatter-property print.offset=true 2>/dev/null
}

rm -rf "$dir" && mkdir -p "$dir/read"
base64 -w 1000 <(head -c 400000 /dev/urandom) >"$dir/payload"
"$top/scripts/oracle" start $((port + 10)) "$dir/kafka"
start_node
for codec in "${CODECS[@]}"; do
    create "$kafka" "adopted-$codec"
    create "$address" "adopted-$codec"
    tool ProducerPerformance --topic "adopted-$codec" --num-records $RECORDS --payload-file "$dir/payload" --throughput -1 \
        --command-property "bootstrap.servers=$kafka" acks=all "compression.type=$codec" >/dev/null
    consume "$kafka" "adopted-$codec" >"$dir/read/$codec"
    [ "$(wc -l <"$dir/read/$codec")" = $RECORDS ] || fail "Kafka did not give back what it wrote ($codec)"
done
kill -9 "$(cat "$dir/kafka/pid")"
rm "$dir/kafka/pid"
kill_node
for codec in "${CODECS[@]}"; do
    from=$dir/kafka/data/adopted-$codec-0 to=$dir/cauce/adopted-$codec-0
    [ "$(find "$from" -name '*.log' | wc -l)" -gt 1 ] || fail "Kafka wrote one segment only ($codec)"
    mkdir -p "$to"
    find "$to" -type f ! -name partition.metadata -delete
    find "$from" -type f ! -name partition.metadata -exec cp {} "$to" \;
done
start_node
for codec in "${CODECS[@]}"; do
    consume "$address" "adopted-$codec" | cmp - "$dir/read/$codec" || fail "what is served is not what Kafka served ($codec)"
    # And it goes on behind it: a new producer's record gets the next offset.
    echo more | tool ConsoleProducer --bootstrap-server "$address" --topic "adopted-$codec"
    [ "$(tool GetOffsetShell --bootstrap-server "$address" --topic "adopted-$codec")" = "adopted-$codec:0:$((RECORDS + 1))" ] ||
        fail "the next record did not get the next offset ($codec)"
    printf 'ok    %s: %s segments, %s records\n' "$codec" "$(find "$dir/cauce/adopted-$codec-0" -name '*.log' | wc -l)" $RECORDS
done
kill_node
