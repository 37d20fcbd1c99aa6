#!/usr/bin/env bash
# The main job on real servers: a broker and an HDFS are started, a million simulated events produced, read through three
# transforms and written as Parquet, and the result shown. Ctrl-C ends all of it.
# Run it by `make demo-cluster`. $WASMILL is the binary.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ -z "${WASMILL_TEST_KAFKA:-}" ]; then
    # Again, with servers: they end when this script does, whatever happens.
    exec tests/cluster/cluster.py run -- "$PWD/tests/cluster/demo.sh"
fi

# `wasmill run` ends in good order and with 0 at Ctrl-C; the script then ends too instead of going on.
trap 'exit 130' INT TERM
wasmill=${WASMILL:-target/release/wasmill}
events=${EVENTS:-1000000}
pipeline=host/pipelines/listen-events.toml
export WASMILL_BROKERS=$WASMILL_TEST_KAFKA
export WASMILL_TABLE=$WASMILL_TEST_HDFS/user/events/bronze
export WASMILL_DEAD_LETTERS=$WASMILL_TEST_HDFS/user/events/dead_letters
export WASMILL_CHECKPOINTS=$WASMILL_TEST_HDFS/user/checkpoints/events

show() { # show COMMAND...: says what runs, and runs it
    printf '\n$ wasmill %s\n' "$*"
    "$wasmill" "$@"
}
echo "Kafka is at $WASMILL_BROKERS, HDFS at $WASMILL_TEST_HDFS (this listing: ${WASMILL_TEST_CLUSTER%/*})"
show eventsim --brokers "$WASMILL_BROKERS" --topic listen_events --topic-partitions 4 --events "$events" --faults 0.01
show run "$pipeline" --until caught-up
show table ls "$pipeline"
show table head "$pipeline"
