import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FileSystem;

/** Copies a local directory with many small files to HDFS, many at once. Arguments: local directory, HDFS URI of the new one. */
public class Upload {
    private static final int AT_ONCE = 48;

    public static void main(String[] arguments) throws Exception {
        Path from = Path.of(arguments[0]);
        URI to = URI.create(arguments[1]);
        FileSystem hdfs = FileSystem.get(to, new Configuration());
        List<Path> files;
        try (var found = Files.walk(from)) {
            files = found.filter(Files::isRegularFile).toList();
        }
        List<Callable<Void>> copies = files.stream().map(file -> copy(hdfs, file, to + "/" + from.relativize(file))).toList();
        var pool = Executors.newFixedThreadPool(AT_ONCE);
        try {
            for (Future<Void> done : pool.invokeAll(copies)) {
                done.get();
            }
        } finally {
            pool.shutdownNow();
        }
    }

    private static Callable<Void> copy(FileSystem hdfs, Path from, String to) {
        return () -> {
            try (FSDataOutputStream out = hdfs.create(new org.apache.hadoop.fs.Path(to))) {
                Files.copy(from, out);
            }
            return null;
        };
    }
}
