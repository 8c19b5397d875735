package bramble.peers;

import java.io.Serializable;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.flink.table.data.StringData;

/**
 * The events of connectors/nexmark, with its arithmetic: an event is a function of its number and the seed, and every value is the same to the bit. What changes
 * there has to change here; the conformance run compares them.
 */
final class Generator {
  static final int PERSON = 0;
  static final int AUCTION = 1;
  static final int BID = 2;

  /** A table's options. */
  static final class Config implements Serializable {
    private static final long serialVersionUID = 1;
    long events;
    long rate = 10_000;
    long base;
    long seed;
    long people = 1;
    long auctions = 3;
    long bids = 46;
    long personSize = 200;
    long auctionSize = 500;
    long bidSize = 100;
    long hotAuctions = 2;
    long hotBidders = 4;
    long hotSellers = 4;

    long total() {
      return people + auctions + bids;
    }
  }

  private static final long FIRST_PERSON = 1000;
  private static final long FIRST_AUCTION = 1000;
  private static final long FIRST_CATEGORY = 10;
  private static final long LEAD = 10;
  private static final long ACTIVE_PEOPLE = 1000;
  private static final long IN_FLIGHT = 100;
  private static final long HOT_EVERY = 100;
  private static final int CHANNELS = 10_000;
  private static final int HOT_CHANNELS = 4;
  private static final int SHORTEST = 3;
  private static final int BUFFER = 64 << 10;
  private static final long GOLDEN = 0x9e3779b97f4a7c15L;

  // What each field draws its random numbers with.
  private static final int NAME = 1;
  private static final int EMAIL = 2;
  private static final int EMAIL_HOST = 3;
  private static final int CARD = 4;
  private static final int CITY = 5;
  private static final int STATE = 6;
  private static final int EXTRA = 7;
  private static final int ITEM = 8;
  private static final int DESCRIPTION = 9;
  private static final int PRICE = 10;
  private static final int RESERVE = 11;
  private static final int EXPIRES = 12;
  private static final int HOT = 13;
  private static final int COLD = 14;
  private static final int CATEGORY = 15;
  private static final int HOT_BIDDER = 16;
  private static final int COLD_BIDDER = 17;
  private static final int CHANNEL = 18;

  private static final String[] STATES = {"AZ", "CA", "ID", "OR", "WA", "WY"};
  private static final String[] CITIES = {
    "Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"
  };
  private static final String[] FIRST_NAMES = {"Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"};
  private static final String[] LAST_NAMES = {"Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"};
  private static final String[] HOT_CHANNEL_NAMES = {"Google", "Facebook", "Baidu", "Apple"};

  private static final double[] POWER_HIGH = powers(1.0135831333340657);
  private static final double[] POWER_LOW = powers(1.0000131755843844);

  private final Config c;
  private final byte[] letters = new byte[BUFFER];
  private final byte[] words = new byte[BUFFER];
  private final StringData[] names;
  private final StringData[] cities = strings(CITIES);
  private final StringData[] states = strings(STATES);
  private final StringData[] channels = new StringData[HOT_CHANNELS + CHANNELS];
  private final StringData[] urls = new StringData[HOT_CHANNELS + CHANNELS];
  private final byte[] scratch = new byte[64];

  Generator(Config c) {
    this.c = c;
    for (int i = 0; i < BUFFER; i++) {
      letters[i] = (byte) ('a' + below(mix(c.seed + 2L * i * GOLDEN), 26));
      words[i] = below(mix(c.seed + (2L * i + 1) * GOLDEN), 13) == 0 ? (byte) ' ' : letters[i];
    }
    List<String> all = new ArrayList<>();
    for (String first : FIRST_NAMES) {
      for (String last : LAST_NAMES) {
        all.add(first + " " + last);
      }
    }
    names = strings(all.toArray(new String[0]));
    makeChannels();
  }

  private static StringData[] strings(String[] of) {
    StringData[] out = new StringData[of.length];
    for (int i = 0; i < of.length; i++) {
      out[i] = StringData.fromBytes(of[i].getBytes(StandardCharsets.UTF_8));
    }
    return out;
  }

  private void makeChannels() {
    for (int i = 0; i < HOT_CHANNELS; i++) {
      channels[i] = StringData.fromString(HOT_CHANNEL_NAMES[i]);
      urls[i] = StringData.fromBytes(url(mix(c.seed + i)).getBytes(StandardCharsets.UTF_8));
    }
    for (int i = 0; i < CHANNELS; i++) {
      long r = mix(c.seed + GOLDEN * (i + 1000));
      String url = url(r);
      if (below(mix(r), 10) > 0) {
        long id = Integer.reverse(i);
        url += "&channel_id=" + Math.max(id, -id);
      }
      channels[HOT_CHANNELS + i] = StringData.fromBytes(("channel-" + i).getBytes(StandardCharsets.UTF_8));
      urls[HOT_CHANNELS + i] = StringData.fromBytes(url.getBytes(StandardCharsets.UTF_8));
    }
  }

