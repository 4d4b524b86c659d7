// Reads with Apache Kafka's own classes the small files that DumpLogSegments does not know: meta.properties, the offset
// checkpoints of a data directory, and partition.metadata and leader-epoch-checkpoint of every partition.
// Usage: java -cp LIBS Checkpoints.java DIRECTORY
import java.io.File;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.metadata.properties.MetaPropertiesEnsemble;
import org.apache.kafka.storage.internals.checkpoint.LeaderEpochCheckpointFile;
import org.apache.kafka.storage.internals.checkpoint.OffsetCheckpointFile;
import org.apache.kafka.storage.internals.checkpoint.PartitionMetadataFile;
import org.apache.kafka.storage.internals.log.EpochEntry;
import org.apache.kafka.storage.internals.log.LogDirFailureChannel;

public class Checkpoints {
    private static final LogDirFailureChannel FAILURES = new LogDirFailureChannel(1);
    private static int read;

    public static void main(String[] arguments) throws Exception {
        File directory = new File(arguments[0]);
        var properties = new MetaPropertiesEnsemble.Loader().addLogDirs(List.of(arguments[0])).load();
        properties.verify(properties.clusterId(), properties.nodeId(),
            EnumSet.of(MetaPropertiesEnsemble.VerificationFlag.REQUIRE_AT_LEAST_ONE_VALID));
        ok("meta.properties", "cluster " + properties.clusterId().orElseThrow().length() + " characters");
        offsets(directory, "recovery-point-offset-checkpoint", "dump-none", 3000);
        offsets(directory, "replication-offset-checkpoint", "dump-none", 3000);
        offsets(directory, "log-start-offset-checkpoint", "dump-append-time", 100);
        for (File partition : directory.listFiles(File::isDirectory)) {
            if (PartitionMetadataFile.newFile(partition).exists()) {
                partition(partition);
            }
        }
        expect(read > 7, "only " + read + " partitions");
        ok("partition.metadata, leader-epoch-checkpoint", read + " partitions");
    }

    /** The file must be there, since Kafka's class would make it, and hold `expected` for partition 0 of `topic`. */
    private static void offsets(File directory, String name, String topic, long expected) throws Exception {
        File file = new File(directory, name);
        expect(file.exists(), name + " is missing");
        Map<TopicPartition, Long> offsets = new OffsetCheckpointFile(file, FAILURES).read();
        expect(Long.valueOf(expected).equals(offsets.get(new TopicPartition(topic, 0))), name + ": " + offsets);
        ok(name, offsets.size() + " partitions");
    }

    private static void partition(File directory) throws Exception {
        new PartitionMetadataFile(PartitionMetadataFile.newFile(directory), FAILURES).read();
        File file = LeaderEpochCheckpointFile.newFile(directory);
        if (directory.getName().startsWith("dump-")) {
            long start = directory.getName().equals("dump-append-time-0") ? 100 : 0; // records before were deleted
            List<EpochEntry> epochs = new LeaderEpochCheckpointFile(file, FAILURES).read();
            expect(!epochs.isEmpty() && epochs.get(0).startOffset() == start, directory + ": " + epochs);
        }
        read++;
    }

    private static void expect(boolean condition, String sentence) {
        if (!condition) {
            throw new IllegalStateException(sentence);
        }
    }

    private static void ok(String what, String found) {
        System.out.printf("ok    %s: %s%n", what, found);
    }
}
