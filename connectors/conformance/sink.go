package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

func numOf(v int64) vec.Num { return decimal128.FromI64(v) }

// SinkConfig says how to test a sink. Each subtest calls New for a table of its own.
type SinkConfig struct {
	Connector *op.Connector
	// New returns a fresh, empty table with the schema Scalars, and what the suite may do to it.
	New func(t *testing.T) SinkTable
	// Upsert: rows replace each other by column n, which is the primary key; +U and -D are taken.
	Upsert bool
	// TwoPhase: rows are visible when they have been committed, not before.
	TwoPhase bool
	// Duplicates: a disturbance may write rows twice.
	Duplicates bool
	// NoBig: the system takes no values of a mebibyte.
	NoBig bool
}

// SinkTable is a table to write and what stands behind it. Functions that do not apply are nil.
type SinkTable struct {
	Table *graph.TableSpec
	// Read returns what is visible, each row as RowText has it. It waits until there are at least want rows, for as long as the test may take
	// at most.
	Read func(want int) []string
	// Restart kills the server and starts it again with its data; Cut cuts the connections; Stop kills it for good.
	Restart, Cut, Stop func()
	// Leftovers lists what waits outside to be committed.
	Leftovers func() []string
}

// Sink runs the suite.
func Sink(t *testing.T, cfg SinkConfig) {
	t.Helper()
	s := sinkSuite{cfg}
	t.Run("all types and NULLs", s.allTypes)
	t.Run("selections", s.selections)
	t.Run("row kinds", s.kinds)
	t.Run("big values", s.big)
	t.Run("commit", s.commit)
	t.Run("aborted epoch", s.aborted)
	t.Run("checkpoints and kills", s.life)
	t.Run("server restarted", func(t *testing.T) { s.disturbed(t, func(x SinkTable) func() { return x.Restart }) })
	t.Run("connection cut", func(t *testing.T) { s.disturbed(t, func(x SinkTable) func() { return x.Cut }) })
	t.Run("cancelled while blocked", s.blocked)
	t.Run("closed", s.closed)
}

type sinkSuite struct{ SinkConfig }

// writer is a sink being tested.
type writer struct {
	t     testing.TB
	env   *Env
	sink  op.Sink
	epoch stream.Epoch
}

func (s sinkSuite) open(t *testing.T, x SinkTable) *writer {
	t.Helper()
	if s.Connector.Check != nil {
		if err := s.Connector.Check(x.Table, true); err != nil {
			t.Fatalf("Check: %v", err)
		}
	}
	sink, err := s.Connector.NewSink(x.Table)
	if err != nil {
		t.Fatalf("NewSink: %v", err)
	}
	w := &writer{t: t, env: NewEnv(t, 0, 1, false), sink: sink}
	within(t, prompt, "Open", func() { err = sink.Open(w.env.Context) })
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return w
}

func (w *writer) write(b *vec.Batch) {
	w.t.Helper()
	if err := w.sink.Write(w.env.Ctx, b); err != nil {
		w.t.Fatalf("Write: %v", err)
	}
}

func (w *writer) prepare() []byte {
	w.t.Helper()
	w.epoch++
	if err := w.sink.Flush(w.env.Ctx); err != nil {
		w.t.Fatalf("Flush: %v", err)
	}
	c, err := w.sink.Prepare(w.env.Ctx, w.epoch)
	if err != nil {
		w.t.Fatalf("Prepare: %v", err)
	}
	return c
}

func (w *writer) commit(c []byte) {
	w.t.Helper()
	if err := w.sink.Commit(w.env.Ctx, w.epoch, c); err != nil {
		w.t.Fatalf("Commit: %v", err)
	}
}

func (w *writer) close() {
	w.t.Helper()
	var err error
	within(w.t, prompt, "Close", func() { err = w.sink.Close() })
	if err != nil {
		w.t.Errorf("Close: %v", err)
	}
}

// batchOf returns rows from to to-1, and their texts.
func batchOf(from, to int64) (*vec.Batch, []string) {
	b := vec.NewBatch(Scalars())
	var want []string
	for n := from; n < to; n++ {
		Fill(b, n)
		want = append(want, RowText(b, b.Rows()-1))
	}
	return b, want
}

// expect compares what is visible with the rows wanted, whatever their order.
func (s sinkSuite) expect(t testing.TB, x SinkTable, want []string, duplicates bool) {
	t.Helper()
	got := x.Read(len(want))
	slices.Sort(got)
	want = slices.Sorted(slices.Values(want))
	if duplicates {
		got = slices.Compact(got)
	}
	if slices.Equal(got, want) {
		return
	}
	for i := range max(len(got), len(want)) {
		if at(got, i) != at(want, i) {
			t.Fatalf("%d rows are visible, %d were wanted; the first that differs (sorted) is\n  %s\nwanted\n  %s", len(got), len(want), at(got, i), at(want, i))
		}
	}
}

func at(rows []string, i int) string {
	if i < len(rows) {
		return rows[i]
	}
	return "(none)"
}

func (s sinkSuite) allTypes(t *testing.T) {
	x := s.New(t)
	w := s.open(t, x)
	var want []string
	for from := int64(0); from < 2500; {
		to := from + []int64{1, 7, 500, vec.MaxRows}[from%4]
		b, rows := batchOf(from, to)
		w.write(b)
		want = append(want, rows...)
		from = to
	}
	w.commit(w.prepare())
	s.expect(t, x, want, false)
	w.close()
}

