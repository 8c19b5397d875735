package conformance

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/vec"
)

// SourceConfig says how to test a source. Each subtest calls New for a table of its own.
type SourceConfig struct {
	Connector *op.Connector
	// New returns a fresh, empty table with a BIGINT column "n", and what the suite may do to it.
	New func(t *testing.T) SourceTable
	// Replays: a source restored from a position delivers exactly the rest. Without it, at least the rest.
	Replays bool
	// Makes: the source makes its rows itself.
	Makes bool
	// LiveOnly: what is produced before the source is connected is lost.
	LiveOnly bool
	// Duplicates: a cut connection or a restarted server may bring records twice.
	Duplicates bool
	// Acks: what has been read and not acknowledged, the outside system delivers again, also to a source without a position. Acknowledged is what
	// a committed epoch contains.
	Acks bool
	// Lossy: a cut connection or a restarted server may lose records: those subtests only look for reading to go on.
	Lossy bool
}

// SourceTable is a table to read and what stands behind it. Functions that do not apply are nil.
type SourceTable struct {
	Table *graph.TableSpec
	// Produce makes the records of rows n = from to to-1.
	Produce func(from, to int)
	// ProduceBad makes a record that cannot be decoded, with the bytes that it returns.
	ProduceBad func() string
	// Restart kills the server and starts it again with its data. Cut cuts the connections.
	Restart, Cut func()
	// Away is the same table with an address where nobody answers.
	Away *graph.TableSpec
	// Total is how many rows there are when the source makes them.
	Total int
}

// Source runs the suite.
func Source(t *testing.T, cfg SourceConfig) {
	t.Helper()
	s := sourceSuite{cfg}
	t.Run("every record once and in order", s.everyRecord)
	t.Run("restore delivers the rest", s.restore)
	t.Run("idle and cancelled", s.idle)
	t.Run("no splits", s.noSplits)
	t.Run("bad records", s.bad)
	t.Run("server restarted", func(t *testing.T) { s.disturbed(t, func(x SourceTable) func() { return x.Restart }) })
	t.Run("connection cut", func(t *testing.T) { s.disturbed(t, func(x SourceTable) func() { return x.Cut }) })
	t.Run("server away", s.away)
	t.Run("acknowledged by Commit", s.acknowledged)
	t.Run("checkpoints and kills", s.life)
}

type sourceSuite struct{ SourceConfig }

// total is more than a batch and more than a request of any source.
const total = 3000

// ready produces the rows for a source; one that only hears what is live is connected first.
func (s sourceSuite) ready(t *testing.T, x SourceTable, n int) *Reader {
	t.Helper()
	if s.LiveOnly {
		r := Open(t, s.Connector, x.Table, nil)
		r.Connected()
		x.Produce(0, n)
		return r
	}
	if x.Produce != nil {
		x.Produce(0, n)
	}
	return Open(t, s.Connector, x.Table, nil)
}

func (s sourceSuite) rows(x SourceTable) int {
	if s.Makes {
		return x.Total
	}
	return total
}

func (s sourceSuite) everyRecord(t *testing.T) {
	x := s.New(t)
	done := joined(t)
	n := s.rows(x)
	r := s.ready(t, x, n)
	got := r.Rows(n)
	checkOnce(t, got, n, false)
	checkOrder(t, got)
	r.Env.Cancel()
	r.Close()
	done()
}

// checkOnce fails unless the rows are 0 to n-1, once each (or at least once).
func checkOnce(t testing.TB, rows []Row, n int, duplicates bool) {
	t.Helper()
	count := make([]int, n)
	for _, r := range rows {
		if r.N < 0 || r.N >= int64(n) {
			t.Fatalf("row %s was never made", r.Text)
		}
		count[r.N]++
	}
	for i, c := range count {
		if c == 0 || c > 1 && !duplicates {
			t.Fatalf("row %d came %d times (of %d rows)", i, c, n)
		}
	}
}

func checkOrder(t testing.TB, rows []Row) {
	t.Helper()
	last := map[string]int64{}
	for _, r := range rows {
		if prev, ok := last[r.Split]; ok && r.N <= prev {
			t.Fatalf("row %d came after row %d in split %s", r.N, prev, r.Split)
		}
		last[r.Split] = r.N
	}
}

// restore takes snapshots while it reads, and goes on from one in a new source, twice.
func (s sourceSuite) restore(t *testing.T) {
	if s.LiveOnly {
		t.Skip("the server keeps the position")
	}
	x := s.New(t)
	n := s.rows(x)
	r := s.ready(t, x, n)
	var all []Row
	for part := 1; part <= 2; part++ {
		for len(all) < n*part/3 {
			all = append(all, r.Rows(1)...)
		}
		at, err := r.Source.Snapshot(1)
		if err != nil {
			t.Fatalf("Snapshot: %v", err)
		}
		for range 2 { // a repeated Commit is harmless
			if err := r.Source.Commit(t.Context(), 1); err != nil {
				t.Fatalf("Commit: %v", err)
			}
		}
		if _, err := r.Poll(); err != nil { // what is read after the snapshot comes again
			t.Fatalf("Poll: %v", err)
		}
		r.Env.Cancel()
		r.Close()
		r = Open(t, s.Connector, x.Table, at)
	}
	var seen map[int64]bool
	if !s.Replays {
		seen = map[int64]bool{}
	}
	rest, err := r.Until(func(rows []Row) bool {
		if s.Replays {
			return len(all)+len(rows) >= n
		}
		for _, row := range rows {
			seen[row.N] = true
		}
		return len(seen) >= n-len(all)
	})
	if err != nil {
		t.Fatalf("Poll: %v", err)
	}
	all = append(all, rest...)
	checkOnce(t, all, n, !s.Replays)
	r.Close()
}

