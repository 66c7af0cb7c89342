package sealpost.peer;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericFixed;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.DecoderFactory;

/** What the topics hold, as far as the topology looks into it. */
final class Records {
    private Records() {}

    static final List<String> CHANNELS = List.of("email", "sms", "kakao", "push");
    static final int SENT = 0;
    static final int FAILED = 1;

    /** A quantity that was used; the event id stays where it is. */
    record Usage(long user, Slice eventId, long occurredAt, int kind, long quantity) {
        static final int KINDS = 4;
        static final long QUANTITY_MAX = 1_000_000_000_000_000L;

        static Usage read(byte[] bytes) {
            AvroIn in = new AvroIn(bytes, Schemas.Name.USAGE);
            return new Usage(in.number(), in.slice(), in.number(), in.small(), in.number());
        }
    }

    /** From a day to a day, both included, as days since 1970. */
    record Interval(boolean given, int start, int end) {
        static Interval read(AvroIn in) {
            boolean hasStart = in.number() == 1;
            int start = hasStart ? in.small() : Integer.MIN_VALUE;
            boolean hasEnd = in.number() == 1;
            return new Interval(hasStart || hasEnd, start, hasEnd ? in.small() : Integer.MAX_VALUE);
        }

        boolean overlaps(int period) {
            var month = Period.month(period);
            return given && start <= month.atEndOfMonth().toEpochDay() && end >= month.atDay(1).toEpochDay();
        }
    }

    /** A subscriber; what only the message needs stays as it is encoded. */
    record Subscriber(long user, boolean active, String plan, List<String> options, Interval contract,
                      String welfare, Interval soldier, Slice windows, int locale, Slice contacts) {
        static Subscriber read(byte[] bytes) {
            AvroIn in = new AvroIn(bytes, Schemas.Name.SUBSCRIBER);
            long user = in.number();
            boolean active = in.small() == 0;
            String plan = in.text();
            List<String> options = new ArrayList<>(4);
            for (int left = in.block(); left > 0; left = in.block()) {
                for (; left > 0; left--) {
                    options.add(in.text());
                }
            }
            Interval contract = Interval.read(in);
            String welfare = in.textOrNull();
            Interval soldier = Interval.read(in);
            Slice windows = readWindows(in);
            return new Subscriber(user, active, plan, options, contract, welfare, soldier, windows, in.small(), in.rest());
        }
    }

    /** Windows are passed on as they are encoded. */
    private static Slice readWindows(AvroIn in) {
        int from = in.at;
        in.smallOr(0);
        in.smallOr(0);
        in.smallOr(0);
        return in.since(from);
    }

    enum LineKind {
        PLAN, DATA_OVERAGE, OPTION, CONTENT, CONTRACT_DISCOUNT, SOLDIER_DISCOUNT, WELFARE_DISCOUNT, ADJUSTMENT,
        BROUGHT_FORWARD, CARRIED_FORWARD;
        static final LineKind[] ALL = values();
    }

    record Line(LineKind kind, String code, String name, String sourcePeriod, long amount) {}

    /** A settled bill. */
    record Statement(long user, String period, String plan, String planName, List<Line> lines, long total,
                     long[] usage, Slice catalogDigest, Slice templateDigest, int locale, Slice windows,
                     Slice contacts) {
        byte[] write(AvroOut out) {
            out.begin(Schemas.Name.STATEMENT).number(user).text(period).text(plan).text(planName);
            if (!lines.isEmpty()) {
                out.number(lines.size());
                for (Line line : lines) {
                    out.number(line.kind.ordinal()).textOrNull(line.code).textOrNull(line.name)
                        .textOrNull(line.sourcePeriod).number(line.amount);
                }
            }
            out.number(0).number(total);
            for (long quantity : usage) {
                out.number(quantity);
            }
            return out.raw(catalogDigest).raw(templateDigest).number(locale).raw(windows).raw(contacts).toBytes();
        }

        static Statement read(byte[] bytes) {
            AvroIn in = new AvroIn(bytes, Schemas.Name.STATEMENT);
            long user = in.number();
            String period = in.text();
            String plan = in.text();
            String planName = in.text();
            List<Line> lines = new ArrayList<>(8);
            for (int left = in.block(); left > 0; left = in.block()) {
                for (; left > 0; left--) {
                    lines.add(new Line(LineKind.ALL[in.small()], in.textOrNull(), in.textOrNull(), in.textOrNull(), in.number()));
                }
            }
            long total = in.number();
            long[] usage = {in.number(), in.number(), in.number(), in.number()};
            return new Statement(user, period, plan, planName, lines, total, usage, in.raw(32), in.raw(32),
                in.small(), readWindows(in), in.rest());
        }
    }

