// Everything that Kafka's ConsumerGroupCommand can do with classic groups, one command after another.
// Prints each command and what it says, with the ids, addresses and spaces taken out that differ between runs: the output
// is compared with Groups.expected, which is what Apache Kafka 4.3.1 makes it say.
// Usage: java -cp LIBS Groups.java HOST:PORT
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.common.utils.Exit;
import org.apache.kafka.tools.consumer.group.ConsumerGroupCommand;

public class Groups {
    private static final Instant LONG_AGO = Instant.parse("2020-01-01T00:00:00Z");
    private static final String TOPIC = "groups-read";

    private static final PrintStream out = System.out;
    private static String address;

    /** Stands for the end of the process, which the tool asks for on wrong options. */
    private static class Ended extends RuntimeException { }

    public static void main(String[] arguments) throws Exception {
        address = arguments[0];
        Exit.setExitProcedure((code, message) -> {
            throw new Ended();
        });
        prepare();
        withoutMembers();
        try (Reader reader = new Reader()) {
            reader.awaitPartitions();
            withMembers();
        }
        reset();
        deleteOffsets();
        deleteGroups();
        System.exit(0);
    }

    /** Partition 0: ten records of 2020, a second apart, and ten of now. Partition 1: five of now. */
    private static void prepare() throws Exception {
        try (Admin admin = Admin.create(settings())) {
            var unread = new NewTopic("groups-unread", 1, (short) 1);
            var read = new NewTopic(TOPIC, 2, (short) 1).configs(Map.of("retention.ms", "-1"));
            admin.createTopics(List.of(read, unread)).all().get();
        }
        try (var producer = new KafkaProducer<>(settings(), new StringSerializer(), new StringSerializer())) {
            for (int second = 0; second < 10; second++) {
                long timestamp = LONG_AGO.plusSeconds(second).toEpochMilli();
                producer.send(new ProducerRecord<>(TOPIC, 0, timestamp, null, "old")).get();
            }
            for (int i = 0; i < 15; i++) {
                producer.send(new ProducerRecord<>(TOPIC, i < 10 ? 0 : 1, null, "new")).get();
            }
        }
        // A simple consumer's commit: no member was ever there.
        Map<String, Object> simple = settings();
        simple.put("group.id", "simple");
        try (var consumer = new KafkaConsumer<>(simple, new StringDeserializer(), new StringDeserializer())) {
            var partition = new TopicPartition(TOPIC, 0);
            consumer.assign(List.of(partition));
            consumer.commitSync(Map.of(partition, new OffsetAndMetadata(3, Optional.of(0), "note")));
        }
    }

    private static void withoutMembers() {
        run("--list");
        run("--list --state");
        run("--list --type");
        run("--describe --group simple");
        run("--describe --group simple --verbose");
        run("--describe --group simple --members");
        run("--describe --group simple --state");
        run("--describe --group unknown");
        run("--describe --group unknown --members");
        run("--describe --group unknown --state");
    }

    private static void withMembers() {
        run("--list --state");
        run("--list --state stable");
        run("--list --state Empty --type classic");
        run("--list --type consumer");
        run("--describe --group readers");
        run("--describe --group readers --offsets --verbose");
        run("--describe --group readers --members");
        run("--describe --group readers --members --verbose");
        run("--describe --group readers --state");
        run("--describe --group readers --state --verbose");
        run("--describe --all-groups");
        run("--describe --all-groups --state");
        run("--reset-offsets --group readers --topic " + TOPIC + " --to-earliest --execute");
        run("--delete-offsets --group readers --topic " + TOPIC);
        run("--delete --group readers");
        run("--delete --group readers --group simple --group unknown");
    }

