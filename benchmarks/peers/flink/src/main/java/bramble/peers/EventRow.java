package bramble.peers;

import org.apache.flink.table.data.ArrayData;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.MapData;
import org.apache.flink.table.data.RawValueData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.types.RowKind;
import org.apache.flink.types.variant.Variant;

/**
 * An event whose fields are made when they are read, so that Flink pays for those that a query uses and for no others, as Bramble does. One object stands for all
 * events of a reader, one after the other: Flink runs with object reuse.
 */
final class EventRow implements RowData {
  /** The table: event_type, then a row for each kind, NULL unless the event is of that kind. */
  private static final int ALL = -1;

  private final Generator generator;
  private final int row;
  private final EventRow[] rows;
  private RowKind change = RowKind.INSERT;
  private long n;
  private long seed;
  private int kind;

  EventRow(Generator generator) {
    this(generator, ALL, new EventRow[3]);
    for (int k = 0; k < rows.length; k++) {
      rows[k] = new EventRow(generator, k, null);
    }
  }

  private EventRow(Generator generator, int row, EventRow[] rows) {
    this.generator = generator;
    this.row = row;
    this.rows = rows;
  }

  /** Makes this event n. */
  void become(long number) {
    n = number;
    seed = generator.eventSeed(number);
    kind = generator.kind(number);
    EventRow of = rows[kind];
    of.n = n;
    of.seed = seed;
  }

  @Override
  public int getArity() {
    return row == ALL ? 4 : row == Generator.PERSON ? 8 : row == Generator.AUCTION ? 10 : 7;
  }

  @Override
  public RowKind getRowKind() {
    return change;
  }

  @Override
  public void setRowKind(RowKind to) {
    change = to;
  }

  @Override
  public boolean isNullAt(int field) {
    return row == ALL && field > 0 && field - 1 != kind;
  }

  @Override
  public int getInt(int field) {
    return kind;
  }

  @Override
  public long getLong(int field) {
    switch (row) {
      case Generator.PERSON:
        return generator.personLong(field, n);
      case Generator.AUCTION:
        return generator.auctionLong(field, n, seed);
      default:
        return generator.bidLong(field, n, seed);
    }
  }

  @Override
  public StringData getString(int field) {
    switch (row) {
      case Generator.PERSON:
        return generator.personString(field, seed);
      case Generator.AUCTION:
        return generator.auctionString(field, seed);
      default:
        return generator.bidString(field, seed);
    }
  }

  @Override
  public TimestampData getTimestamp(int field, int precision) {
    return TimestampData.fromEpochMillis(row == Generator.AUCTION ? generator.auctionLong(field, n, seed) : generator.time(n));
  }

  @Override
  public RowData getRow(int field, int fields) {
    return rows[field - 1];
  }

  @Override
  public boolean getBoolean(int field) {
    throw new UnsupportedOperationException();
  }

  @Override
  public byte getByte(int field) {
    throw new UnsupportedOperationException();
  }

  @Override
  public short getShort(int field) {
    throw new UnsupportedOperationException();
  }

  @Override
  public float getFloat(int field) {
    throw new UnsupportedOperationException();
  }

  @Override
  public double getDouble(int field) {
    throw new UnsupportedOperationException();
  }

  @Override
  public DecimalData getDecimal(int field, int precision, int scale) {
    throw new UnsupportedOperationException();
  }

  @Override
  public byte[] getBinary(int field) {
    throw new UnsupportedOperationException();
  }

  @Override
  public ArrayData getArray(int field) {
    throw new UnsupportedOperationException();
  }

  @Override
  public MapData getMap(int field) {
    throw new UnsupportedOperationException();
  }

  @Override
  public Variant getVariant(int field) {
    throw new UnsupportedOperationException();
  }

  @Override
  public <T> RawValueData<T> getRawValue(int field) {
    throw new UnsupportedOperationException();
  }
}
