package bramble.peers;

import java.util.Set;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.connector.ChangelogMode;
import org.apache.flink.table.connector.source.DynamicTableSource;
import org.apache.flink.table.connector.source.ScanTableSource;
import org.apache.flink.table.connector.source.SourceProvider;
import org.apache.flink.table.factories.DynamicTableSourceFactory;
import org.apache.flink.table.factories.FactoryUtil;

/** 'connector' = 'nexmark', with the options of Bramble's that the benchmark uses. */
public final class NexmarkFactory implements DynamicTableSourceFactory {
  private static final ConfigOption<Long> EVENTS = ConfigOptions.key("events.num").longType().defaultValue(0L);
  private static final ConfigOption<Long> RATE = ConfigOptions.key("first-event.rate").longType().defaultValue(10_000L);
  private static final ConfigOption<Long> SEED = ConfigOptions.key("seed").longType().defaultValue(0L);

  private static final String SCHEMA =
      "ROW<`event_type` INT, `person` ROW<`id` BIGINT, `name` STRING, `emailAddress` STRING, `creditCard` STRING, `city` STRING, `state` STRING, "
          + "`dateTime` TIMESTAMP(3), `extra` STRING>, `auction` ROW<`id` BIGINT, `itemName` STRING, `description` STRING, `initialBid` BIGINT, "
          + "`reserve` BIGINT, `dateTime` TIMESTAMP(3), `expires` TIMESTAMP(3), `seller` BIGINT, `category` BIGINT, `extra` STRING>, "
          + "`bid` ROW<`auction` BIGINT, `bidder` BIGINT, `price` BIGINT, `channel` STRING, `url` STRING, `dateTime` TIMESTAMP(3), `extra` STRING>>";

  /** 2015-07-15 00:00:00 UTC. */
  private static final long BASE = 1_436_918_400_000L;

  @Override
  public String factoryIdentifier() {
    return "nexmark";
  }

  @Override
  public Set<ConfigOption<?>> requiredOptions() {
    return Set.of();
  }

  @Override
  public Set<ConfigOption<?>> optionalOptions() {
    return Set.of(EVENTS, RATE, SEED);
  }

  @Override
  public DynamicTableSource createDynamicTableSource(Context context) {
    FactoryUtil.TableFactoryHelper helper = FactoryUtil.createTableFactoryHelper(this, context);
    helper.validate();
    ReadableConfig options = helper.getOptions();
    Generator.Config c = new Generator.Config();
    c.events = options.get(EVENTS);
    c.rate = options.get(RATE);
    c.seed = options.get(SEED);
    c.base = BASE;
    String schema = context.getPhysicalRowDataType().getLogicalType().copy(true).asSummaryString();
    if (!schema.equals(SCHEMA)) {
      throw new ValidationException("this nexmark has the table of benchmarks/nexmark/prelude.sql, " + SCHEMA + ", not " + schema);
    }
    return new Table(c);
  }

  private static final class Table implements ScanTableSource {
    private final Generator.Config config;

    Table(Generator.Config config) {
      this.config = config;
    }

    @Override
    public ChangelogMode getChangelogMode() {
      return ChangelogMode.insertOnly();
    }

    @Override
    public ScanRuntimeProvider getScanRuntimeProvider(ScanContext context) {
      return SourceProvider.of(new NexmarkSource(config));
    }

    @Override
    public DynamicTableSource copy() {
      return new Table(config);
    }

    @Override
    public String asSummaryString() {
      return "nexmark";
    }
  }
}