  private String url(long r) {
    StringBuilder url = new StringBuilder("https://www.nexmark.com/");
    for (int k = 0; k < 3; k++) {
      long piece = piece(draw(r, k), 5);
      url.append(new String(words, (int) (piece >>> 32), (int) piece, StandardCharsets.US_ASCII).replace(' ', '_')).append('/');
    }
    return url.append("item.htm?query=1").toString();
  }

  private static double[] powers(double step) {
    double[] t = new double[1 << 10];
    t[0] = 1;
    for (int i = 1; i < t.length; i++) {
      t[i] = t[i - 1] * step;
    }
    return t;
  }

  private static long mix(long z) {
    z = (z ^ z >>> 30) * 0xbf58476d1ce4e5b9L;
    z = (z ^ z >>> 27) * 0x94d049bb133111ebL;
    return z ^ z >>> 31;
  }

  long eventSeed(long n) {
    return mix(c.seed * 0xd1342543de82ef95L + n * GOLDEN + GOLDEN);
  }

  private static long draw(long seed, long field) {
    return mix(seed + field * GOLDEN);
  }

  /** Maps random bits to [0, n): the high half of their product as unsigned numbers, for n that is not negative. */
  private static long below(long r, long n) {
    return Math.multiplyHigh(r, n) + (r >> 63 & n);
  }

  int kind(long n) {
    long at = n % c.total();
    return at < c.people ? PERSON : at < c.people + c.auctions ? AUCTION : BID;
  }

  long time(long n) {
    return c.base + n * 1000 / c.rate;
  }

  private long lastPerson(long n) {
    long total = c.total();
    return Math.max(n / total * c.people + Math.min(n % total, c.people - 1), 0);
  }

  private long lastAuction(long n) {
    long round = n / c.total();
    long at = n % c.total() - c.people;
    if (at < 0) {
      round--;
      at = c.auctions - 1;
    }
    return Math.max(round * c.auctions + Math.min(at, c.auctions - 1), 0);
  }

  private long anyPerson(long n, long r) {
    long people = lastPerson(n) + 1;
    long active = Math.min(people, ACTIVE_PEOPLE);
    return people - active + below(r, active + LEAD);
  }

  private long anyAuction(long n, long r) {
    long last = lastAuction(n);
    long first = Math.max(last - IN_FLIGHT, 0);
    return first + below(r, last - first + 1 + LEAD);
  }

  private long seller(long n, long seed) {
    if (below(draw(seed, HOT), c.hotSellers) > 0) {
      return FIRST_PERSON + lastPerson(n) / HOT_EVERY * HOT_EVERY;
    }
    return FIRST_PERSON + anyPerson(n, draw(seed, COLD));
  }

  private long bidAuction(long n, long seed) {
    if (below(draw(seed, HOT), c.hotAuctions) > 0) {
      return FIRST_AUCTION + lastAuction(n) / HOT_EVERY * HOT_EVERY;
    }
    return FIRST_AUCTION + anyAuction(n, draw(seed, COLD));
  }

  private long bidder(long n, long seed) {
    if (below(draw(seed, HOT_BIDDER), c.hotBidders) > 0) {
      return FIRST_PERSON + lastPerson(n) / HOT_EVERY * HOT_EVERY + 1;
    }
    return FIRST_PERSON + anyPerson(n, draw(seed, COLD_BIDDER));
  }

  private long expires(long n, long seed) {
    long now = time(n);
    long horizon = time(n + IN_FLIGHT * c.total() / Math.max(c.auctions, 1)) - now;
    return now + 1 + below(draw(seed, EXPIRES), Math.max(2 * horizon, 1));
  }

  private static long price(long r) {
    return (long) (POWER_HIGH[(int) (r >>> 54)] * POWER_LOW[(int) (r >>> 44) & 0x3ff] * 100 + 0.5);
  }

  /** A piece of words, less the spaces at its ends: where it begins in the high half, its length in the low one. */
  private long piece(long r, long most) {
    int n = (int) (SHORTEST + below(r << 32, most - SHORTEST));
    int at = (int) below(r, BUFFER - most);
    int end = at + n;
    while (at < end && words[at] == ' ') {
      at++;
    }
    while (end > at && words[end - 1] == ' ') {
      end--;
    }
    return (long) at << 32 | end - at;
  }

  private StringData text(long r, long most) {
    long p = piece(r, most);
    return StringData.fromBytes(words, (int) (p >>> 32), (int) p);
  }

  private int textLength(long r, long most) {
    return (int) piece(r, most);
  }

