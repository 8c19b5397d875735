package bramble.peers;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.TableResult;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;

/**
 * Runs a script as one job on a Flink cluster in this process: {@code Main script.sql [KEY=VALUE…]}. A VALUE replaces {@code ${KEY}} in the script, or, if the
 * key has a point in it, sets an option of Flink. How many events the source has made is written to the standard error every 20 ms as {@code @events N}.
 */
public final class Main {
  private static final Pattern VARIABLE = Pattern.compile("\\$\\{(\\w+)(?::-([^}]*))?}");
  private static final long REPORT_MS = 20;

  private Main() {}

  public static void main(String[] args) throws Exception {
    Configuration conf = new Configuration();
    Map<String, String> variables = new HashMap<>();
    for (int i = 1; i < args.length; i++) {
      int at = args[i].indexOf('=');
      String key = args[i].substring(0, at);
      String value = args[i].substring(at + 1);
      if (key.contains(".")) {
        conf.setString(key, value);
      } else {
        variables.put(key, value);
      }
    }
    StreamTableEnvironment tables = StreamTableEnvironment.create(StreamExecutionEnvironment.createLocalEnvironment(conf));
    Thread reporter = new Thread(Main::report);
    reporter.setDaemon(true);
    reporter.start();
    TableResult last = null;
    for (String statement : statements(substitute(Files.readString(Path.of(args[0])), variables))) {
      last = tables.executeSql(statement);
    }
    if (last == null || last.getJobClient().isEmpty()) {
      throw new IllegalArgumentException("the script's last statement is no INSERT");
    }
    last.await();
    System.err.println("@events " + NexmarkSource.MADE.get());
    System.err.println("@done");
    // What is left would be the orderly end of a cluster that nobody needs any more.
    System.out.flush();
    Runtime.getRuntime().halt(0);
  }

  private static void report() {
    long before = -1;
    while (true) {
      long now = NexmarkSource.MADE.get();
      if (now != before) {
        System.err.println("@events " + now);
      }
      before = now;
      try {
        Thread.sleep(REPORT_MS);
      } catch (InterruptedException e) {
        return;
      }
    }
  }

  private static String substitute(String script, Map<String, String> variables) {
    Matcher m = VARIABLE.matcher(script);
    StringBuilder out = new StringBuilder();
    while (m.find()) {
      String value = variables.getOrDefault(m.group(1), m.group(2));
      if (value == null) {
        throw new IllegalArgumentException("${" + m.group(1) + "} has no value");
      }
      m.appendReplacement(out, Matcher.quoteReplacement(value));
    }
    return m.appendTail(out).toString();
  }

  /** Statements of a script end with a semicolon at the end of a line; comments take whole lines. */
  private static String[] statements(String script) {
    return java.util.Arrays.stream(script.replaceAll("(?m)^\\s*--.*$", "").split("(?m);\\s*$"))
        .map(String::strip)
        .filter(s -> !s.isEmpty())
        .toArray(String[]::new);
  }
}
