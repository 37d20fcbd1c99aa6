// The main job in Flink SQL: the topic as it stands now, filtered and checked, as Parquet by hour.
//
// Arguments: brokers, topic, output directory, compression, parallelism, checkpoint directory. Prints READY and DONE (see
// job_process.py). Streaming mode with checkpoints, as the job would run in production; it ends because the source is bounded.

import java.io.IOException;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;

public class FlinkJob {
    static final String COLUMNS = """
        artist STRING, song STRING, duration DOUBLE, ts BIGINT, sessionId INT, auth STRING, level STRING,
        itemInSession INT, city STRING, zip STRING, `state` STRING, userAgent STRING, lon DOUBLE, lat DOUBLE,
        userId INT, lastName STRING, firstName STRING, gender STRING, registration BIGINT""";

    public static void main(String[] arguments) throws Exception {
        String brokers = arguments[0];
        String topic = arguments[1];
        String output = arguments[2];
        String compression = arguments[3];
        Configuration settings = new Configuration();
        settings.setString("parallelism.default", arguments[4]);
        settings.setString("table.local-time-zone", "UTC");
        settings.setString("execution.checkpointing.interval", "10 s");
        settings.setString("execution.checkpointing.dir", "file://" + arguments[5]);
        settings.setString("taskmanager.memory.network.max", "128m");
        TableEnvironment table = TableEnvironment.create(
            EnvironmentSettings.newInstance().inStreamingMode().withConfiguration(settings).build());
        table.executeSql("CREATE TABLE messages (" + COLUMNS + """
            ) WITH ('connector' = 'kafka', 'scan.startup.mode' = 'earliest-offset',
            'scan.bounded.mode' = 'latest-offset', 'format' = 'json', 'json.ignore-parse-errors' = 'true',
            'properties.group.id' = 'bench-flink', 'topic' = '""" + topic + "', 'properties.bootstrap.servers' = '"
            + brokers + "')");
        table.executeSql("CREATE TABLE listens (" + COLUMNS + """
            , `year` BIGINT, `month` BIGINT, `day` BIGINT, `hour` BIGINT)
            PARTITIONED BY (`year`, `month`, `day`, `hour`)
            WITH ('connector' = 'filesystem', 'format' = 'parquet', 'path' = '""" + output
            + "', 'parquet.compression' = '" + compression.toUpperCase() + "')");
        mark("READY " + ProcessHandle.current().pid());
        // Kept by keep-plays, and let through by validate-events.
        table.executeSql("""
            INSERT INTO listens SELECT *, EXTRACT(YEAR FROM t), EXTRACT(MONTH FROM t), EXTRACT(DAY FROM t),
                EXTRACT(HOUR FROM t)
            FROM (SELECT *, CAST(TO_TIMESTAMP_LTZ(ts, 3) AS TIMESTAMP(3)) AS t FROM messages)
            WHERE auth = 'Logged In' AND duration >= 30.0
                AND ts >= 946684800000 AND ts < 4102444800000 AND userId IS NOT NULL
                AND duration > 0 AND duration <= 14400
                AND ((lat IS NULL AND lon IS NULL) OR (lat BETWEEN -90 AND 90 AND lon BETWEEN -180 AND 180))
            """.replace("SELECT *, EXTRACT", "SELECT " + names() + ", EXTRACT")).await();
        mark("DONE");
        System.exit(0);
    }

    /** The columns by name: `*` would carry the helper column `t` along. */
    static String names() {
        return COLUMNS.replaceAll(" (STRING|DOUBLE|BIGINT|INT)", "");
    }

    static void mark(String line) throws IOException {
        System.out.println(line);
        System.out.flush();
        System.in.read();
    }
}
