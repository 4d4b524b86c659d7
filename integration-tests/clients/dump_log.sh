#!/usr/bin/env bash
# Lets Apache Kafka's own code read every file of a node's data directory: DumpLogSegments and Checkpoints.java.
#
#   dump_log.sh fill HOST:PORT LIBS        produce what the files shall hold
#   dump_log.sh kill DATA LIBS             check what `kill -9` left: records and producer snapshots
#   dump_log.sh stop DATA LIBS             check what a clean stop left: every file
#
# A line for each kind of file; exit code 1 and the tool's words when one cannot be read whole.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
RECORDS=3000
CODECS=(none gzip snappy lz4 zstd)
LIBS=$3
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

java_class() { java -Xmx256m -cp "$LIBS/*" "$@"; }
tool() { local class=$1; shift; java_class "org.apache.kafka.tools.$class" "$@"; }
fail() { printf 'FAIL  %s\n' "$*"; exit 1; }

create() { # TOPIC CONFIG...
    local topic=$1 config more=()
    shift
    for config in segment.bytes=1048576 index.interval.bytes=1024 "$@"; do more+=(--config "$config"); done
    tool TopicCommand --bootstrap-server "$address" --create --topic "$topic" --partitions 1 "${more[@]}"
}

produce() { # TOPIC CODEC: idempotent, as the Java producer is by default
    tool ProducerPerformance --topic "$1" --num-records $RECORDS --payload-file "$out/payload" --throughput -1 \
        --command-property "bootstrap.servers=$address" acks=all "compression.type=$2" >/dev/null
}

fill() {
    address=$1
    # Lines that compress to about three quarters, so that each codec fills several segments.
    base64 -w 1000 <(head -c 400000 /dev/urandom) >"$out/payload"
    local codec
    for codec in "${CODECS[@]}"; do
        create "dump-$codec"
        produce "dump-$codec" "$codec"
    done
    create dump-recompressed compression.type=zstd
    produce dump-recompressed gzip
    create dump-append-time message.timestamp.type=LogAppendTime
    produce dump-append-time lz4
    printf '{"version":1,"partitions":[{"topic":"dump-append-time","partition":0,"offset":100}]}' >"$out/delete.json"
    tool DeleteRecordsCommand --bootstrap-server "$address" --offset-json-file "$out/delete.json"
    tool consumer.ConsoleConsumer --bootstrap-server "$address" --topic dump-none --group dump-group --from-beginning \
        --max-messages $RECORDS --timeout-ms 30000 --command-property group.protocol=classic >/dev/null
}

files() { # NAME-PATTERN PATH-PATTERN: the files, with commas between
    find "$data" -name "$1" -path "$2" | sort | paste -sd,
}

dump() { # WHAT OPTIONS... -- FILES: the tool must say nothing of a file that it cannot read
    local what=$1 options=()
    shift
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    [ -n "$2" ] || fail "$what: there are no such files"
    tool DumpLogSegments "${options[@]}" --files "$2" >"$out/dump" 2>"$out/errors" || { cat "$out/errors"; fail "$what"; }
    # The tool counts each file from offset 0, and the records of a metadata batch share one offset.
    sed -i -E '/^Non-consecutive offsets in /d; /^  -1 is followed by /d; /^  ([0-9]+) is followed by \1$/d' "$out/errors"
    [ ! -s "$out/errors" ] || { head -n 20 "$out/errors"; fail "$what: the tool complains"; }
    ! grep -E 'isvalid: false|invalid bytes|Exception|[Ee]rror' "$out/dump" | head -n 20 | grep . || fail "$what: not valid"
    printf 'ok    %s: %s files, %s lines\n' "$what" "$(tr ',' '\n' <<<"$2" | wc -l)" "$(wc -l <"$out/dump")"
}

records() { # TOPIC: its segments hold every record, at consecutive offsets
    dump "$1, data" --deep-iteration -- "$(files '*.log' "*/$1-0/*")"
    [ "$(grep -o '^| offset: [0-9]*' "$out/dump" | cut -d' ' -f3 | sort -n | md5sum)" = "$(seq 0 $((RECORDS - 1)) | md5sum)" ] ||
        fail "$1: not the offsets 0 to $((RECORDS - 1)), each once"
    [ "$(grep -c '^Dumping' "$out/dump")" -gt 1 ] || fail "$1: one segment only"
    grep -q "compresscodec: ${2:-none}" "$out/dump" || fail "$1: no batch with the codec ${2:-none}"
}

data_files() {
    local codec
    for codec in "${CODECS[@]}"; do records "dump-$codec" "$codec"; done
    records dump-recompressed zstd
    records dump-append-time lz4
    grep -q '^| offset: 0 LogAppendTime' "$out/dump" || fail "dump-append-time: not LogAppendTime"
    dump "committed offsets" --offsets-decoder -- "$(files '*.log' '*/__consumer_offsets-*')"
    grep -q '"group":"dump-group".*"topic":"dump-none"' "$out/dump" || fail "the decoder shows no offset of the group"
    grep -q '"protocolType":"consumer"' "$out/dump" || fail "the decoder shows no group"
    dump "metadata log" --cluster-metadata-decoder -- "$(files '*.log' '*/__cluster_metadata-0/*')"
    grep -q '"type":"TOPIC_RECORD".*"name":"dump-zstd"' "$out/dump" || fail "the decoder shows no topic"
    dump "producer snapshots" -- "$(files '*.snapshot' '*/dump-*')"
    grep -q "producerEpoch: 0 .*lastSequence: " "$out/dump" || fail "no snapshot names a producer's last sequence"
}

case $1 in
    fill) fill "$2" ;;
    kill) data=$2; data_files ;;
    stop)
        data=$2
        data_files
        dump "metadata snapshots" --cluster-metadata-decoder -- "$(files '*.checkpoint' '*/__cluster_metadata-0/*')"
        grep -q '"type":"FEATURE_LEVEL_RECORD"' "$out/dump" || fail "the decoder shows no feature"
        for kind in index timeindex; do
            dump "$kind, sanity" --index-sanity-check -- "$(files "*.$kind" '*')"
            dump "$kind, entries against the log" --verify-index-only -- "$(files "*.$kind" '*')"
        done
        java_class "$here/java/Checkpoints.java" "$data" ;;
    *) sed -n '2,8p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//' >&2; exit 2 ;;
esac
