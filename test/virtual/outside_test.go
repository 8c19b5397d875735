//go:build integration

package virtual

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// What the job reads: so many splits, of so many rows each, of which a clump is there every now and then.
const (
	splits     = 4
	splitRows  = 1000
	manyRows   = 100 * splitRows
	clump      = 5
	clumpEvery = 100 * time.Millisecond
	// keys is how many there are. Event time goes on by rowEvery a row, back by disorderMax at most; windowMS is how long a window is.
	keys          = 17
	rowEveryMS    = 15
	disorderMaxMS = 300
	windowMS      = 1000
)

// row is what is read.
type row struct {
	k  string
	n  int64 // no two rows have the same
	at int64
}

// rowOf is a function of its arguments alone.
func rowOf(seed uint64, split, i int64) row {
	n := split*manyRows + i
	x := rand.New(rand.NewPCG(seed, uint64(n)))
	return row{k: "k" + strconv.Itoa(x.IntN(keys)), n: n, at: max(i*rowEveryMS-x.Int64N(disorderMaxMS), 0)}
}

// count is what is known of a group.
type count struct{ C, S int64 }

// window names one.
type window struct {
	At int64
	K  string
}

// model is what the job has to come to.
type model struct {
	windows map[window]count
	totals  map[string]count
}

func modelOf(seed uint64, rows int64) model {
	m := model{windows: map[window]count{}, totals: map[string]count{}}
	for s := range int64(splits) {
		for i := range rows {
			r := rowOf(seed, s, i)
			w := window{r.at / windowMS * windowMS, r.k}
			m.windows[w] = count{m.windows[w].C + 1, m.windows[w].S + r.n}
			m.totals[r.k] = count{m.totals[r.k].C + 1, m.totals[r.k].S + r.n}
		}
	}
	return m
}

// outside are the systems that the job reads and writes. They do not fail; the processes that talk to them do.
type outside struct {
	seed  uint64
	began time.Time
	bug   bug
	model model
	// rows are those of a split.
	rows int64
	mu   struct {
		sync.Mutex
		// committed are the transactions that there were.
		committed map[string]bool
		windows   map[window]count
		totals    map[string]count
		entries   map[int64]bool
		// polled is when a source was asked for rows last, failing what it says then, nil for nothing.
		polled  time.Time
		failing error
		// wrong is what must not be, the first few of it.
		wrong []string
	}
}

// wrongMax is how much of what is wrong is told.
const wrongMax = 10

func newOutside(seed uint64, rows int64, b bug) *outside {
	o := &outside{seed: seed, began: time.Now(), bug: b, model: modelOf(seed, rows), rows: rows}
	o.mu.committed, o.mu.windows, o.mu.totals, o.mu.entries = map[string]bool{}, map[window]count{}, map[string]count{}, map[int64]bool{}
	return o
}

func (o *outside) wrongLocked(format string, args ...any) {
	if len(o.mu.wrong) < wrongMax {
		o.mu.wrong = append(o.mu.wrong, fmt.Sprintf("%s: ", time.Since(o.began))+fmt.Sprintf(format, args...))
	}
}

// connectors are the ways of a process to them.
func (o *outside) connectors(p *process) map[string]*op.Connector {
	return map[string]*op.Connector{
		"feed": {
			Name:    "feed",
			Bounded: func(*graph.TableSpec) bool { return true },
			Splits: func(ctx context.Context, _ *graph.TableSpec, _ int) ([]op.Split, error) {
				var all []op.Split
				for i := range splits {
					all = append(all, op.Split{ID: strconv.Itoa(i)})
				}
				return all, p.reach(ctx)
			},
			NewSource: func(t *graph.TableSpec) (op.Source, error) { return &feed{o: o, p: p, schema: t.Schema}, nil },
		},
		"vault": {
			Name: "vault",
			Modes: func(t *graph.TableSpec) []graph.ChangelogMode {
				if t.Name == "totals" {
					return []graph.ChangelogMode{graph.Upsert}
				}
				return []graph.ChangelogMode{graph.Append}
			},
			NewSink: func(t *graph.TableSpec) (op.Sink, error) { return &vault{o: o, p: p, table: t.Name}, nil },
		},
	}
}

