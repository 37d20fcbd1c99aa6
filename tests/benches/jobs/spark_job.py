"""The main job in Spark Structured Streaming: the topic as it stands now, filtered and checked, as Parquet by hour.

Arguments: brokers, topic, output directory, compression. Prints READY and DONE (see job_process.py).
"""

import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as f

SCHEMA = """
    artist STRING, song STRING, duration DOUBLE, ts LONG, sessionId INT, auth STRING, level STRING, itemInSession INT,
    city STRING, zip STRING, state STRING, userAgent STRING, lon DOUBLE, lat DOUBLE, userId INT, lastName STRING,
    firstName STRING, gender STRING, registration LONG
"""
# What keep-plays keeps and validate-events lets through, with the settings of the shipped pipeline.
KEPT = "auth = 'Logged In' AND duration >= 30.0"
VALID = """
    ts >= 946684800000 AND ts < 4102444800000 AND userId IS NOT NULL AND duration > 0 AND duration <= 14400
    AND ((lat IS NULL AND lon IS NULL) OR (lat BETWEEN -90 AND 90 AND lon BETWEEN -180 AND 180))
"""


def main(brokers, topic, output, compression):
    spark = (
        SparkSession.builder.appName("bench")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.parquet.compression.codec", compression)
        .getOrCreate()
    )
    print("READY", spark._jvm.java.lang.ProcessHandle.current().pid(), flush=True)
    sys.stdin.readline()
    messages = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", brokers)
        .option("subscribe", topic)
        .option("startingOffsets", "earliest")
        .load()
    )
    events = messages.select(f.from_json(f.col("value").cast("string"), SCHEMA).alias("event")).select("event.*")
    time = f.timestamp_millis(f.col("ts"))
    kept = events.where(KEPT).where(VALID)
    hours = (
        kept.withColumn("year", f.year(time))
        .withColumn("month", f.month(time))
        .withColumn("day", f.dayofmonth(time))
        .withColumn("hour", f.hour(time))
    )
    query = (
        hours.writeStream.format("parquet")
        .partitionBy("year", "month", "day", "hour")
        .option("path", output)
        .option("checkpointLocation", output + "_checkpoint")
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()
    print("DONE", flush=True)
    sys.stdin.readline()
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
