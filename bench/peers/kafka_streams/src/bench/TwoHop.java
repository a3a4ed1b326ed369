package bench;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowStore;

/**
 * The two-hop job on Kafka Streams, written to be as fast as it honestly can be: the request is parsed once and its
 * bytes are carried on; a token is looked up by one point get, at its own timestamp, in a window store that forgets
 * whole segments; the number store is cached, so that its changelog gets one record a key and commit.
 *
 * <p>Arguments: bootstrap, application id, state folder, commit interval in ms, threads, input, updates, deliveries,
 * partitions.
 */
public final class TwoHop {
    private static final Duration AGE_MAX = Duration.ofHours(24);
    private static final byte[] PRESENT = {1};

    private TwoHop() {}

    public static void main(String[] arguments) throws InterruptedException {
        Properties settings = settings(arguments);
        KafkaStreams streams = new KafkaStreams(
                topology(arguments[5], arguments[6], arguments[7], Integer.parseInt(arguments[8]), settings), settings);
        CountDownLatch stopped = new CountDownLatch(1);
        streams.setStateListener((now, before) -> System.out.println("state " + now));
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            streams.close(Duration.ofSeconds(10));
            stopped.countDown();
        }));
        streams.start();
        stopped.await();
    }

    private static Properties settings(String[] arguments) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[1]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[2]);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, Long.parseLong(arguments[3]));
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, Integer.parseInt(arguments[4]));
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.TOPOLOGY_OPTIMIZATION_CONFIG, StreamsConfig.OPTIMIZE);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 131_072);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 4_000);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG), 10_000);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.HEARTBEAT_INTERVAL_MS_CONFIG), 2_000);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.GROUP_INSTANCE_ID_CONFIG), "worker-0");
        return settings;
    }

    private static Topology topology(
            String input, String updates, String deliveries, int partitions, Properties settings) {
        Serde<byte[]> bytes = Serdes.ByteArray();
        StreamsBuilder builder = new StreamsBuilder();
        builder.addStateStore(Stores.windowStoreBuilder(
                Stores.persistentWindowStore("seen", AGE_MAX, Duration.ofMillis(1), false), bytes, bytes));
        builder.addStateStore(
                Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("numbers"), bytes, Serdes.Long())
                        .withCachingEnabled());
        KStream<byte[], byte[]> numbered = builder.stream(input, Consumed.with(bytes, bytes))
                .process(Dedup::new, "seen")
                .repartition(Repartitioned.with(bytes, bytes).withName("appends").withNumberOfPartitions(partitions))
                .process(Numbering::new, "numbers");
        numbered.to(updates, Produced.with(bytes, bytes));
        numbered.to(deliveries, Produced.with(bytes, bytes));
        return builder.build(settings);
    }

    /** Lets each token of a client through once and makes the recipient the key. */
    private static final class Dedup implements Processor<byte[], byte[], byte[], byte[]> {
        private ProcessorContext<byte[], byte[]> context;
        private WindowStore<byte[], byte[]> seen;

        @Override
        public void init(ProcessorContext<byte[], byte[]> context) {
            this.context = context;
            this.seen = context.getStateStore("seen");
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            Request request = Request.parse(record.value());
            if (request.timestampMs() < context.currentStreamTimeMs() - AGE_MAX.toMillis()
                    || seen.fetch(request.clientAndNonce(), request.timestampMs()) != null) {
                return;
            }
            seen.put(request.clientAndNonce(), PRESENT, request.timestampMs());
            context.forward(record.withKey(request.recipient()));
        }
    }

    /** Gives each recipient's requests the numbers 1, 2, 3, ... */
    private static final class Numbering implements Processor<byte[], byte[], byte[], byte[]> {
        private ProcessorContext<byte[], byte[]> context;
        private KeyValueStore<byte[], Long> numbers;

        @Override
        public void init(ProcessorContext<byte[], byte[]> context) {
            this.context = context;
            this.numbers = context.getStateStore("numbers");
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            Long before = numbers.get(record.key());
            long number = before == null ? 1 : before + 1;
            numbers.put(record.key(), number);
            byte[] value = record.value();
            context.forward(record.withValue(
                    ByteBuffer.allocate(Long.BYTES + value.length).putLong(number).put(value).array()));
        }
    }

    /** What the job needs of a lockstep.SendRequest behind its 10 bytes of framing; the rest stays bytes. */
    private record Request(byte[] clientAndNonce, long timestampMs, byte[] recipient) {
        private static final int FRAME_BYTES = 10;

        static Request parse(byte[] value) {
            ByteBuffer at = ByteBuffer.wrap(value, FRAME_BYTES, value.length - FRAME_BYTES);
            int clientStart = at.position();
            skip(at);
            skip(at);
            int clientBytes = at.position() - clientStart;
            long timestampMs = number(at);
            long nonce = number(at);
            byte[] key = ByteBuffer.allocate(clientBytes + Long.BYTES)
                    .put(value, clientStart, clientBytes).putLong(nonce).array();
            skip(at);
            if (number(at) != 1 || number(at) != 1) {
                throw new IllegalArgumentException("a request of this job names its one recipient");
            }
            byte[] recipient = new byte[(int) number(at)];
            at.get(recipient);
            return new Request(key, timestampMs, recipient);
        }

        private static void skip(ByteBuffer at) {
            int size = (int) number(at);
            at.position(at.position() + size);
        }

        /** An Avro long: zigzag, seven bits a byte, the lowest first. */
        private static long number(ByteBuffer at) {
            long bits = 0;
            int shift = 0;
            byte part;
            do {
                part = at.get();
                bits |= (long) (part & 0x7F) << shift;
                shift += 7;
            } while (part < 0);
            return (bits >>> 1) ^ -(bits & 1);
        }
    }
}
