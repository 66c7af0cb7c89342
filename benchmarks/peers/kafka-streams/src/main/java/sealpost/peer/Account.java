package sealpost.peer;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * What settling remembers of a user, in one store: {@code a USER} the account, {@code e USER CHUNK} the events that
 * were seen, {@code f USER PERIOD} what a settled period's bill was made of. USER is 8 bytes, CHUNK and PERIOD 4.
 */
final class Account {
    /** Whether a subscriber's row has come, and whether it bills. */
    enum Profile { NONE, WITHDRAWN, ACTIVE }

    Profile profile = Profile.NONE;
    /** The chunks of events that there are: from 0 to before this. */
    int chunks;
    /** Credit for the next statement. */
    long credit;
    /** Totals of periods that are not settled, by period: bytes, seconds, messages, won. */
    final TreeMap<Integer, long[]> open = new TreeMap<>();
    /** Settled periods with usage that no statement has yet. */
    final TreeSet<Integer> late = new TreeSet<>();

    static Bytes key(long user) {
        return Bytes.wrap(ByteBuffer.allocate(9).put((byte) 'a').putLong(user).array());
    }

    private static Bytes numbered(char prefix, long user, int number) {
        return Bytes.wrap(ByteBuffer.allocate(13).put((byte) prefix).putLong(user).putInt(number).array());
    }

    static Account load(KeyValueStore<Bytes, byte[]> store, long user) {
        byte[] bytes = store.get(key(user));
        if (bytes == null) {
            return null;
        }
        AvroIn in = new AvroIn(bytes);
        Account account = new Account();
        account.profile = Profile.values()[in.small()];
        account.chunks = in.small();
        account.credit = in.number();
        for (int left = in.small(); left > 0; left--) {
            account.open.put(in.small(), new long[] {in.number(), in.number(), in.number(), in.number()});
        }
        for (int left = in.small(); left > 0; left--) {
            account.late.add(in.small());
        }
        return account;
    }

    void store(KeyValueStore<Bytes, byte[]> store, long user, AvroOut out) {
        out.clear().number(profile.ordinal()).number(chunks).number(credit).number(open.size());
        open.forEach((period, totals) -> {
            out.number(period);
            for (long total : totals) {
                out.number(total);
            }
        });
        out.number(late.size());
        late.forEach(out::number);
        store.put(key(user), out.toBytes());
    }

    /** One event that counted: 8 bytes of its id's hash, 4 of its content's, its period (2). */
    record Seen(long id, int content, short period) {
        private static final int BYTES = 14;
        private static final int ENTRIES_MAX = 64;
        private static final long FNV_OFFSET = 0xcbf29ce484222325L;
        private static final long FNV_PRIME = 0x100000001b3L;

        static Seen of(Records.Usage usage, int period) {
            Slice text = usage.eventId();
            long id = FNV_OFFSET;
            for (int at = text.from(); at < text.from() + text.length(); at++) {
                id = (id ^ text.bytes()[at] & 0xff) * FNV_PRIME;
            }
            long content = FNV_OFFSET;
            for (long part : new long[] {usage.occurredAt(), usage.kind(), usage.quantity()}) {
                for (int i = 0; i < 8; i++) {
                    content = (content ^ (part >>> 8 * i & 0xff)) * FNV_PRIME;
                }
            }
            return new Seen(id, (int) (content ^ content >>> 32), (short) period);
        }
    }

    /** Counts an event, once: true if it is new, false if it was seen; other content under one id is an error. */
    boolean remember(KeyValueStore<Bytes, byte[]> store, long user, Seen seen) throws Conflict {
        byte[] last = null;
        for (int chunk = chunks - 1; chunk >= 0; chunk--) {
            byte[] entries = store.get(numbered('e', user, chunk));
            if (entries == null) {
                continue;
            }
            ByteBuffer buffer = ByteBuffer.wrap(entries);
            for (int at = 0; at < entries.length; at += Seen.BYTES) {
                if (buffer.getLong(at) == seen.id) {
                    if (buffer.getInt(at + 8) != seen.content) {
                        throw new Conflict();
                    }
                    return false;
                }
            }
            if (chunk == chunks - 1) {
                last = entries;
            }
        }
        if (last == null || last.length == Seen.ENTRIES_MAX * Seen.BYTES) {
            last = new byte[0];
            chunks++;
        }
        ByteBuffer longer = ByteBuffer.allocate(last.length + Seen.BYTES);
        longer.put(last).putLong(seen.id).putInt(seen.content).putShort(seen.period);
        store.put(numbered('e', user, chunks - 1), longer.array());
        return true;
    }

    static final class Conflict extends Exception {
        Conflict() {
            super(null, null, false, false);
        }
    }

    /** The inputs of a settled period, and what was billed for it so far. */
    record Frozen(Slice catalogDigest, String plan, List<String> options, String welfare, boolean contract,
                  boolean soldier, long[] usage, long billed) {
        static Frozen load(KeyValueStore<Bytes, byte[]> store, long user, int period) {
            byte[] bytes = store.get(numbered('f', user, period));
            if (bytes == null) {
                return null;
            }
            AvroIn in = new AvroIn(bytes);
            Slice digest = in.raw(32);
            String plan = in.text();
            int count = in.small();
            List<String> options = new ArrayList<>(count);
            for (int left = count; left > 0; left--) {
                options.add(in.text());
            }
            return new Frozen(digest, plan, options, in.textOrNull(), in.number() == 1, in.number() == 1,
                new long[] {in.number(), in.number(), in.number(), in.number()}, in.number());
        }

        void store(KeyValueStore<Bytes, byte[]> store, long user, int period, AvroOut out) {
            out.clear().raw(catalogDigest).text(plan).number(options.size());
            options.forEach(out::text);
            out.textOrNull(welfare).number(contract ? 1 : 0).number(soldier ? 1 : 0);
            for (long quantity : usage) {
                out.number(quantity);
            }
            store.put(numbered('f', user, period), out.number(billed).toBytes());
        }

        Frozen billed(long amount) {
            return new Frozen(catalogDigest, plan, options, welfare, contract, soldier, usage, amount);
        }
    }
}
