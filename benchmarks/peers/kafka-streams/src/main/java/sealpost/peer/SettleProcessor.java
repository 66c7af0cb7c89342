package sealpost.peer;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.ZoneId;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * Usage and subscribers to statements.
 *
 * <p>A close is worked off in portions, by a punctuation: a commit never waits for a whole partition. Whoever is
 * touched meanwhile is settled first, so that what comes after the close is not in the bill.
 */
final class SettleProcessor implements Processor<byte[], byte[], byte[], byte[]> {
    /** How long one portion of a close may take. */
    private static final long PORTION_NANOS = 20_000_000;
    private static final int MONTHS_KEPT = 13;

    private final Progress progress;
    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<Bytes, byte[]> accounts;
    private KeyValueStore<Bytes, byte[]> subscribers;
    private final AvroOut out = new AvroOut();
    private final Map<Bytes, Catalog> catalogs = new HashMap<>();
    private final Set<Integer> closed = new HashSet<>();
    private int newestClosed = -1;
    private Period.Clock clock;

    private Records.Close close;
    private long[] work;
    private int worked;

    SettleProcessor(Progress progress) {
        this.progress = progress;
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = context;
        accounts = context.getStateStore(PeerTopology.ACCOUNTS);
        subscribers = context.getStateStore(PeerTopology.SUBSCRIBERS);
        try (var kept = accounts.range(Bytes.wrap(new byte[] {'g'}), Bytes.wrap(new byte[] {'q' + 1}))) {
            kept.forEachRemaining(entry -> {
                switch (entry.key.get()[0]) {
                    case 'p' -> markClosed(Integer.parseInt(text(entry.key)));
                    case 'q' -> begin(entry.value);
                    default -> { }
                }
            });
        }
        context.schedule(Duration.ofMillis(1), PunctuationType.WALL_CLOCK_TIME, now -> portion());
    }

    private static String text(Bytes key) {
        return new String(key.get(), 1, key.get().length - 1, StandardCharsets.UTF_8);
    }

    private static Bytes named(char prefix, String name) {
        return Bytes.wrap((prefix + name).getBytes(StandardCharsets.UTF_8));
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        byte[] value = record.value();
        if (value == null) {
            // sealpost takes the ends of its inputs for a close by writing empty records
            return;
        }
        if (Schemas.Name.USAGE.wrote(value)) {
            onUsage(value);
        } else if (Schemas.Name.SUBSCRIBER.wrote(value)) {
            onSubscriber(value);
        } else {
            onCommand(value);
        }
    }

    private void onSubscriber(byte[] value) {
        AvroIn in = new AvroIn(value, Schemas.Name.SUBSCRIBER);
        long user = in.number();
        Account.Profile profile = in.small() == 0 ? Account.Profile.ACTIVE : Account.Profile.WITHDRAWN;
        settleBeforeTouch(user);
        Account account = Account.load(accounts, user);
        if (account == null) {
            account = new Account();
        }
        if (account.profile != profile) {
            account.profile = profile;
            account.store(accounts, user, out);
        }
    }

    private void onUsage(byte[] value) {
        Records.Usage usage = Records.Usage.read(value);
        long user = usage.user();
        int period = clock().of(usage.occurredAt());
        int idBytes = usage.eventId().length();
        if (idBytes == 0 || idBytes > 64 || usage.quantity() < 0 || usage.quantity() > Records.Usage.QUANTITY_MAX || period < 0) {
            refuse(user, "malformed");
            return;
        }
        if (newestClosed - period > MONTHS_KEPT) {
            refuse(user, "too_late");
            return;
        }
        settleBeforeTouch(user);
        Account account = Account.load(accounts, user);
        if (account == null) {
            account = new Account();
        }
        Account.Frozen frozen = closed.contains(period) ? Account.Frozen.load(accounts, user, period) : null;
        if (frozen == null && closed.contains(period) && account.profile != Account.Profile.ACTIVE) {
            refuse(user, account.profile == Account.Profile.NONE ? "unknown_subscriber" : "withdrawn");
            return;
        }
        try {
            if (!account.remember(accounts, user, Account.Seen.of(usage, period))) {
                return;
            }
        } catch (Account.Conflict conflict) {
            refuse(user, "conflicting_event");
            return;
        }
        // 64 bits hold nine thousand of the largest quantity: an overflow stops the task
        if (frozen != null) {
            frozen.usage()[usage.kind()] = Math.addExact(frozen.usage()[usage.kind()], usage.quantity());
            frozen.store(accounts, user, period, out);
            account.late.add(period);
        } else {
            long[] totals = account.open.computeIfAbsent(period, p -> new long[Records.Usage.KINDS]);
            totals[usage.kind()] = Math.addExact(totals[usage.kind()], usage.quantity());
        }
        account.store(accounts, user, out);
    }

    private void onCommand(byte[] value) {
        Records.Close command = Records.Close.read(value);
        if (command == null || accounts.get(named('d', command.id())) != null) {
            return;
        }
        // one close at a time: finish the one before
        while (work != null) {
            portion();
        }
        accounts.put(named('q', command.id()), value);
        accounts.put(named('p', Integer.toString(command.period())), new byte[0]);
        accounts.put(Bytes.wrap(join('g', command.catalogDigest().copy())), command.catalog().getBytes(StandardCharsets.UTF_8));
        begin(value);
        // the renderer reads statements only: its templates come to it in the same partition, before them
        byte[] key = ("close/" + context.taskId().partition()).getBytes(StandardCharsets.UTF_8);
        forward(key, value, PeerTopology.STATEMENTS_SINK);
    }

