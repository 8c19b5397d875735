package bramble.peers;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.flink.api.connector.source.Boundedness;
import org.apache.flink.api.connector.source.ReaderOutput;
import org.apache.flink.api.connector.source.Source;
import org.apache.flink.api.connector.source.SourceReader;
import org.apache.flink.api.connector.source.SourceReaderContext;
import org.apache.flink.api.connector.source.SourceSplit;
import org.apache.flink.api.connector.source.SplitEnumerator;
import org.apache.flink.api.connector.source.SplitEnumeratorContext;
import org.apache.flink.core.io.InputStatus;
import org.apache.flink.core.io.SimpleVersionedSerializer;
import org.apache.flink.table.data.RowData;
import org.apache.flink.types.RowKind;

/** A split for each reader: every so many rounds of the sequence, as in connectors/nexmark. */
final class NexmarkSource implements Source<RowData, NexmarkSource.Part, List<NexmarkSource.Part>> {
  private static final long serialVersionUID = 1;

  /** How many events all readers of this process have made. */
  static final AtomicLong MADE = new AtomicLong();

  /** Rounds index, index + of, index + 2 of, …, of which the first done events have been made. */
  static final class Part implements SourceSplit {
    final int index;
    final int of;
    final long done;

    Part(int index, int of, long done) {
      this.index = index;
      this.of = of;
      this.done = done;
    }

    @Override
    public String splitId() {
      return "events-" + index + "-of-" + of;
    }
  }

  private final Generator.Config config;

  NexmarkSource(Generator.Config config) {
    this.config = config;
  }

  @Override
  public Boundedness getBoundedness() {
    return config.events > 0 ? Boundedness.BOUNDED : Boundedness.CONTINUOUS_UNBOUNDED;
  }

  @Override
  public SourceReader<RowData, Part> createReader(SourceReaderContext context) {
    return new Reader(context);
  }

  @Override
  public SplitEnumerator<Part, List<Part>> createEnumerator(SplitEnumeratorContext<Part> context) {
    List<Part> parts = new ArrayList<>();
    for (int i = 0; i < context.currentParallelism(); i++) {
      parts.add(new Part(i, context.currentParallelism(), 0));
    }
    return new Enumerator(context, parts);
  }

  @Override
  public SplitEnumerator<Part, List<Part>> restoreEnumerator(SplitEnumeratorContext<Part> context, List<Part> parts) {
    return new Enumerator(context, parts);
  }

  @Override
  public SimpleVersionedSerializer<Part> getSplitSerializer() {
    return new PartSerializer();
  }

  @Override
  public SimpleVersionedSerializer<List<Part>> getEnumeratorCheckpointSerializer() {
    return new PartsSerializer();
  }

  private final class Reader implements SourceReader<RowData, Part> {
    // Few enough that a barrier does not wait, enough that the loop around does not count.
    private static final int AT_ONCE = 32;

    private final SourceReaderContext context;
    private final CompletableFuture<Void> available = new CompletableFuture<>();
    private EventRow row;
    private Part part;
    private long done;
    private boolean noMore;

    Reader(SourceReaderContext context) {
      this.context = context;
    }

    @Override
    public void start() {
      row = new EventRow(new Generator(config));
    }

    @Override
    public InputStatus pollNext(ReaderOutput<RowData> out) {
      if (part == null) {
        return noMore ? InputStatus.END_OF_INPUT : InputStatus.NOTHING_AVAILABLE;
      }
      long total = config.total();
      int made = 0;
      for (; made < AT_ONCE; made++) {
        long n = (done / total * part.of + part.index) * total + done % total;
        if (config.events > 0 && n >= config.events) {
          MADE.addAndGet(made);
          return InputStatus.END_OF_INPUT;
        }
        row.become(n);
        row.setRowKind(RowKind.INSERT);
        out.collect(row);
        done++;
      }
      MADE.addAndGet(made);
      return InputStatus.MORE_AVAILABLE;
    }

    @Override
    public List<Part> snapshotState(long checkpoint) {
      return part == null ? List.of() : List.of(new Part(part.index, part.of, done));
    }

    @Override
    public CompletableFuture<Void> isAvailable() {
      return available;
    }

    @Override
    public void addSplits(List<Part> parts) {
      if (parts.size() != 1 || part != null) {
        throw new IllegalStateException("reader " + context.getIndexOfSubtask() + " is given " + parts.size() + " splits");
      }
      part = parts.get(0);
      done = part.done;
      available.complete(null);
    }

    @Override
    public void notifyNoMoreSplits() {
      noMore = true;
      available.complete(null);
    }

    @Override
    public void close() {}
  }

  private static final class Enumerator implements SplitEnumerator<Part, List<Part>> {
    private final SplitEnumeratorContext<Part> context;
    private final List<Part> waiting;

    Enumerator(SplitEnumeratorContext<Part> context, List<Part> waiting) {
      this.context = context;
      this.waiting = new ArrayList<>(waiting);
    }

    @Override
    public void start() {}

    @Override
    public void handleSplitRequest(int subtask, String host) {}

    @Override
    public void addSplitsBack(List<Part> parts, int subtask) {
      waiting.addAll(parts);
      if (context.registeredReaders().containsKey(subtask)) {
        addReader(subtask);
      }
    }

    @Override
    public void addReader(int subtask) {
      waiting.removeIf(
          p -> {
            if (p.index != subtask) {
              return false;
            }
            context.assignSplit(p, subtask);
            context.signalNoMoreSplits(subtask);
            return true;
          });
    }

    @Override
    public List<Part> snapshotState(long checkpoint) {
      return new ArrayList<>(waiting);
    }

    @Override
    public void close() {}
  }

  private static void write(DataOutputStream to, Part p) throws IOException {
    to.writeInt(p.index);
    to.writeInt(p.of);
    to.writeLong(p.done);
  }

  private static Part read(DataInputStream from) throws IOException {
    return new Part(from.readInt(), from.readInt(), from.readLong());
  }

  private static final class PartSerializer implements SimpleVersionedSerializer<Part> {
    @Override
    public int getVersion() {
      return 1;
    }

    @Override
    public byte[] serialize(Part p) throws IOException {
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      write(new DataOutputStream(out), p);
      return out.toByteArray();
    }

    @Override
    public Part deserialize(int version, byte[] bytes) throws IOException {
      return read(new DataInputStream(new ByteArrayInputStream(bytes)));
    }
  }

  private static final class PartsSerializer implements SimpleVersionedSerializer<List<Part>> {
    @Override
    public int getVersion() {
      return 1;
    }

    @Override
    public byte[] serialize(List<Part> parts) throws IOException {
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      DataOutputStream data = new DataOutputStream(out);
      data.writeInt(parts.size());
      for (Part p : parts) {
        write(data, p);
      }
      return out.toByteArray();
    }

    @Override
    public List<Part> deserialize(int version, byte[] bytes) throws IOException {
      DataInputStream data = new DataInputStream(new ByteArrayInputStream(bytes));
      List<Part> parts = new ArrayList<>();
      for (int n = data.readInt(); n > 0; n--) {
        parts.add(read(data));
      }
      return parts;
    }
  }
}
