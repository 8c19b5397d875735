// Package optest is the harness that every operator runs in: it feeds rows, watermarks, timers and barriers from a compact script, in every
// combination of batch size, selection, encoding, memory budget, parallelism and restore, and compares what comes out. It holds no operator.
package optest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// Compare says how output is compared with what is wanted.
type Compare uint8

// The comparisons.
const (
	// Segments compares rows as multisets between watermarks and idleness, which must agree in sequence.
	Segments Compare = iota
	// Sequence compares everything in sequence.
	Sequence
	// Rows compares only rows, as one multiset.
	Rows
)

// Case is an operator with a script and what must come out of it.
type Case struct {
	Name string
	// New makes a fresh operator.
	New func() (op.Operator, error)
	In  *vec.Schema
	// Out, when set, is checked against every batch emitted.
	Out *vec.Schema
	// Script is the input (see Parse); Events, when set, replaces it.
	Script string
	Events []Event
	// Want is the output: rows (see AppendRow), "wm T", "idle", "active", one a line.
	Want string
	// Side is what goes to side outputs: "late: row" lines, as a multiset. It is compared only when SideTags is set.
	Side     string
	SideTags []string
	Late     int64
	Bad      int64
	Compare  Compare
	// Keys are the columns that partition the rows over tasks; without them there is one task.
	Keys []int
	// Configs are the ways to run it; nil means Configs().
	Configs  []Config
	Location *time.Location
	// Splits is how many splits the source has; 0 means 1, -1 none.
	Splits int
	// ClockFloor is as in op.Context.
	ClockFloor stream.Time
	// Start is the clock at the beginning.
	Start stream.Time
}

// Result is what a run came to.
type Result struct {
	// Log is rows, watermarks and idleness of all tasks; watermarks those of the first task.
	Log  []string
	Side []string
	Late int64
	Bad  int64
}

// RowsOf returns the rows of the log, sorted.
func (r Result) RowsOf() []string {
	var rows []string
	for _, l := range r.Log {
		if !isControl(l) {
			rows = append(rows, l)
		}
	}
	slices.Sort(rows)
	return rows
}

func isControl(l string) bool { return strings.HasPrefix(l, "wm ") || l == "idle" || l == "active" }

// Run runs the case in every config.
func Run(t *testing.T, c Case) {
	t.Helper()
	configs := c.Configs
	if configs == nil {
		configs = Configs()
	}
	for _, cfg := range configs {
		res, err := Execute(t, c, cfg)
		if err != nil {
			t.Fatalf("%s [%s]: %v", c.Name, cfg, err)
		}
		if diff := c.compare(res); diff != "" {
			t.Fatalf("%s [%s]: %s", c.Name, cfg, diff)
		}
	}
}

// compare returns what is wrong with the result, "" for nothing.
func (c Case) compare(res Result) string {
	want := lines(c.Want)
	got := slices.Clone(res.Log)
	switch c.Compare {
	case Segments:
		sortSegments(want)
		sortSegments(got)
	case Rows:
		got = res.RowsOf()
		slices.Sort(want)
	case Sequence:
	}
	if !slices.Equal(want, got) {
		return fmt.Sprintf("output\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	if c.SideTags != nil {
		side, wantSide := slices.Sorted(slices.Values(res.Side)), slices.Sorted(slices.Values(lines(c.Side)))
		if !slices.Equal(side, wantSide) {
			return fmt.Sprintf("side output\n  %s\nwant\n  %s", strings.Join(side, "\n  "), strings.Join(wantSide, "\n  "))
		}
	}
	if res.Late != c.Late || res.Bad != c.Bad {
		return fmt.Sprintf("late %d, bad %d; want %d, %d", res.Late, res.Bad, c.Late, c.Bad)
	}
	return ""
}

func lines(text string) []string {
	var out []string
	for l := range strings.SplitSeq(text, "\n") {
		if l = strings.TrimSpace(l); l != "" && !strings.HasPrefix(l, "#") {
			out = append(out, l)
		}
	}
	return out
}

// sortSegments sorts the rows between control lines.
func sortSegments(log []string) {
	from := 0
	for i := range log {
		if isControl(log[i]) {
			slices.Sort(log[from:i])
			from = i + 1
		}
	}
	slices.Sort(log[from:])
}

// Errorer is the part of testing.TB and rapid.T that the harness needs.
type Errorer interface {
	Helper()
	Errorf(format string, args ...any)
}

// Execute runs the case once and returns what came out. A breach of an operator's contract is reported to t.
func Execute(t Errorer, c Case, cfg Config) (Result, error) {
	t.Helper()
	r := &runner{t: t, c: c, cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 1)), clock: FakeClock{c.Start}}
	splits := max(c.Splits, 0)
	if c.Splits == 0 {
		splits = 1
	}
	r.source = op.SourceInfo{Splits: splits, Ended: make([]bool, splits)}
	r.buf = vec.NewBatch(c.In)
	return r.execute()
}