    /** Everything personal of a statement, still sealed. */
    record Contacts(Slice name, Slice email, Slice phone, Slice[] destinations) {
        static Contacts read(Slice encoded) {
            AvroIn in = new AvroIn(encoded.bytes());
            in.at = encoded.from();
            Slice name = in.sliceOrNull();
            Slice email = in.sliceOrNull();
            Slice phone = in.sliceOrNull();
            Slice[] destinations = new Slice[CHANNELS.size()];
            for (int left = in.block(); left > 0; left = in.block()) {
                for (; left > 0; left--) {
                    destinations[in.small()] = in.slice();
                    in.raw(32);
                }
            }
            return new Contacts(name, email, phone, destinations);
        }
    }

    /** A message on its way, as far as the sender looks into it. */
    record Dispatch(long user, String period, String kind, int version, int channel, Slice messageKey,
                    Slice destination, Slice bodyDigest) {
        static Dispatch read(byte[] bytes) {
            AvroIn in = new AvroIn(bytes, Schemas.Name.DISPATCH);
            long user = in.number();
            String period = in.text();
            String kind = in.text();
            int version = in.small();
            int channel = in.small();
            Slice messageKey = in.raw(32);
            in.number();
            Slice destination = in.slice();
            in.sliceOrNull();
            in.skip();
            in.sliceOrNull();
            return new Dispatch(user, period, kind, version, channel, messageKey, destination, in.raw(32));
        }
    }

    /** A route that has no message on its way. Standing: 0 held, 1 failed, 2 suppressed. */
    record Notice(long user, String period, String kind, int version, int standing, String reason) {
        static Notice read(byte[] bytes) {
            AvroIn in = new AvroIn(bytes, Schemas.Name.ROUTE_NOTICE);
            Notice notice = new Notice(in.number(), in.text(), in.text(), in.small(), in.small(), null);
            if (in.number() == 1) {
                in.number();
            }
            return new Notice(notice.user, notice.period, notice.kind, notice.version, notice.standing, in.textOrNull());
        }

        byte[] write(AvroOut out) {
            return out.begin(Schemas.Name.ROUTE_NOTICE).number(user).text(period).text(kind).number(version)
                .number(standing).number(0).textOrNull(reason).toBytes();
        }
    }

    /** How a message ended. */
    record Delivery(long user, String period, String kind, int version, int channel, Slice messageKey, int outcome,
                    String reason, int attempts, String providerMessageId, long updatedAt) {
        static Delivery read(byte[] bytes) {
            AvroIn in = new AvroIn(bytes, Schemas.Name.DELIVERY);
            return new Delivery(in.number(), in.text(), in.text(), in.small(), in.small(), in.raw(32), in.small(),
                in.textOrNull(), in.small(), in.textOrNull(), in.number());
        }

        byte[] write(AvroOut out) {
            return out.begin(Schemas.Name.DELIVERY).number(user).text(period).text(kind).number(version)
                .number(channel).raw(messageKey).number(outcome).textOrNull(reason).number(attempts)
                .textOrNull(providerMessageId).number(updatedAt).toBytes();
        }
    }

    /** The command that closes a period; null for any other command. */
    record Close(String id, int period, String catalog, Slice catalogDigest, Slice templateDigest,
                 Map<String, String> templates, int[] channels, int attempts, String timeZone) {
        static Close read(byte[] bytes) {
            try {
                int header = new AvroIn(bytes, Schemas.Name.COMMAND).at;
                var decoder = DecoderFactory.get().binaryDecoder(bytes, header, bytes.length - header, null);
                GenericRecord command = new GenericDatumReader<GenericRecord>(Schemas.Name.COMMAND.schema).read(null, decoder);
                GenericRecord action = (GenericRecord) command.get("action");
                if (!action.getSchema().getName().equals("Close")) {
                    return null;
                }
                Map<String, String> templates = new LinkedHashMap<>();
                ((Map<?, ?>) action.get("templates")).forEach((name, text) -> templates.put(name.toString(), text.toString()));
                GenericRecord policy = (GenericRecord) action.get("policy");
                int[] channels = ((List<?>) policy.get("channels")).stream()
                    .mapToInt(channel -> CHANNELS.indexOf(channel.toString())).toArray();
                return new Close(command.get("command_id").toString(), Period.parse(action.get("period").toString()),
                    action.get("catalog").toString(), digest(action, "catalog_digest"), digest(action, "template_digest"),
                    templates, channels, (Integer) policy.get("attempts_per_channel"), action.get("time_zone").toString());
            } catch (java.io.IOException error) {
                throw new java.io.UncheckedIOException(error);
            }
        }

        private static Slice digest(GenericRecord action, String field) {
            return Slice.of(((GenericFixed) action.get(field)).bytes());
        }
    }
}
