package sealpost.peer;

import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.Arrays;
import javax.crypto.Cipher;
import javax.crypto.spec.IvParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/** AES-256-SIV (RFC 5297) on the JDK's own AES. Not for two threads at once. */
final class Siv {
    private static final int BLOCK = 16;
    private final Cipher mac;
    private final Cipher block;
    private final byte[] subkey1;
    private final byte[] subkey2;

    Siv(byte[] key) {
        try {
            // CMAC is the last block of CBC from zero, and CTR is the block cipher over counters: neither
            // needs a new key schedule for each value
            mac = Cipher.getInstance("AES/CBC/NoPadding");
            mac.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(key, 0, 32, "AES"), new IvParameterSpec(new byte[BLOCK]));
            block = Cipher.getInstance("AES/ECB/NoPadding");
            block.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(key, 32, 32, "AES"));
            subkey1 = doubled(mac.doFinal(new byte[BLOCK]));
            subkey2 = doubled(subkey1);
        } catch (GeneralSecurityException error) {
            throw new IllegalStateException(error);
        }
    }

    /** What S2V has come to after these headers: the same for every value of one purpose. */
    byte[] headers(byte[]... headers) {
        byte[] d = cmac(new byte[BLOCK]);
        for (byte[] header : headers) {
            d = xor(doubled(d), cmac(header));
        }
        return d;
    }

    /** Opens {@code sealed} (tag, then ciphertext) under the headers behind {@code d} and one more. */
    byte[] open(byte[] d, byte[] lastHeader, Slice sealed) {
        try {
            byte[] tag = Arrays.copyOfRange(sealed.bytes(), sealed.from(), sealed.from() + BLOCK);
            int length = sealed.length() - BLOCK;
            byte[] plain = new byte[length];
            byte[] counters = new byte[(length + BLOCK - 1) / BLOCK * BLOCK];
            byte[] counter = tag.clone();
            counter[8] &= 0x7f;
            counter[12] &= 0x7f;
            for (int at = 0; at < counters.length; at += BLOCK) {
                System.arraycopy(counter, 0, counters, at, BLOCK);
                for (int i = BLOCK - 1; i >= 0 && ++counter[i] == 0; i--) { }
            }
            byte[] stream = counters.length == 0 ? counters : block.doFinal(counters);
            for (int i = 0; i < length; i++) {
                plain[i] = (byte) (sealed.bytes()[sealed.from() + BLOCK + i] ^ stream[i]);
            }
            d = xor(doubled(d), cmac(lastHeader));
            byte[] last;
            if (length >= BLOCK) {
                last = plain.clone();
                for (int i = 0; i < BLOCK; i++) {
                    last[length - BLOCK + i] ^= d[i];
                }
            } else {
                last = Arrays.copyOf(plain, BLOCK);
                last[length] = (byte) 0x80;
                last = xor(doubled(d), last);
            }
            if (!MessageDigest.isEqual(cmac(last), tag)) {
                throw new IllegalArgumentException("a sealed value does not open with this key");
            }
            return plain;
        } catch (GeneralSecurityException error) {
            throw new IllegalStateException(error);
        }
    }

    private byte[] cmac(byte[] message) {
        int blocks = Math.max(1, (message.length + BLOCK - 1) / BLOCK);
        byte[] padded = Arrays.copyOf(message, blocks * BLOCK);
        boolean whole = message.length == padded.length;
        if (!whole) {
            padded[message.length] = (byte) 0x80;
        }
        byte[] subkey = whole ? subkey1 : subkey2;
        for (int i = 0; i < BLOCK; i++) {
            padded[padded.length - BLOCK + i] ^= subkey[i];
        }
        try {
            byte[] encrypted = mac.doFinal(padded);
            return Arrays.copyOfRange(encrypted, encrypted.length - BLOCK, encrypted.length);
        } catch (GeneralSecurityException error) {
            throw new IllegalStateException(error);
        }
    }

    private static byte[] doubled(byte[] value) {
        byte[] result = new byte[BLOCK];
        for (int i = 0; i < BLOCK; i++) {
            result[i] = (byte) (value[i] << 1 | (i + 1 < BLOCK ? (value[i + 1] & 0xff) >>> 7 : 0));
        }
        if (value[0] < 0) {
            result[BLOCK - 1] ^= (byte) 0x87;
        }
        return result;
    }

    private static byte[] xor(byte[] one, byte[] other) {
        byte[] result = new byte[BLOCK];
        for (int i = 0; i < BLOCK; i++) {
            result[i] = (byte) (one[i] ^ other[i]);
        }
        return result;
    }
}