// feed is a source of rows that come by time.
type feed struct {
	o      *outside
	p      *process
	schema *vec.Schema
	ids    []int64
	next   []int64
	turn   int
}

var _ op.Source = (*feed)(nil)

func (s *feed) Open(_ *op.Context, given []op.Split) error {
	for _, sp := range given {
		id, err := strconv.ParseInt(sp.ID, 10, 64)
		if err != nil {
			return err
		}
		var at int64
		if len(sp.Pos) == 8 {
			at = int64(binary.BigEndian.Uint64(sp.Pos))
		}
		s.ids, s.next = append(s.ids, id), append(s.next, at)
	}
	return nil
}

// due is when the next rows of a split are there.
func (s *feed) due(i int) time.Time {
	return s.o.began.Add(time.Duration(s.next[i]/clump+1) * clumpEvery)
}

func (s *feed) Poll(ctx context.Context, b *vec.Batch, wait time.Duration) (op.Polled, error) {
	now := time.Now()
	s.o.mu.Lock()
	s.o.mu.polled = now
	failing := s.o.mu.failing
	s.o.mu.Unlock()
	if err := cmp.Or(failing, s.p.reach(ctx)); err != nil {
		return op.Polled{}, err
	}
	left := 0
	until := now.Add(wait)
	for range s.ids {
		i := s.turn
		s.turn = (s.turn + 1) % len(s.ids)
		if s.next[i] >= s.o.rows {
			continue
		}
		left++
		if due := s.due(i); due.After(now) {
			if due.Before(until) {
				until = due
			}
			continue
		}
		end := min((s.next[i]/clump+1)*clump, s.o.rows)
		for ; s.next[i] < end; s.next[i]++ {
			s.append(b, rowOf(s.o.seed, s.ids[i], s.next[i]))
		}
		return op.Polled{Status: op.More, Split: i, SplitEnded: s.next[i] >= s.o.rows}, nil
	}
	if left == 0 {
		return op.Polled{Status: op.End}, nil
	}
	timer := time.NewTimer(until.Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return op.Polled{Status: op.Idle}, nil
}

func (s *feed) append(b *vec.Batch, r row) {
	for i, f := range s.schema.Fields {
		switch f.Name {
		case "k":
			b.Col(i).AppendString(r.k)
		case "n":
			vec.AppendValue(b.Col(i), r.n)
		case "ts":
			vec.AppendValue(b.Col(i), r.at)
		}
	}
	b.SetRows(b.Rows() + 1)
}

func (s *feed) Snapshot(stream.Epoch) ([]op.Split, error) {
	var all []op.Split
	for i, id := range s.ids {
		at := s.next[i]
		if s.o.bug == bugPosition && at < s.o.rows {
			at = min(at+clump, s.o.rows)
		}
		all = append(all, op.Split{ID: strconv.FormatInt(id, 10), Pos: binary.BigEndian.AppendUint64(nil, uint64(at))})
	}
	return all, nil
}

func (s *feed) Commit(context.Context, stream.Epoch) error { return nil }
func (s *feed) Close() error                               { return nil }

// written is a row as the vault keeps it: the columns of its table in alphabetical order.
type written struct {
	Texts []string
	Nums  []int64
}

// transaction is what a task's sink prepares at a checkpoint.
type transaction struct {
	ID    string
	Table string
	Rows  []written
}

// vault is a sink that keeps rows for good when they are committed.
type vault struct {
	o      *outside
	p      *process
	table  string
	prefix string
	rows   []written
}

var _ op.Sink = (*vault)(nil)

func (s *vault) Open(ctx *op.Context) error {
	s.prefix = fmt.Sprintf("%s/%s/%d/%d", ctx.Task.JobID, ctx.Task.OperatorID, ctx.Task.Index, ctx.Task.Attempt)
	return nil
}

func (s *vault) Write(ctx context.Context, b *vec.Batch) error {
	if err := s.p.reach(ctx); err != nil {
		return err
	}
	add := func(i int) {
		if b.Kind(i) == vec.Delete || b.Kind(i) == vec.UpdateBefore {
			s.o.mu.Lock()
			s.o.wrongLocked("a %v of %s", b.Kind(i), s.table)
			s.o.mu.Unlock()
		}
		var w written
		for _, c := range b.Cols() {
			if c.Kind() == vec.String {
				w.Texts = append(w.Texts, strings.Clone(c.Str(i)))
			} else {
				w.Nums = append(w.Nums, vec.Values[int64](c)[i])
			}
		}
		s.rows = append(s.rows, w)
	}
	if sel := b.Sel(); sel != nil {
		for _, i := range sel {
			add(i)
		}
		return nil
	}
	for i := range b.Rows() {
		add(i)
	}
	return nil
}

func (s *vault) Flush(context.Context) error { return nil }

func (s *vault) Prepare(ctx context.Context, e stream.Epoch) ([]byte, error) {
	if err := s.p.reach(ctx); err != nil {
		return nil, err
	}
	if len(s.rows) == 0 {
		return nil, nil
	}
	t := transaction{ID: fmt.Sprintf("%s/%d", s.prefix, e), Table: s.table, Rows: s.rows}
	s.rows = nil
	if s.o.bug == bugEager {
		s.o.commit(t)
	}
	return json.Marshal(t)
}

func (s *vault) Commit(ctx context.Context, _ stream.Epoch, committable []byte) error {
	if err := s.p.reach(ctx); err != nil {
		return err
	}
	var t transaction
	if err := json.Unmarshal(committable, &t); err != nil {
		return err
	}
	s.o.commit(t)
	// It may die before it knows.
	return s.p.reach(ctx)
}

func (s *vault) Close() error { return nil }

// commit keeps the rows of a transaction, once, and looks at what comes.
func (o *outside) commit(t transaction) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mu.committed[t.ID] && o.bug != bugTwice {
		return
	}
	o.mu.committed[t.ID] = true
	for _, r := range t.Rows {
		o.keepLocked(t, r)
	}
}