// idle: an empty source answers within the wait, and at once when its context ends.
func (s sourceSuite) idle(t *testing.T) {
	if s.Makes {
		t.Skip("the source is never without rows")
	}
	x := s.New(t)
	done := joined(t)
	if x.Produce != nil && !s.LiveOnly {
		x.Produce(0, 1)
	}
	r := Open(t, s.Connector, x.Table, nil)
	if s.LiveOnly {
		r.Connected()
	} else {
		r.Rows(1)
	}
	b := vec.NewBatch(x.Table.Schema)
	poll := func(ctx context.Context, wait time.Duration) {
		if p, err := r.Source.Poll(ctx, b, wait); err != nil && !errors.Is(err, op.ErrStopped) && ctx.Err() == nil || p.Status == op.More && b.Rows() > 0 {
			t.Errorf("Poll of an idle source: %+v, %d rows, error %v", p, b.Rows(), err)
		}
	}
	within(t, prompt, "Poll of an idle source", func() { poll(t.Context(), pollWait) })
	ctx, cancel := context.WithCancel(t.Context())
	timer := time.AfterFunc(100*time.Millisecond, cancel)
	defer timer.Stop()
	within(t, prompt, "a cancelled Poll", func() { poll(ctx, time.Hour) })
	r.Env.Cancel()
	r.Close()
	done()
}

func (s sourceSuite) noSplits(t *testing.T) {
	x := s.New(t)
	r := Open(t, s.Connector, x.Table, []op.Split{})
	for range 3 {
		var rows []Row
		var err error
		within(t, prompt, "Poll without splits", func() { rows, err = r.Poll() })
		if err != nil || len(rows) > 0 {
			t.Fatalf("Poll without splits: %d rows, error %v", len(rows), err)
		}
	}
	if at, err := r.Source.Snapshot(1); err != nil || len(at) > 0 {
		t.Errorf("Snapshot without splits: %v, error %v", at, err)
	}
	r.Close()
}

// bad: an undecodable record between good ones is dropped and counted, goes to the dead-letter table, or fails the job.
func (s sourceSuite) bad(t *testing.T) {
	for _, policy := range []string{"drop", "dead-letter", "fail"} {
		t.Run(policy, func(t *testing.T) {
			x := s.New(t)
			if x.ProduceBad == nil {
				t.Skip("the source has no records to decode")
			}
			table := with(x.Table, "bad-records", policy)
			env := NewEnv(t, 0, 1, policy == "dead-letter")
			env.Checkpointing = false
			record := ""
			produce := func() {
				x.Produce(0, 10)
				record = x.ProduceBad()
				x.Produce(10, 20)
			}
			if !s.LiveOnly {
				produce()
			}
			r := open(t, s.Connector, table, nil, env)
			defer r.Close()
			if s.LiveOnly {
				r.Connected()
				produce()
			}
			rows, err := r.Until(func(rows []Row) bool { return len(rows) >= 20 })
			if policy == "fail" {
				if err == nil {
					t.Fatal("the bad record did not fail the job")
				}
				return
			}
			if err != nil {
				t.Fatalf("Poll: %v", err)
			}
			checkOnce(t, rows, 20, false)
			if n := env.Metrics.Bad.Load(); n != 1 {
				t.Errorf("%d records were counted as bad, not 1", n)
			}
			if got := fmt.Sprintf("%q", env.Bad()); policy == "dead-letter" && got != fmt.Sprintf("%q", []string{record}) {
				t.Errorf("the dead-letter table has %s, not %q", got, record)
			}
		})
	}
}

// disturbed reads while the server is restarted or the connection is cut.
func (s sourceSuite) disturbed(t *testing.T, which func(SourceTable) func()) {
	x := s.New(t)
	disturb := which(x)
	if disturb == nil {
		t.Skip("does not apply")
	}
	r := s.ready(t, x, total/2)
	all := r.Rows(total / 4)
	before := r.Env.Failures()
	disturb()
	if s.LiveOnly || s.Lossy {
		more, err := r.Until(func([]Row) bool { return r.Env.Failures() > before && r.Env.Healthy() })
		if err != nil {
			t.Fatalf("Poll: %v", err)
		}
		all = append(all, more...)
	}
	x.Produce(total/2, total)
	seen := map[int64]bool{}
	for _, row := range all {
		seen[row.N] = true
	}
	from := int64(0)
	if s.Lossy {
		from = total / 2
	}
	rest, err := r.Until(func(rows []Row) bool {
		for _, row := range rows[max(len(rows)-2*vec.MaxRows, 0):] {
			seen[row.N] = true
		}
		missing := 0
		for n := from; n < total; n++ {
			if !seen[n] {
				missing++
			}
		}
		return missing == 0
	})
	if err != nil {
		t.Fatalf("Poll: %v", err)
	}
	if !s.Lossy {
		checkOnce(t, append(all, rest...), total, s.Duplicates)
	}
	r.Env.Cancel()
	r.Close()
}

// away: a server that is not there is waited for, and named.
func (s sourceSuite) away(t *testing.T) {
	x := s.New(t)
	if x.Away == nil {
		t.Skip("does not apply")
	}
	done := joined(t)
	r := Open(t, s.Connector, x.Away, nil)
	if _, err := r.Until(func([]Row) bool { return r.Env.Trouble() != nil }); err != nil {
		t.Fatalf("Poll: %v", err)
	}
	r.Env.Cancel()
	r.Close()
	done()
}