    private static void reset() throws Exception {
        run("--describe --group readers");
        run("--describe --group readers --members");
        run("--describe --group readers --state");
        String all = "--reset-offsets --group readers --all-topics ";
        String one = "--reset-offsets --group readers --topic " + TOPIC;
        run(all + "--to-earliest");
        run(all + "--to-earliest --dry-run");
        run("--describe --group readers");
        run(all + "--to-earliest --execute");
        run("--describe --group readers");
        run(all + "--to-latest --dry-run");
        run(one + " --to-latest --execute");
        run("--describe --group readers");
        run(one + ":0 --to-offset 7 --dry-run");
        run(one + ":0 --to-offset 7 --execute");
        run(one + " --to-offset 1000 --execute");
        run(one + ":0 --shift-by -3 --execute");
        run(one + " --shift-by 2 --dry-run");
        run(one + " --shift-by -1000 --dry-run");
        run(one + " --to-current --execute");
        run(one + " --to-datetime 2020-01-01T00:00:04.500 --dry-run");
        run(one + " --to-datetime 2020-01-01T00:00:04.000Z --execute");
        run(one + " --to-datetime 2100-01-01T00:00:00.000 --dry-run");
        run(one + " --by-duration P1D --dry-run");
        run(one + " --by-duration P1D --execute");
        run(one + " --by-duration P10000D --dry-run");
        run("--describe --group readers");
        run(one + " --to-earliest --export");
        Path plan = Files.createTempFile("groups", ".csv");
        Files.writeString(plan, TOPIC + ",0,11\n" + TOPIC + ",1,2\n");
        fromFile(plan, "--dry-run");
        fromFile(plan, "--execute");
        Files.writeString(plan, TOPIC + ",0,999\n");
        fromFile(plan, "--execute");
        Files.delete(plan);
        run("--describe --group readers");
        run("--reset-offsets --group new --topic " + TOPIC + " --to-offset 1 --execute");
        run("--reset-offsets --group new --topic no-such-topic --to-earliest --dry-run");
        run("--reset-offsets --group new --topic " + TOPIC + ":9 --to-earliest --dry-run");
        run("--reset-offsets --group unknown --all-topics --to-earliest --dry-run");
        run("--reset-offsets --all-groups --topic " + TOPIC + " --to-earliest --execute");
        run("--describe --all-groups");
    }

    private static void deleteOffsets() {
        run("--delete-offsets --group readers --topic " + TOPIC + ":1");
        run("--describe --group readers");
        run("--delete-offsets --group readers --topic groups-unread");
        run("--delete-offsets --group readers --topic no-such-topic");
        run("--delete-offsets --group readers --topic " + TOPIC + ":9");
        run("--delete-offsets --group readers --topic " + TOPIC);
        run("--delete-offsets --group unknown --topic " + TOPIC);
        run("--list --state");
        run("--describe --group readers");
    }

    private static void deleteGroups() {
        run("--delete --group unknown");
        run("--delete --group simple");
        run("--delete --group readers --group unknown");
        run("--list");
        run("--delete --all-groups");
        run("--list");
    }

    private static void fromFile(Path plan, String mode) {
        run("--reset-offsets --group readers --from-file " + plan + " " + mode, plan.toString());
    }

    /** Runs the tool with these options and prints what it says. `hidden` is a word that differs between runs. */
    private static void run(String options, String... hidden) {
        List<String> arguments = new ArrayList<>(List.of("--bootstrap-server", address));
        arguments.addAll(List.of(options.split(" ")));
        var said = new ByteArrayOutputStream();
        PrintStream errors = System.err;
        try (var stream = new PrintStream(said, true, StandardCharsets.UTF_8)) {
            System.setOut(stream);
            System.setErr(stream);
            ConsumerGroupCommand.main(arguments.toArray(String[]::new));
        } catch (Ended ended) {
            // What it said before tells why.
        } finally {
            System.setOut(out);
            System.setErr(errors);
        }
        out.println("$ " + comparable(options, hidden));
        for (String line : said.toString(StandardCharsets.UTF_8).lines().toList()) {
            if (!line.isBlank() && !line.startsWith("\tat ") && !line.startsWith("\t... ")) {
                out.println(comparable(line, hidden));
            }
        }
        out.println();
        out.flush();
    }

    private static String comparable(String line, String... hidden) {
        for (String word : hidden) {
            line = line.replace(word, "FILE");
        }
        return line.replaceAll("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID")
            .replaceAll(java.util.regex.Pattern.quote(address) + " *\\(\\d+\\)", "NODE")
            .replaceAll(" +", " ").strip();
    }

    private static Map<String, Object> settings() {
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", address);
        return settings;
    }

    /** A member of `readers` that has read and committed everything, until it is closed. */
    private static class Reader implements AutoCloseable {
        private final AtomicBoolean stop = new AtomicBoolean();
        private final CountDownLatch committed = new CountDownLatch(1);
        private final Thread thread = new Thread(this::read);

        Reader() {
            thread.setDaemon(true);
            thread.start();
        }

        private void read() {
            Map<String, Object> settings = settings();
            settings.putAll(Map.of("group.id", "readers", "client.id", "reader", "auto.offset.reset", "earliest",
                "enable.auto.commit", false, "group.protocol", "classic"));
            int records = 0;
            try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
                consumer.subscribe(List.of(TOPIC));
                while (!stop.get()) {
                    records += consumer.poll(Duration.ofMillis(100)).count();
                    if (records == 25) {
                        consumer.commitSync();
                        committed.countDown();
                        records = 0;
                    }
                }
            }
        }

        void awaitPartitions() throws InterruptedException {
            if (!committed.await(60, java.util.concurrent.TimeUnit.SECONDS)) {
                throw new IllegalStateException("the member did not read everything within a minute");
            }
        }

        @Override
        public void close() throws InterruptedException {
            stop.set(true);
            thread.join();
        }
    }
}
