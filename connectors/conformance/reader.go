package conformance

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/vec"
)

// Row is a row that a source delivered.
type Row struct {
	// Split is the ID of the split that it came from.
	Split string
	// N is the value of the table's BIGINT column "n", if it has one.
	N    int64
	Text string
}

// Reader polls a source and checks what every source has to keep to.
type Reader struct {
	t      testing.TB
	Env    *Env
	Source op.Source
	splits []op.Split
	batch  *vec.Batch
	n      int
	// Ended is set when the source has said so.
	Ended bool
}

// Open makes a source of the table, in a job without checkpoints, and opens it with the splits; nil asks the connector for them.
func Open(t testing.TB, c *op.Connector, table *graph.TableSpec, splits []op.Split) *Reader {
	t.Helper()
	env := NewEnv(t, 0, 1, false)
	env.Checkpointing = false
	return open(t, c, table, splits, env)
}

// OpenCheckpointed is Open in a job with checkpoints.
func OpenCheckpointed(t testing.TB, c *op.Connector, table *graph.TableSpec, splits []op.Split) *Reader {
	t.Helper()
	return open(t, c, table, splits, NewEnv(t, 0, 1, false))
}

func open(t testing.TB, c *op.Connector, table *graph.TableSpec, splits []op.Split, env *Env) *Reader {
	t.Helper()
	if c.Check != nil {
		if err := c.Check(table, false); err != nil {
			t.Fatalf("Check: %v", err)
		}
	}
	if splits == nil {
		var err error
		if splits, err = c.Splits(t.Context(), table, 1); err != nil {
			t.Fatalf("Splits: %v", err)
		}
	}
	s, err := c.NewSource(table)
	if err != nil {
		t.Fatalf("NewSource: %v", err)
	}
	r := &Reader{t: t, Env: env, Source: s, splits: splits, batch: vec.NewBatch(table.Schema), n: table.Schema.Index("n")}
	within(t, prompt, "Open", func() { err = s.Open(env.Context, splits) })
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return r
}

// Poll polls once and returns the rows.
func (r *Reader) Poll() ([]Row, error) {
	r.t.Helper()
	r.batch.Reset()
	p, err := r.Source.Poll(r.Env.Ctx, r.batch, pollWait)
	if err != nil {
		return nil, err
	}
	b := r.batch
	if b.Rows() > vec.MaxRows {
		r.t.Fatalf("a batch has %d rows, more than %d", b.Rows(), vec.MaxRows)
	}
	for i, c := range b.Cols() {
		if c.Len() != b.Rows() {
			r.t.Fatalf("column %s has %d rows, the batch %d", b.Schema().Fields[i].Name, c.Len(), b.Rows())
		}
	}
	if b.Sel() != nil || b.Kinds() != nil {
		r.t.Fatal("a source's batch has a selection or row kinds")
	}
	if p.Status == op.End {
		r.Ended = true
	}
	var out []Row
	for i := range b.Rows() {
		row := Row{Split: r.splits[p.Split].ID, Text: RowText(b, i)}
		if r.n >= 0 {
			row.N = vec.Values[int64](b.Col(r.n))[i]
		}
		out = append(out, row)
	}
	return out, nil
}

// Until polls until done says so of the rows so far, the source ends, or it fails; it gives up after a while.
func (r *Reader) Until(done func(rows []Row) bool) ([]Row, error) {
	r.t.Helper()
	var out []Row
	for deadline := time.Now().Add(patience); !done(out) && !r.Ended; {
		if time.Now().After(deadline) {
			r.t.Fatalf("%d rows came, not what was waited for within %s (trouble: %v)", len(out), patience, r.Env.Trouble())
		}
		rows, err := r.Poll()
		if err != nil {
			return out, err
		}
		out = append(out, rows...)
	}
	return out, nil
}

// Rows polls until n rows have come.
func (r *Reader) Rows(n int) []Row {
	r.t.Helper()
	rows, err := r.Until(func(rows []Row) bool { return len(rows) >= n })
	if err != nil {
		r.t.Fatalf("Poll: %v", err)
	}
	return rows
}

// Connected polls until the outside system is there.
func (r *Reader) Connected() {
	r.t.Helper()
	rows, err := r.Until(func([]Row) bool { return r.Env.Reported() && r.Env.Healthy() })
	if err != nil || len(rows) > 0 {
		r.t.Fatalf("%d rows and error %v before the source was connected", len(rows), err)
	}
}

// Close closes the source; it must not take long.
func (r *Reader) Close() {
	r.t.Helper()
	var err error
	within(r.t, prompt, "Close", func() { err = r.Source.Close() })
	if err != nil && !errors.Is(err, context.Canceled) {
		r.t.Errorf("Close: %v", err)
	}
}

// ReadTable reads want rows of a table and returns them as text: what a sink's rows are read back with.
func ReadTable(t testing.TB, c *op.Connector, table *graph.TableSpec, want int) []string {
	t.Helper()
	env := NewEnv(t, 0, 1, true)
	env.Checkpointing = false
	r := open(t, c, table, nil, env)
	defer r.Close()
	var out []string
	defer func() {
		if bad := r.Env.Bad(); len(bad) > 0 {
			t.Errorf("%d rows could not be read back, such as %s: %s", len(bad), bad[0], r.Env.Reasons()[0])
		}
	}()
	for _, row := range r.Rows(want) {
		out = append(out, row.Text)
	}
	return out
}
