package sealpost.peer;

import java.nio.charset.Charset;
import java.nio.charset.CharsetEncoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.commons.codec.digest.Blake3;
import sealpost.peer.Records.Line;
import sealpost.peer.Records.Statement;

/** Renders a statement for one channel, and makes the dispatch. One for each task. */
final class Message {
    private static final String[] LOCALES = {"ko", "en"};
    private static final byte[] NOTHING = {};
    private static final byte[] YES = {1};

    private final KeyRing keys;
    private final AvroOut parts = new AvroOut();
    private final AvroOut out = new AvroOut();
    private final CharsetEncoder eucKr = Charset.forName("x-windows-949").newEncoder();

    Message(KeyRing keys) {
        this.keys = keys;
    }

    static byte[] key(String period, long user, String kind, int version, int channel) {
        String text = "sealpost/message/" + period + "/" + user + "/" + kind + "/" + version + "/"
            + Records.CHANNELS.get(channel);
        return Blake3.hash(text.getBytes(StandardCharsets.US_ASCII));
    }

    /** The dispatch of a statement by a channel that has a destination. */
    byte[] dispatch(Statement statement, Records.Contacts contacts, Templates templates, int version, int channel, int attempts) {
        Bill bill = new Bill(statement, open("profile/name", statement, contacts.name()),
            open("profile/email", statement, contacts.email()), open("profile/phone", statement, contacts.phone()));
        String name = Records.CHANNELS.get(channel);
        String form = name + "." + LOCALES[statement.locale()];
        boolean hasSubject = name.equals("email") || name.equals("push");
        parts.clear();
        Slice subject = hasSubject ? trimmed(part(templates, form + ".subject", bill)) : null;
        Slice body = part(templates, form + ".txt", bill);
        if (name.equals("sms")) {
            body = substituted(body);
        }
        Slice html = name.equals("email") ? part(templates, form + ".html", bill) : null;

        out.begin(Schemas.Name.DISPATCH).number(statement.user()).text(statement.period()).text("bill").number(version)
            .number(channel).raw(key(statement.period(), statement.user(), "bill", version, channel)).number(attempts)
            .bytes(contacts.destinations()[channel]);
        Blake3 digest = Blake3.initHash();
        out.bytesOrNull(measured(subject, digest));
        out.bytes(measured(body, digest));
        out.bytesOrNull(measured(html, digest));
        return out.raw(digest.doFinalize(32)).toBytes();
    }

    private byte[] open(String purpose, Statement statement, Slice sealed) {
        return sealed == null ? NOTHING : keys.open(purpose, statement.user(), sealed);
    }

    private Slice part(Templates templates, String name, Bill bill) {
        int from = parts.length;
        templates.render(name, bill, parts);
        // the buffer may grow with the next part: then this one still has the old one
        return new Slice(parts.bytes, from, parts.length - from);
    }

    private static Slice trimmed(Slice text) {
        int length = text.length();
        while (length > 0 && text.bytes()[text.from() + length - 1] <= ' ' && text.bytes()[text.from() + length - 1] >= 0) {
            length--;
        }
        return new Slice(text.bytes(), text.from(), length);
    }

    /** A text message has only the characters of EUC-KR. */
    private Slice substituted(Slice text) {
        String string = new String(text.bytes(), text.from(), text.length(), StandardCharsets.UTF_8);
        if (eucKr.canEncode(string)) {
            return text;
        }
        StringBuilder fitting = new StringBuilder();
        string.codePoints().forEach(c -> {
            String one = Character.toString(c);
            fitting.append(eucKr.canEncode(one) ? one : "?");
        });
        return Slice.of(fitting.toString().getBytes(StandardCharsets.UTF_8));
    }

    /** Adds a part to the digest: its length in 8 bytes little-endian, -1 if it is missing, then its bytes. */
    private static Slice measured(Slice part, Blake3 digest) {
        long length = part == null ? -1 : part.length();
        byte[] prefix = new byte[8];
        for (int i = 0; i < 8; i++) {
            prefix[i] = (byte) (length >>> 8 * i);
        }
        digest.update(prefix);
        if (part != null) {
            digest.update(part.bytes(), part.from(), part.length());
        }
        return part;
    }

