package sealpost.peer;

import java.io.File;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import sealpost.peer.Records.Contacts;
import sealpost.peer.Records.Delivery;
import sealpost.peer.Records.Statement;

/** Owns the route of each bill: renders for the first channel, and for the next one when a channel failed. */
final class RouteProcessor implements Processor<byte[], byte[], byte[], byte[]> {
    private static final int RENDERED = 1;
    private static final int SENT = 2;
    private static final int FAILED = 3;

    private final File keyFile;
    private final Progress progress;
    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<Bytes, byte[]> routes;
    private KeyValueStore<Bytes, byte[]> statements;
    private final Map<Bytes, Templates> templates = new HashMap<>();
    private int[] channels = {};
    private int attempts;
    private Message message;
    private final AvroOut out = new AvroOut();
    /** Of the record at hand; what is made of it has it too, so that what is under way goes before what is new. */
    private long timestamp;

    RouteProcessor(File keyFile, Progress progress) {
        this.keyFile = keyFile;
        this.progress = progress;
    }

    /** Where a route stands: state, channel at hand, channels behind it by bit. */
    private record Route(int state, int channel, int tried) {
        static Route read(byte[] bytes) {
            return bytes == null ? null : new Route(bytes[0], bytes[1], bytes[2]);
        }

        byte[] write() {
            return new byte[] {(byte) state, (byte) channel, (byte) tried};
        }
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = context;
        routes = context.getStateStore(PeerTopology.ROUTES);
        statements = context.getStateStore(PeerTopology.STATEMENTS);
        message = new Message(new KeyRing(keyFile));
        byte[] closes = "close/".getBytes(StandardCharsets.US_ASCII);
        byte[] after = "close0".getBytes(StandardCharsets.US_ASCII);
        try (var kept = statements.range(Bytes.wrap(closes), Bytes.wrap(after))) {
            kept.forEachRemaining(entry -> onClose(entry.value));
        }
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        timestamp = record.timestamp();
        byte[] value = record.value();
        if (Schemas.Name.STATEMENT.wrote(value)) {
            onStatement(record.key(), value);
        } else if (Schemas.Name.DELIVERY.wrote(value)) {
            onDelivery(record.key(), value);
        } else {
            onClose(value);
        }
    }

    private void onClose(byte[] value) {
        Records.Close close = Records.Close.read(value);
        templates.computeIfAbsent(Bytes.wrap(close.templateDigest().copy()), digest -> new Templates(close.templates()));
        channels = close.channels();
        attempts = close.attempts();
    }

    private void onStatement(byte[] key, byte[] value) {
        if (routes.get(Bytes.wrap(key)) == null) {
            next(key, value, 0, "no-destination");
        }
    }

    private void onDelivery(byte[] key, byte[] value) {
        Delivery delivery = Delivery.read(value);
        Route route = Route.read(routes.get(Bytes.wrap(key)));
        if (route == null || route.state != RENDERED || route.channel != delivery.channel()) {
            return;
        }
        if (delivery.outcome() == Records.SENT) {
            routes.put(Bytes.wrap(key), new Route(SENT, route.channel, route.tried).write());
            progress.finished.incrementAndGet();
        } else {
            next(key, statements.get(Bytes.wrap(key)), route.tried | 1 << route.channel, delivery.reason());
        }
    }

    /** The next channel that has a destination, or the end of the route. */
    private void next(byte[] key, byte[] value, int tried, String reason) {
        Statement statement = Statement.read(value);
        Contacts contacts = Contacts.read(statement.contacts());
        for (int channel : channels) {
            if ((tried & 1 << channel) == 0 && contacts.destinations()[channel] != null) {
                Templates set = templates.get(Bytes.wrap(statement.templateDigest().copy()));
                forward(key, message.dispatch(statement, contacts, set, 0, channel, attempts));
                routes.put(Bytes.wrap(key), new Route(RENDERED, channel, tried).write());
                return;
            }
        }
        routes.put(Bytes.wrap(key), new Route(FAILED, 0, tried).write());
        progress.finished.incrementAndGet();
        forward(key, new Records.Notice(statement.user(), statement.period(), "bill", 0, 1, reason).write(out));
    }

    private void forward(byte[] key, byte[] value) {
        context.forward(new Record<>(key, value, timestamp));
    }
}
