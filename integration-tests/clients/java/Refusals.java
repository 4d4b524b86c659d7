// What Apache Kafka's Java client is told when it asks for what a node does not serve.
// Each attempt must end with a named exception within its limit: never with success, a hang, or an endless retry.
// Usage: java -cp LIBS Refusals.java HOST:PORT
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.consumer.internals.AsyncKafkaConsumer;
import org.apache.kafka.clients.consumer.internals.StreamsRebalanceData;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Refusals {
    /** An error that comes later than this is no answer at once. */
    private static final long LIMIT_MS = 5_000;
    /** How long a client that got no answer is left alone before it counts as hanging. */
    private static final Duration PATIENCE = Duration.ofSeconds(10);
    /** A poll tells a failure of the background thread when it ends, so it is kept short. */
    private static final Duration SHORT_POLL = Duration.ofMillis(200);

    interface Attempt {
        void run() throws Exception;
    }

    private static String address;
    private static int failed;

    public static void main(String[] arguments) throws Exception {
        address = arguments[0];
        try (Admin admin = Admin.create(settings())) {
            admin.describeCluster().clusterId().get(); // the first use of the client loads its classes
        }
        refused("transactional producer", "Transactions are not supported", Refusals::transaction);
        refused("group.protocol=consumer", "does not support", Refusals::consumerProtocol);
        refused("share consumer", "does not support", Refusals::shareConsumer);
        refused("streams group", "does not support", Refusals::streamsGroup);
        refused("SASL producer", "Unexpected handshake request", Refusals::sasl);
        refused("SASL admin", "Unexpected handshake request", Refusals::saslAdmin);
        refused("ACLs", "does not support", () -> admin(a -> a.describeAcls(AclBindingFilter.ANY).values().get()));
        refused("client quotas", "does not support",
            () -> admin(a -> a.describeClientQuotas(ClientQuotaFilter.all()).entities().get()));
        refused("delegation tokens", "does not support",
            () -> admin(a -> a.describeDelegationToken().delegationTokens().get()));
        refused("partition reassignments", "does not support",
            () -> admin(a -> a.listPartitionReassignments().reassignments().get()));
        System.exit(failed == 0 ? 0 : 1);
    }

    /** Runs `attempt`, which must throw an exception that says `words` somewhere, soon. */
    private static void refused(String name, String words, Attempt attempt) {
        long began = System.nanoTime();
        String outcome = "no error";
        boolean clear = false;
        try {
            attempt.run();
        } catch (Exception thrown) {
            Throwable error = thrown instanceof ExecutionException ? thrown.getCause() : thrown;
            outcome = error.getClass().getSimpleName() + ": " + error.getMessage();
            for (Throwable each = error; each != null; each = each.getCause()) {
                clear |= each.getMessage() != null && each.getMessage().contains(words)
                    && !(each instanceof org.apache.kafka.common.errors.TimeoutException);
            }
        }
        long tookMs = (System.nanoTime() - began) / 1_000_000;
        boolean ok = clear && tookMs <= LIMIT_MS;
        failed += ok ? 0 : 1;
        System.out.printf("%s %s: %s (%d ms)%n", ok ? "ok   " : "FAIL ", name, outcome, tookMs);
    }

    private static Map<String, Object> settings(String... more) {
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", address);
        settings.put("max.block.ms", PATIENCE.toMillis());
        settings.put("default.api.timeout.ms", (int) PATIENCE.toMillis());
        settings.put("request.timeout.ms", 5_000);
        for (int i = 0; i < more.length; i += 2) {
            settings.put(more[i], more[i + 1]);
        }
        return settings;
    }

    private static KafkaProducer<String, String> producer(String... more) {
        return new KafkaProducer<>(settings(more), new StringSerializer(), new StringSerializer());
    }

    private static void transaction() {
        KafkaProducer<String, String> producer = producer("transactional.id", "refusals");
        try {
            producer.initTransactions();
        } finally {
            producer.close(Duration.ZERO);
        }
    }

    private static void consumerProtocol() {
        Map<String, Object> settings = settings("group.id", "refusals", "group.protocol", "consumer");
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of("refusals"));
            long end = System.nanoTime() + PATIENCE.toNanos();
            while (System.nanoTime() < end) {
                consumer.poll(SHORT_POLL);
            }
        }
    }

    private static void shareConsumer() {
        Map<String, Object> settings = settings("group.id", "refusals-share");
        try (var consumer = new KafkaShareConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of("refusals"));
            long end = System.nanoTime() + PATIENCE.toNanos();
            while (System.nanoTime() < end) {
                consumer.poll(SHORT_POLL);
            }
        }
    }

    /** The consumer that Kafka Streams makes with group.protocol=streams. */
    private static void streamsGroup() {
        var config = new ConsumerConfig(settings("group.id", "refusals-streams", "group.protocol", "consumer",
            "key.deserializer", StringDeserializer.class.getName(), "value.deserializer", StringDeserializer.class.getName()));
        var topology = Map.of("0", new StreamsRebalanceData.Subtopology(Set.of("refusals"), Set.of(), Map.of(), Map.of(), Set.of()));
        var streams = new StreamsRebalanceData(UUID.randomUUID(), Optional.empty(), Optional.empty(), topology, Map.of());
        try (var consumer = new AsyncKafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer(),
                Optional.of(streams))) {
            consumer.subscribe(List.of("refusals"));
            long end = System.nanoTime() + PATIENCE.toNanos();
            while (System.nanoTime() < end) {
                consumer.poll(SHORT_POLL);
            }
        }
    }

    private static final String[] SASL = {"security.protocol", "SASL_PLAINTEXT", "sasl.mechanism", "PLAIN", "sasl.jaas.config",
        "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"a\" password=\"b\";"};

    private static void sasl() {
        partitionsOf(SASL);
    }

    private static void saslAdmin() throws Exception {
        try (Admin admin = Admin.create(settings(SASL))) {
            admin.listTopics().names().get();
        }
    }

    private static void partitionsOf(String... more) {
        KafkaProducer<String, String> producer = producer(more);
        try {
            producer.partitionsFor("refusals");
        } finally {
            producer.close(Duration.ZERO);
        }
    }

    interface Call {
        Object run(Admin admin) throws Exception;
    }

    private static void admin(Call call) throws Exception {
        try (Admin admin = Admin.create(settings())) {
            call.run(admin);
        }
    }
}
