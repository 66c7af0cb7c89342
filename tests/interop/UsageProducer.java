import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Usage from a plain Java producer, with the default partitioner: what anyone's program does.
 *
 * <pre>java -cp 'JARS/*' UsageProducer.java [--properties FILE] [--abort] BOOTSTRAP TOPIC [TOPIC ...]
 * </pre>
 *
 * In, a record on each line: the user id, a space, and the value as hexadecimal, or as {@code @}
 * and the path of a file that holds it. Each goes to every topic, with the user id in ASCII as its
 * key. Out, a line for each that the broker has taken, in the order of the input: topic, key,
 * partition and offset, with tabs between. With {@code --abort} all of it is one transaction, which
 * is aborted once the broker has taken everything.
 */
public final class UsageProducer {
  private record Sent(String key, Future<RecordMetadata> receipt) {}

  public static void main(String[] arguments)
      throws IOException, InterruptedException, ExecutionException {
    List<String> words = new ArrayList<>(List.of(arguments));
    Properties properties = new Properties();
    if (words.size() > 1 && words.get(0).equals("--properties")) {
      try (InputStream file = Files.newInputStream(Path.of(words.get(1)))) {
        properties.load(file);
      }
      words.subList(0, 2).clear();
    }
    boolean abort = words.remove("--abort");
    if (words.size() < 2) {
      System.err.println("UsageProducer [--properties FILE] [--abort] BOOTSTRAP TOPIC [TOPIC ...]");
      System.exit(2);
    }
    properties.put(ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, words.get(0));
    properties.put(ProducerConfig.ACKS_CONFIG, "all");
    List<String> topics = words.subList(1, words.size());
    if (abort) {
      properties.put(ProducerConfig.TRANSACTIONAL_ID_CONFIG, UUID.randomUUID().toString());
    }

    List<Sent> sent = new ArrayList<>();
    try (KafkaProducer<byte[], byte[]> producer =
            new KafkaProducer<>(
                properties, new ByteArraySerializer(), new ByteArraySerializer());
        BufferedReader in =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII))) {
      if (abort) {
        producer.initTransactions();
        producer.beginTransaction();
      }
      for (String line = in.readLine(); line != null; line = in.readLine()) {
        int space = line.indexOf(' ');
        if (space < 0) {
          throw new IllegalArgumentException("a line is not a user id, a space and a value");
        }
        String key = line.substring(0, space);
        byte[] value = valueOf(line.substring(space + 1));
        for (String topic : topics) {
          ProducerRecord<byte[], byte[]> record =
              new ProducerRecord<>(topic, key.getBytes(StandardCharsets.US_ASCII), value);
          sent.add(new Sent(key, producer.send(record)));
        }
      }
      if (abort) {
        producer.flush();
        producer.abortTransaction();
      }
    }
    StringBuilder out = new StringBuilder();
    for (Sent one : sent) {
      RecordMetadata place = one.receipt().get();
      out.append(place.topic()).append('\t').append(one.key()).append('\t');
      out.append(place.partition()).append('\t').append(place.offset()).append('\n');
    }
    System.out.print(out);
  }

  private static byte[] valueOf(String text) throws IOException {
    return text.startsWith("@")
        ? Files.readAllBytes(Path.of(text.substring(1)))
        : HexFormat.of().parseHex(text);
  }
}
