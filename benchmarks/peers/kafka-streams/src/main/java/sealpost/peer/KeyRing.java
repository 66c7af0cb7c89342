package sealpost.peer;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.HashMap;
import java.util.Map;

/** Opens sealed values by sealpost's key ring file. One for each task. */
final class KeyRing {
    private static final byte[] CONTEXT = "sealpost/v1".getBytes(StandardCharsets.US_ASCII);
    private final Map<Integer, Siv> ciphers = new HashMap<>();
    private final Map<String, byte[]> headers = new HashMap<>();

    KeyRing(File file) {
        try {
            for (JsonNode key : new ObjectMapper().readTree(file).path("keys")) {
                ciphers.put(key.path("id").intValue(), new Siv(Base64.getDecoder().decode(key.path("key").asText())));
            }
        } catch (IOException error) {
            throw new IllegalStateException("the key ring cannot be read");
        }
    }

    /** The plaintext of a value that was sealed for this user and purpose. */
    byte[] open(String purpose, long user, Slice sealed) {
        if (sealed.bytes()[sealed.from()] != 1) {
            throw new IllegalArgumentException("a sealed value of another format");
        }
        int id = ByteBuffer.wrap(sealed.bytes()).getInt(sealed.from() + 1);
        Siv siv = ciphers.get(id);
        byte[] d = headers.computeIfAbsent(id + purpose,
            key -> siv.headers(CONTEXT, purpose.getBytes(StandardCharsets.US_ASCII)));
        Slice rest = new Slice(sealed.bytes(), sealed.from() + 5, sealed.length() - 5);
        return siv.open(d, ByteBuffer.allocate(8).putLong(user).array(), rest);
    }
}