func (o *outside) keepLocked(t transaction, r written) {
	switch t.Table {
	case "windows":
		w, c := window{r.Nums[0], r.Texts[0]}, count{r.Nums[1], r.Nums[2]}
		if old, ok := o.mu.windows[w]; ok {
			o.wrongLocked("window %v comes twice: %v, then %v of %s", w, old, c, t.ID)
		} else if want := o.model.windows[w]; c != want {
			o.wrongLocked("window %v is %v, want %v, of %s", w, c, want, t.ID)
		}
		o.mu.windows[w] = c
	case "totals":
		k, c := r.Texts[0], count{r.Nums[0], r.Nums[1]}
		if old := o.mu.totals[k]; c.C < old.C || c.C > o.model.totals[k].C {
			o.wrongLocked("total of %s goes from %v to %v, of %v in the end, by %s", k, old, c, o.model.totals[k], t.ID)
		}
		o.mu.totals[k] = c
	case "entries":
		if n := r.Nums[0]; o.mu.entries[n] {
			o.wrongLocked("row %d comes twice, of %s", n, t.ID)
		} else if n < 0 || n%manyRows >= o.rows || n/manyRows >= splits {
			o.wrongLocked("row %d was made up, of %s", n, t.ID)
		}
		o.mu.entries[r.Nums[0]] = true
	}
}

// whole says whether all is there, and how much.
func (o *outside) whole() (bool, string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	text := fmt.Sprintf("%d of %d rows, %d of %d windows, %d of %d totals", len(o.mu.entries), splits*o.rows, len(o.mu.windows), len(o.model.windows),
		len(o.mu.totals), len(o.model.totals))
	return int64(len(o.mu.entries)) == splits*o.rows && equal(o.mu.windows, o.model.windows) && equal(o.mu.totals, o.model.totals), text
}

func equal[K, V comparable](a, b map[K]V) bool {
	for k, v := range b {
		if a[k] != v {
			return false
		}
	}
	return len(a) == len(b)
}

func (o *outside) wrong() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.mu.wrong)
}

var errGone = errors.New("this process is gone")
