import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.Statement;
import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;

/** Runs the statements of a file, and what tools ask before, through Flink's JDBC driver, and prints what it gets: Client HOST:PORT FILE. */
public class Client {
  interface Step {
    void run() throws Exception;
  }

  public static void main(String[] args) throws Exception {
    try (Connection c = DriverManager.getConnection("jdbc:flink://" + args[0])) {
      DatabaseMetaData d = c.getMetaData();
      System.out.println(d.getDatabaseProductName() + " in " + c.getCatalog() + "." + c.getSchema());
      step("catalogs", () -> show(d.getCatalogs()));
      step("schemas", () -> show(d.getSchemas()));
      step("use", () -> {
        c.setCatalog("default_catalog");
        c.setSchema("default_database");
      });
      try (Statement s = c.createStatement()) {
        for (String sql : Files.readString(Path.of(args[1])).split(";\n")) {
          if (!sql.isBlank()) {
            step(sql.strip(), () -> {
              if (s.execute(sql)) {
                show(s.getResultSet());
              }
            });
          }
        }
      }
      System.out.println(c.isClosed() ? "closed" : "open");
    }
  }

  static void step(String what, Step s) {
    System.out.println("> " + what);
    try {
      s.run();
    } catch (Throwable t) {
      Throwable root = t;
      while (root.getCause() != null) {
        root = root.getCause();
      }
      System.out.println("  error: " + root.getMessage());
    }
  }

  static void show(ResultSet rs) throws Exception {
    try (rs) {
      ResultSetMetaData m = rs.getMetaData();
      StringBuilder head = new StringBuilder("  ");
      for (int i = 1; i <= m.getColumnCount(); i++) {
        head.append(i > 1 ? " | " : "").append(m.getColumnName(i)).append(" ").append(m.getColumnTypeName(i));
      }
      System.out.println(head);
      while (rs.next()) {
        StringBuilder row = new StringBuilder("  ");
        for (int i = 1; i <= m.getColumnCount(); i++) {
          row.append(i > 1 ? " | " : "").append(text(rs.getObject(i)));
        }
        System.out.println(row);
      }
    }
  }

  static String text(Object o) {
    if (o == null) {
      return "NULL";
    }
    if (o instanceof byte[]) {
      return Arrays.toString((byte[]) o);
    }
    if (o instanceof Map) {
      return new TreeMap<Object, Object>((Map<?, ?>) o).toString();
    }
    return o.getClass().getSimpleName() + " " + o;
  }
}
