// A consumer group of Apache Kafka's Java client on a node that has only just begun to listen, new and after `kill -9`.
// The script that runs this turns on the client's own log at DEBUG and looks there for answers that sent it away.
// Usage: java -cp LIBS FirstContact.java BINARY PORT DIRECTORY
import java.io.File;
import java.io.IOException;
import java.net.Socket;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class FirstContact {
    private static final String TOPIC = "first-contact";
    private static final int RECORDS = 10;

    public static void main(String[] arguments) throws Exception {
        for (int round = 0; round < 3; round++) {
            Process node = start(arguments);
            try {
                produce("127.0.0.1:" + arguments[1]);
                consume("127.0.0.1:" + arguments[1], (long) round * RECORDS);
            } finally {
                node.destroyForcibly().waitFor();
            }
        }
    }

    /** Starts the node and returns as soon as its port is open. */
    private static Process start(String[] arguments) throws Exception {
        ProcessBuilder builder = new ProcessBuilder(arguments[0], "--override", "log.dirs=" + arguments[2] + "/data",
            "--override", "listeners=PLAINTEXT://127.0.0.1:" + arguments[1], "--override", "metrics.listener=none");
        File output = new File(arguments[2], "node.log");
        Process node = builder.redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.appendTo(output)).start();
        while (true) {
            try (Socket open = new Socket("127.0.0.1", Integer.parseInt(arguments[1]))) {
                return node;
            } catch (IOException refused) {
                if (!node.isAlive()) {
                    throw new IllegalStateException("the node ended, see " + output);
                }
            }
        }
    }

    private static void produce(String address) throws Exception {
        Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", address));
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            for (int i = 0; i < RECORDS; i++) {
                producer.send(new ProducerRecord<>(TOPIC, "v" + i)).get();
            }
        }
    }

    private static void consume(String address, long first) {
        Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", address, "group.id", TOPIC,
            "auto.offset.reset", "earliest", "enable.auto.commit", false));
        long began = System.nanoTime();
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(TOPIC));
            long expected = first;
            while (expected < first + RECORDS) {
                if (System.nanoTime() - began > 20_000_000_000L) {
                    throw new IllegalStateException("stopped at offset " + expected);
                }
                for (ConsumerRecord<String, String> each : consumer.poll(Duration.ofMillis(100))) {
                    if (each.offset() != expected++) {
                        throw new IllegalStateException("read offset " + each.offset());
                    }
                }
            }
            consumer.commitSync();
        }
        System.out.printf("ok    from offset %d, in %d ms%n", first, (System.nanoTime() - began) / 1_000_000);
    }
}