  private StringData extra(long r, long size, long avg) {
    long missing = avg - size;
    if (missing <= 0) {
      return StringData.fromBytes(new byte[0]);
    }
    long delta = (missing * 2 + 5) / 10;
    int n = (int) (missing - delta + below(r << 32, 2 * delta));
    int at = (int) below(r, BUFFER - n);
    return StringData.fromBytes(letters, at, n);
  }

  private static int channel(long seed) {
    long r = draw(seed, CHANNEL);
    return (int) ((r & 1) == 0 ? below(r, HOT_CHANNELS) : HOT_CHANNELS + below(r, CHANNELS));
  }

  private int email(long seed) {
    int n = copyText(draw(seed, EMAIL), 7, 0);
    scratch[n++] = '@';
    n = copyText(draw(seed, EMAIL_HOST), 5, n);
    for (byte b : new byte[] {'.', 'c', 'o', 'm'}) {
      scratch[n++] = b;
    }
    return n;
  }

  private int copyText(long r, long most, int to) {
    long p = piece(r, most);
    System.arraycopy(words, (int) (p >>> 32), scratch, to, (int) p);
    return to + (int) p;
  }

  private StringData card(long seed) {
    byte[] s = new byte[19];
    long r = draw(seed, CARD);
    int at = 0;
    for (int k = 0; k < 4; k++) {
      if (k > 0) {
        s[at++] = ' ';
      }
      long v = (r >>> 16 * k & 0xffff) * 10000 >>> 16;
      s[at++] = (byte) ('0' + v / 1000);
      s[at++] = (byte) ('0' + v / 100 % 10);
      s[at++] = (byte) ('0' + v / 10 % 10);
      s[at++] = (byte) ('0' + v % 10);
    }
    return StringData.fromBytes(s);
  }

  private StringData personName(long seed) {
    return names[(int) below(draw(seed, NAME), names.length)];
  }

  private StringData city(long seed) {
    return cities[(int) below(draw(seed, CITY), cities.length)];
  }

  private StringData state(long seed) {
    return states[(int) below(draw(seed, STATE), states.length)];
  }

  private static int length(StringData s) {
    return s.toBytes().length;
  }

  private StringData personExtra(long seed) {
    int size = 8 + 19 + email(seed) + length(personName(seed)) + length(city(seed)) + 2;
    return extra(draw(seed, EXTRA), size, c.personSize);
  }

  private StringData auctionExtra(long seed) {
    int size = 6 * 8 + textLength(draw(seed, ITEM), 20) + textLength(draw(seed, DESCRIPTION), 100);
    return extra(draw(seed, EXTRA), size, c.auctionSize);
  }

  // The fields of the three rows, in the order of the benchmark's table.

  long personLong(int field, long n) {
    if (field != 0) {
      throw new IllegalArgumentException("person has no BIGINT " + field);
    }
    return FIRST_PERSON + lastPerson(n);
  }

  StringData personString(int field, long seed) {
    switch (field) {
      case 1:
        return personName(seed);
      case 2:
        return StringData.fromBytes(Arrays.copyOf(scratch, email(seed)));
      case 3:
        return card(seed);
      case 4:
        return city(seed);
      case 5:
        return state(seed);
      case 7:
        return personExtra(seed);
      default:
        throw new IllegalArgumentException("person has no STRING " + field);
    }
  }

  long auctionLong(int field, long n, long seed) {
    switch (field) {
      case 0:
        return FIRST_AUCTION + lastAuction(n);
      case 3:
        return price(draw(seed, PRICE));
      case 4:
        return price(draw(seed, PRICE)) + price(draw(seed, RESERVE));
      case 5:
        return time(n);
      case 6:
        return expires(n, seed);
      case 7:
        return seller(n, seed);
      case 8:
        return FIRST_CATEGORY + below(draw(seed, CATEGORY), 5);
      default:
        throw new IllegalArgumentException("auction has no BIGINT " + field);
    }
  }

  StringData auctionString(int field, long seed) {
    switch (field) {
      case 1:
        return text(draw(seed, ITEM), 20);
      case 2:
        return text(draw(seed, DESCRIPTION), 100);
      case 9:
        return auctionExtra(seed);
      default:
        throw new IllegalArgumentException("auction has no STRING " + field);
    }
  }

  long bidLong(int field, long n, long seed) {
    switch (field) {
      case 0:
        return bidAuction(n, seed);
      case 1:
        return bidder(n, seed);
      case 2:
        return price(draw(seed, PRICE));
      default:
        throw new IllegalArgumentException("bid has no BIGINT " + field);
    }
  }

  StringData bidString(int field, long seed) {
    switch (field) {
      case 3:
        return channels[channel(seed)];
      case 4:
        return urls[channel(seed)];
      case 6:
        return extra(draw(seed, EXTRA), 4 * 8, c.bidSize);
      default:
        throw new IllegalArgumentException("bid has no STRING " + field);
    }
  }
}