// runner is one run of a case.
type runner struct {
	t      Errorer
	c      Case
	cfg    Config
	rng    *rand.Rand
	clock  FakeClock
	source op.SourceInfo
	tasks  []*task
	buf    *vec.Batch
	epoch  stream.Epoch
	sides  map[string]*output
	wm     stream.Time
	late   int64
	bad    int64
	log    []string
	ended  bool
}

func (r *runner) failf(format string, args ...any) {
	r.t.Helper()
	r.t.Errorf("%s [%s]: "+format, append([]any{r.c.Name, r.cfg}, args...)...)
}

// side returns the output of a tag that the case wants.
func (r *runner) side(tag string) op.Output {
	if !slices.Contains(r.c.SideTags, tag) {
		return nil
	}
	if r.sides == nil {
		r.sides = map[string]*output{}
	}
	if r.sides[tag] == nil {
		r.sides[tag] = &output{run: r, tag: tag, wm: stream.MinTime}
	}
	return r.sides[tag]
}

func (r *runner) execute() (Result, error) {
	n := max(r.cfg.Tasks, 1)
	if len(r.c.Keys) == 0 {
		n = 1
	}
	for i := range n {
		t, err := r.newTask(i, n, nil, &output{run: r, wm: stream.MinTime})
		if err != nil {
			return Result{}, err
		}
		r.tasks = append(r.tasks, t)
	}
	r.wm = stream.MinTime
	events := r.c.Events
	if events == nil {
		events = Parse(r.c.Script)
	}
	for _, e := range events {
		if err := r.step(e); err != nil {
			return Result{}, err
		}
	}
	if err := r.feed(); err != nil {
		return Result{}, err
	}
	r.collect()
	for _, t := range r.tasks {
		if err := t.close(); err != nil {
			return Result{}, err
		}
	}
	res := Result{Log: r.log, Late: r.late, Bad: r.bad}
	for tag, o := range r.sides {
		for _, l := range o.log {
			res.Side = append(res.Side, tag+": "+l)
		}
	}
	return res, nil
}

// step does one event.
func (r *runner) step(e Event) error {
	if e.Kind == RowEvent {
		if err := AppendRow(r.buf, e.Row); err != nil {
			return err
		}
		if r.buf.Rows() >= r.cfg.Batch {
			return r.feedAndRestore()
		}
		return nil
	}
	if err := r.feedAndRestore(); err != nil {
		return err
	}
	for _, t := range r.tasks {
		if err := r.control(t, e); err != nil {
			return err
		}
	}
	r.collect()
	switch {
	case e.Kind == WatermarkEvent:
		r.wm = e.Time
	case e.Kind == EndEvent:
		r.ended = true
	}
	if e.Kind == BarrierEvent && r.cfg.Restore != NoRestore || r.cfg.Restore == Always {
		return r.restore()
	}
	return nil
}

func (r *runner) control(t *task, e Event) error {
	switch e.Kind {
	case RowEvent:
	case WatermarkEvent:
		return t.watermark(e.Time)
	case IdleEvent, ActiveEvent:
		if h, ok := t.op.(op.IdleHandler); ok {
			return h.OnIdle(e.Kind == IdleEvent, t.out)
		}
	case ClockEvent:
		if err := t.fire(e.Time); err != nil {
			return err
		}
		r.setClock(e.Time)
	case BarrierEvent, FlushEvent:
		return t.flush()
	case SplitEvent:
		r.source.Split = e.Split
	case EndSplitEvent:
		r.source.Ended[e.Split] = true
		return t.fire(r.clock.MS)
	case EndEvent:
		return t.end()
	}
	return nil
}

func (r *runner) feedAndRestore() error {
	had := r.buf.Rows() > 0
	if err := r.feed(); err != nil {
		return err
	}
	if had && r.cfg.Restore == Always {
		return r.restore()
	}
	return nil
}

