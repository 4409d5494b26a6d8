// A small HTTP service with a data set larger than what its requests touch: java Service PORT RECORDS HOT_RECORDS.
// Each record is 4 KiB of text-like bytes; GET /N reads record N and seven of the hot ones, makes some garbage, and answers a sum.
import com.sun.net.httpserver.HttpServer;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.Random;

public class Service {
  static final int RECORD_BYTES = 4096, READ_EACH = 8, GARBAGE_BYTES = 16384;
  static byte[][] records;
  static volatile byte[] garbage;

  static int sum(int wanted, int hot) {
    garbage = new byte[GARBAGE_BYTES];
    int sum = 0;
    for (int i = 0; i < READ_EACH; i++) {
      byte[] record = records[i == 0 ? wanted : (wanted * 31 + i * 7919) % hot];
      for (int at = 0; at < RECORD_BYTES; at += 64) sum += record[at];
    }
    return sum;
  }

  public static void main(String[] words) throws Exception {
    int port = Integer.parseInt(words[0]), count = Integer.parseInt(words[1]), hot = Integer.parseInt(words[2]);
    Random random = new Random(7);
    byte[] text = new byte[RECORD_BYTES / 2];
    records = new byte[count][];
    for (int i = 0; i < count; i++) {
      records[i] = new byte[RECORD_BYTES];
      random.nextBytes(text); // half of it can be packed
      System.arraycopy(text, 0, records[i], 0, text.length);
    }
    HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 16);
    server.createContext("/", exchange -> {
      int wanted = Math.floorMod(Integer.parseInt(exchange.getRequestURI().getPath().substring(1)), count);
      byte[] body = (sum(wanted, hot) + "\n").getBytes();
      exchange.sendResponseHeaders(200, body.length);
      exchange.getResponseBody().write(body);
      exchange.close();
    });
    server.start();
    System.out.println("ready");
  }
}
