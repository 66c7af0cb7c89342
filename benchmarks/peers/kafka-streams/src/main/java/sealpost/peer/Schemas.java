package sealpost.peer;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.Arrays;
import org.apache.avro.Schema;
import org.apache.avro.SchemaNormalization;

/** The schemas of the topics, as sealpost has them. */
final class Schemas {
    private Schemas() {}

    enum Name {
        USAGE, SUBSCRIBER, COMMAND, STATEMENT, DISPATCH, ROUTE_NOTICE, DELIVERY, SEND_STATE, DEAD_LETTER;

        final Schema schema = load(name().toLowerCase());
        /** What stands before a datum in Avro's single-object encoding. */
        final byte[] header = header(schema);

        boolean wrote(byte[] bytes) {
            return bytes.length >= header.length
                && Arrays.equals(bytes, 0, header.length, header, 0, header.length);
        }
    }

    private static Schema load(String name) {
        try (InputStream in = Schemas.class.getResourceAsStream("/avro/" + name + ".avsc")) {
            return new Schema.Parser().parse(in);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static byte[] header(Schema schema) {
        byte[] header = new byte[10];
        header[0] = (byte) 0xC3;
        header[1] = 0x01;
        long fingerprint = SchemaNormalization.parsingFingerprint64(schema);
        for (int i = 0; i < 8; i++) {
            header[2 + i] = (byte) (fingerprint >>> 8 * i);
        }
        return header;
    }
}