    private static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** What a template sees: masked forms only; each value is made when it is asked for, and kept. */
    private static final class Bill implements Templates.Bill {
        private final Statement statement;
        private final byte[] name;
        private final byte[] email;
        private final byte[] phone;
        private final Map<String, byte[]> values = new HashMap<>();
        private List<LineView> lines;

        Bill(Statement statement, byte[] name, byte[] email, byte[] phone) {
            this.statement = statement;
            this.name = name;
            this.email = email;
            this.phone = phone;
        }

        @Override
        public byte[] value(String name) {
            byte[] value = values.get(name);
            if (value == null) {
                value = utf8(text(name));
                values.put(name, value);
            }
            return value;
        }

        @Override
        public List<LineView> lines() {
            if (lines == null) {
                lines = new ArrayList<>(statement.lines().size());
                statement.lines().forEach(line -> lines.add(new LineView(line, statement.locale())));
            }
            return lines;
        }

        private String text(String variable) {
            int locale = statement.locale();
            return switch (variable) {
                case "masked_name" -> Words.shown(Words.maskedName(new String(name, StandardCharsets.UTF_8)), 64);
                // sealed in masked form
                case "masked_email" -> Words.shown(new String(email, StandardCharsets.UTF_8), 254);
                case "masked_phone" -> Words.shown(new String(phone, StandardCharsets.UTF_8), 254);
                case "period" -> Words.period(statement.period(), locale);
                case "period_code" -> statement.period();
                case "plan" -> Words.shown(statement.planName().isEmpty() ? statement.plan() : statement.planName(), 64);
                case "total" -> Words.won(statement.total(), locale);
                case "total_number" -> Words.grouped(Math.max(0, statement.total()));
                case "charges" -> sum(-1) < 0 ? Words.won(sum(1), locale) : "";
                case "discounts" -> sum(-1) < 0 ? Words.won(sum(-1), locale) : "";
                case "data_used" -> Words.data(statement.usage()[0]);
                case "voice_used" -> Words.voice(statement.usage()[1], locale);
                case "messages_used" -> Words.messages(statement.usage()[2], locale);
                case "content_used" -> Words.won(statement.usage()[3], locale);
                case "invoice_number" -> invoiceNumber();
                default -> throw new IllegalArgumentException("no variable " + variable);
            };
        }

        private long sum(int sign) {
            long sum = 0;
            for (Line line : statement.lines()) {
                if (Long.signum(line.amount()) == sign) {
                    sum += line.amount();
                }
            }
            return sum;
        }

        private String invoiceNumber() {
            byte[] key = Blake3.hash(utf8("sealpost/invoice/" + statement.period() + "/" + statement.user()));
            StringBuilder text = new StringBuilder(19);
            for (int i = 0; i < 8; i++) {
                if (i > 0 && i % 2 == 0) {
                    text.append('-');
                }
                text.append(Character.forDigit(key[i] >> 4 & 15, 16)).append(Character.forDigit(key[i] & 15, 16));
            }
            return text.toString();
        }
    }

    private record LineView(byte[] label, byte[] detail, byte[] amount, byte[] lowers) implements Templates.Bill {
        LineView(Line line, int locale) {
            this(utf8(Words.label(line.kind(), locale)), utf8(detail(line, locale)), utf8(Words.won(line.amount(), locale)),
                line.amount() < 0 ? YES : NOTHING);
        }

        private static String detail(Line line, int locale) {
            if (line.sourcePeriod() != null) {
                return Words.period(line.sourcePeriod(), locale);
            }
            boolean named = line.name() != null && !line.name().isEmpty();
            return Words.shown(named ? line.name() : line.code() == null ? "" : line.code(), 64);
        }

        @Override
        public byte[] value(String field) {
            return switch (field) {
                case "label" -> label;
                case "detail" -> detail;
                case "amount" -> amount;
                case "discount" -> lowers;
                default -> throw new IllegalArgumentException("no field " + field);
            };
        }

        @Override
        public List<LineView> lines() {
            return List.of();
        }
    }
}