func (s sinkSuite) selections(t *testing.T) {
	x := s.New(t)
	w := s.open(t, x)
	var want []string
	b, rows := batchOf(0, 300)
	for _, sel := range [][]int{{}, {0}, {7, 8, 299}, {100}} {
		b.SetSel(sel)
		w.write(b)
		for _, i := range sel {
			want = append(want, rows[i])
		}
	}
	w.write(vec.NewBatch(Scalars()))
	w.commit(w.prepare())
	w.commit(w.prepare()) // nothing
	s.expect(t, x, want, false)
	w.close()
}

// kinds: a sink of a changelog keeps the last row of each key.
func (s sinkSuite) kinds(t *testing.T) {
	if !s.Upsert {
		t.Skip("the sink takes inserts only")
	}
	x := s.New(t)
	w := s.open(t, x)
	final := map[int64]string{}
	put := func(kind vec.RowKind, key, value int64) {
		b, _ := batchOf(value, value+1)
		vec.Values[int64](b.Col(0))[0] = key
		b.SetKinds([]vec.RowKind{kind})
		w.write(b)
		switch kind {
		case vec.Insert, vec.UpdateAfter:
			final[key] = RowText(b, 0)
		case vec.Delete:
			delete(final, key)
		case vec.UpdateBefore:
		}
	}
	for key := range int64(20) {
		put(vec.Insert, key, key)
	}
	for key := range int64(15) {
		put(vec.UpdateBefore, key, key)
		put(vec.UpdateAfter, key, key+100)
	}
	for key := range int64(5) {
		put(vec.Delete, key, key+100)
	}
	put(vec.Insert, 3, 200)
	w.commit(w.prepare())
	var want []string
	for _, row := range final {
		want = append(want, row)
	}
	s.expect(t, x, want, false)
	w.close()
}

func (s sinkSuite) big(t *testing.T) {
	if s.NoBig {
		t.Skip("the system takes none")
	}
	x := s.New(t)
	w := s.open(t, x)
	var want []string
	for n := range int64(5) {
		b := vec.NewBatch(Scalars())
		vec.AppendValue(b.Col(0), n)
		for _, c := range b.Cols()[1:] {
			if c.Kind() == vec.String {
				c.AppendString(strings.Repeat(fmt.Sprintf("%d ü ", n), 200_000))
			} else {
				c.AppendNull()
			}
		}
		b.SetRows(1)
		w.write(b)
		want = append(want, RowText(b, 0))
	}
	w.commit(w.prepare())
	s.expect(t, x, want, false)
	w.close()
}

// commit: what was prepared is committed by another task, more than once, after the first has died with more rows written.
func (s sinkSuite) commit(t *testing.T) {
	x := s.New(t)
	w := s.open(t, x)
	b, want := batchOf(0, 500)
	w.write(b)
	c := w.prepare()
	if s.TwoPhase {
		if rows := x.Read(0); len(rows) > 0 {
			t.Fatalf("%d rows are visible before Commit", len(rows))
		}
	}
	after, lost := batchOf(500, 600)
	w.write(after)
	w.env.Cancel()
	w.close()
	second := s.open(t, x)
	second.epoch = w.epoch
	second.commit(c)
	second.commit(c)
	second.write(after)
	d := second.prepare()
	second.commit(d)
	second.commit(d)
	second.commit(c)
	s.expect(t, x, append(want, lost...), !s.TwoPhase)
	second.close()
}

// disturbed writes while the server is restarted or the connection is cut: every row arrives.
func (s sinkSuite) disturbed(t *testing.T, which func(SinkTable) func()) {
	x := s.New(t)
	disturb := which(x)
	if disturb == nil {
		t.Skip("does not apply")
	}
	w := s.open(t, x)
	var want []string
	for part := range int64(6) {
		b, rows := batchOf(part*200, part*200+200)
		w.write(b)
		want = append(want, rows...)
		if part%2 == 1 {
			disturb()
		} else {
			w.commit(w.prepare())
		}
	}
	w.commit(w.prepare())
	s.expect(t, x, want, s.Duplicates)
	w.close()
}

// blocked: with the server gone, writing waits, until the task is cancelled.
func (s sinkSuite) blocked(t *testing.T) {
	x := s.New(t)
	if x.Stop == nil {
		t.Skip("does not apply")
	}
	done := joined(t)
	w := s.open(t, x)
	x.Stop()
	timer := time.AfterFunc(300*time.Millisecond, w.env.Cancel)
	defer timer.Stop()
	b, _ := batchOf(0, vec.MaxRows)
	var err error
	within(t, prompt, "a cancelled Write and Flush", func() {
		for err == nil && w.env.Ctx.Err() == nil {
			if err = w.sink.Write(w.env.Ctx, b); err == nil {
				err = w.sink.Flush(w.env.Ctx)
			}
		}
	})
	if err == nil || !errors.Is(err, op.ErrStopped) && !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v, not op.ErrStopped", err)
	}
	w.close()
	done()
}

// closed: a sink that was opened, written or not, leaves nothing running.
func (s sinkSuite) closed(t *testing.T) {
	x := s.New(t)
	for _, rows := range []int64{0, 10} {
		done := joined(t)
		w := s.open(t, x)
		b, _ := batchOf(0, rows)
		w.write(b)
		w.commit(w.prepare())
		w.env.Cancel()
		w.close()
		done()
	}
}