    private static byte[] join(char prefix, byte[] rest) {
        byte[] key = new byte[1 + rest.length];
        key[0] = (byte) prefix;
        System.arraycopy(rest, 0, key, 1, rest.length);
        return key;
    }

    private void begin(byte[] command) {
        close = Records.Close.read(command);
        markClosed(close.period());
        List<Long> users = new ArrayList<>();
        try (var all = accounts.range(Bytes.wrap(new byte[] {'a'}), Bytes.wrap(new byte[] {'a' + 1}))) {
            while (all.hasNext()) {
                users.add(java.nio.ByteBuffer.wrap(all.next().key.get()).getLong(1));
            }
        }
        work = users.stream().mapToLong(Long::longValue).toArray();
        worked = 0;
    }

    private void portion() {
        if (work == null) {
            return;
        }
        long until = System.nanoTime() + PORTION_NANOS;
        while (worked < work.length && System.nanoTime() < until) {
            settle(work[worked++]);
        }
        if (worked == work.length) {
            accounts.delete(named('q', close.id()));
            accounts.put(named('d', close.id()), new byte[0]);
            work = null;
            progress.closed();
        }
    }

    private void settleBeforeTouch(long user) {
        if (work != null) {
            settle(user);
        }
    }

    private void settle(long user) {
        int period = close.period();
        Account account = Account.load(accounts, user);
        if (account == null || Account.Frozen.load(accounts, user, period) != null) {
            return;
        }
        if (account.profile != Account.Profile.ACTIVE) {
            if (account.open.remove(period) != null) {
                refuse(user, account.profile == Account.Profile.NONE ? "unknown_subscriber" : "withdrawn");
                account.store(accounts, user, out);
            }
            return;
        }
        byte[] row = subscribers.get(Bytes.wrap(Long.toString(user).getBytes(StandardCharsets.US_ASCII)));
        Records.Subscriber subscriber = Records.Subscriber.read(row);
        long[] usage = account.open.remove(period);
        Account.Frozen frozen = new Account.Frozen(close.catalogDigest(), subscriber.plan(), subscriber.options(),
            subscriber.welfare(), subscriber.contract().overlaps(period), subscriber.soldier().overlaps(period),
            usage == null ? new long[Records.Usage.KINDS] : usage, 0);
        List<Records.Line> lines = new ArrayList<>(8);
        TreeMap<Integer, Long> adjustments = new TreeMap<>();
        Map<Integer, Account.Frozen> again = new HashMap<>();
        long own;
        long[] total;
        try {
            own = Rating.rate(catalog(frozen.catalogDigest()), frozen, lines);
            for (int source : account.late) {
                Account.Frozen earlier = Account.Frozen.load(accounts, user, source);
                long now = Rating.rate(catalog(earlier.catalogDigest()), earlier, new ArrayList<>());
                adjustments.put(source, now - earlier.billed());
                again.put(source, earlier.billed(now));
            }
            total = Rating.finish(own, adjustments, account.credit, lines);
        } catch (Rating.Unknown unknown) {
            refuse(user, unknown.getMessage());
            return;
        } catch (ArithmeticException overflow) {
            refuse(user, "overflow");
            return;
        }
        again.forEach((source, billed) -> billed.store(accounts, user, source, out));
        frozen.billed(own).store(accounts, user, period, out);
        account.credit = total[1];
        account.late.clear();
        account.store(accounts, user, out);
        String month = Period.text(period);
        byte[] statement = new Records.Statement(user, month, subscriber.plan(), lines.get(0).name(), lines, total[0],
            frozen.usage(), close.catalogDigest(), close.templateDigest(), subscriber.locale(), subscriber.windows(),
            subscriber.contacts()).write(out);
        forward((user + "/" + month).getBytes(StandardCharsets.US_ASCII), statement, PeerTopology.STATEMENTS_SINK);
        progress.statement(total[0]);
    }

    private Catalog catalog(Slice digest) {
        return catalogs.computeIfAbsent(Bytes.wrap(digest.copy()), key ->
            new Catalog(new String(accounts.get(Bytes.wrap(join('g', digest.copy()))), StandardCharsets.UTF_8)));
    }

    private Period.Clock clock() {
        if (clock == null) {
            clock = new Period.Clock(ZoneId.of("Asia/Seoul"));
        }
        return clock;
    }

    private void markClosed(int period) {
        closed.add(period);
        newestClosed = Math.max(newestClosed, period);
    }

    private void refuse(long user, String reason) {
        byte[] key = Long.toString(user).getBytes(StandardCharsets.US_ASCII);
        var where = context.recordMetadata();
        out.begin(Schemas.Name.DEAD_LETTER).number(user).text("settle")
            .text(where.map(at -> at.topic()).orElse("")).number(where.map(at -> at.partition()).orElse(0))
            .number(where.map(at -> at.offset()).orElse(-1L))
            .number(Schemas.Name.DEAD_LETTER.schema.getField("reason").schema().getEnumOrdinal(reason))
            .text("").number(0).text("");
        forward(key, out.toBytes(), PeerTopology.DEAD_LETTERS_SINK);
    }

    private void forward(byte[] key, byte[] value, String child) {
        context.forward(new Record<>(key, value, context.currentSystemTimeMs()), child);
    }
}