// feed hands the buffered rows to the tasks that own their keys.
func (r *runner) feed() error {
	b := r.buf
	r.buf = vec.NewBatch(r.c.In)
	if b.Rows() == 0 {
		return nil
	}
	parts := make([]*vec.Batch, len(r.tasks))
	if len(r.tasks) == 1 {
		parts[0] = b
	} else {
		r.partition(b, parts)
	}
	for i, p := range parts {
		if p == nil {
			continue
		}
		if err := r.tasks[i].process(r.cfg.dress(p, r.rng)); err != nil {
			return err
		}
	}
	r.collect()
	return nil
}

func (r *runner) partition(b *vec.Batch, parts []*vec.Batch) {
	var keys []*vec.Col
	for _, k := range r.c.Keys {
		keys = append(keys, b.Col(k))
	}
	hashes := make([]uint64, b.Rows())
	vec.Hash(keys, nil, hashes)
	for i, h := range hashes {
		g := stream.KeyGroupOf(h, stream.DefaultMaxParallelism)
		to := stream.TaskOf(g, stream.DefaultMaxParallelism, len(parts))
		if parts[to] == nil {
			parts[to] = vec.NewBatch(b.Schema())
		}
		parts[to].AppendRows(b, []int{i})
	}
}

// collect moves what the tasks emitted to the log: rows of all, then the control lines of the first, in which all must agree.
func (r *runner) collect() {
	if len(r.tasks) == 1 {
		r.log = append(r.log, r.tasks[0].out.log...)
		r.tasks[0].out.log = nil
		return
	}
	var first []string
	for i, t := range r.tasks {
		var ctl []string
		for _, l := range t.out.log {
			if isControl(l) {
				ctl = append(ctl, l)
			} else {
				r.log = append(r.log, l)
			}
		}
		t.out.log = nil
		if i == 0 {
			first = ctl
		} else if !slices.Equal(first, ctl) {
			r.failf("tasks disagree about control: %v and %v", first, ctl)
		}
	}
	r.log = append(r.log, first...)
}

// part is a task's own snapshot.
type part struct {
	keys stream.KeyRange
	data []byte
}

// restore replaces the tasks by ones made from a snapshot.
func (r *runner) restore() error {
	if r.ended {
		return nil
	}
	r.epoch++
	parts, all, err := r.snapshot()
	if err != nil {
		return err
	}
	r.collect()
	n, former := len(r.tasks), r.tasks
	for _, t := range former {
		if err := t.close(); err != nil {
			return fmt.Errorf("close: %w", err)
		}
	}
	if r.cfg.Rescale && len(r.c.Keys) > 0 {
		n = 1 + n%3
	}
	r.tasks = nil
	for i := range n {
		t, err := r.reopen(i, n, parts, all, former[0].out)
		if err != nil {
			return err
		}
		r.tasks = append(r.tasks, t)
	}
	return nil
}

// snapshot returns the tasks' own snapshots and the content of all stores.
func (r *runner) snapshot() (parts []part, all []entry, err error) {
	for _, t := range r.tasks {
		if err := t.flush(); err != nil {
			return nil, nil, err
		}
		if s, ok := t.op.(op.Snapshotter); ok {
			data, err := s.Snapshot(r.epoch)
			if err != nil {
				return nil, nil, fmt.Errorf("snapshot: %w", err)
			}
			parts = append(parts, part{t.keys, slices.Clone(data)})
		}
		content, err := t.content()
		if err != nil {
			return nil, nil, err
		}
		all = append(all, content...)
	}
	return parts, all, nil
}

// reopen makes task i of n from what lies in its key range. Its output goes on where a former one was.
func (r *runner) reopen(i, n int, parts []part, all []entry, former *output) (*task, error) {
	keys := stream.RangeOf(i, stream.DefaultMaxParallelism, n)
	var mine []entry
	for _, e := range all {
		if keys.Contains(stream.KeyGroup(binary.BigEndian.Uint16(e.key))) {
			mine = append(mine, e)
		}
	}
	t, err := r.newTask(i, n, mine, &output{run: r, wm: former.wm, idle: former.idle})
	if err != nil {
		return nil, fmt.Errorf("reopen: %w", err)
	}
	s, ok := t.op.(op.Snapshotter)
	if !ok {
		return t, nil
	}
	var data [][]byte
	for _, p := range parts {
		if p.keys.First < keys.Limit && keys.First < p.keys.Limit {
			data = append(data, p.data)
		}
	}
	if err := s.Restore(data); err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	return t, nil
}

// newStore makes a store of the kind that the config asks for.
func (r *runner) newStore(merge state.MergeFunc) (state.Store, error) {
	return openStore(r.cfg.Pebble, merge)
}
