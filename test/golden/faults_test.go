package golden

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/task"
	"github.com/bramble-stream/bramble/engine/vec"
)

// faults says what happens to a job that takes checkpoints. Each attempt is killed after its second checkpoint, and the next one goes on from that, until one
// comes to the end.
type faults struct {
	// every is how many batches are between checkpoints.
	every int
	kill  kill
	// restoreAt is the parallelism of every other attempt.
	restoreAt int

	// left is how many batches a source may still hand on before it dies; below 0 for any number.
	left atomic.Int64
}

// kill is when an attempt dies.
type kill string

const (
	never kill = ""
	// atCompletion is when the checkpoint is complete and nobody has been told: what it holds of the sinks is published by the next attempt.
	atCompletion kill = "killed at completion"
	// later is a few batches after that: what they have led to must not come twice.
	later kill = "killed later"
	// bySavepoint is no fault: the job stops with a savepoint.
	bySavepoint kill = "stopped"
)

func (f *faults) String() string {
	if f.kill == never {
		return fmt.Sprintf(",checkpoint every %d", f.every)
	}
	return fmt.Sprintf(",checkpoint every %d,%s,restored at %d", f.every, f.kill, f.restoreAt)
}

var errKilled = errors.New("killed")

// survive runs the job, attempt by attempt.
func (j *job) survive() {
	j.t.Helper()
	f := j.v.faults
	var last *task.LocalSnapshot
	dir := j.t.TempDir()
	for n := range 1000 {
		f.left.Store(-1)
		taken := 0
		c := &task.LocalCheckpoint{EveryBatches: f.every, Dir: dir}
		if f.kill == bySavepoint {
			c.StopAfter = 2
		}
		before := last
		c.OnComplete = func(s *task.LocalSnapshot) error {
			last = s
			if taken++; taken != 2 {
				return nil
			}
			switch f.kill {
			case atCompletion:
				return errKilled
			case later:
				f.left.Store(3)
			case never, bySavepoint:
			}
			return nil
		}
		p := j.v.parallelism
		if n%2 == 1 {
			p = f.restoreAt
		}
		err := j.attempt(p, c, before)
		switch {
		case err != nil && !errors.Is(err, errKilled):
			j.t.Fatalf("%s, attempt %d: %v", j.v, n, err)
		case err == nil && allFinal(last):
			if n == 0 && f.kill != never && f.kill != later {
				j.t.Logf("%s: the job was over before it could be killed", j.v)
			}
			return
		case last == before:
			j.t.Fatalf("%s, attempt %d: no checkpoint", j.v, n)
		}
	}
	j.t.Fatalf("%s: it does not come to an end", j.v)
}

// allFinal says whether the checkpoint holds the end of the job.
func allFinal(s *task.LocalSnapshot) bool {
	for _, f := range s.Tasks {
		if !f.Snapshot.Final {
			return false
		}
	}
	return true
}

// smallBatches hands a source's batches on in pieces. Its positions are those of the source before the batch that it hands on, and how many rows of it have been.
type smallBatches struct {
	op.Source
	max    int
	faults *faults
	held   *vec.Batch
	at     int
	last   op.Polled
	// before are the source's positions before the last poll of a split, skip the rows of it that are done.
	before []op.Split
	skip   map[string]int
	splits []op.Split
}

// position is a split's.
type position struct {
	Pos  []byte
	Skip int
}

func (s *smallBatches) Open(ctx *op.Context, splits []op.Split) error {
	s.skip = map[string]int{}
	for _, sp := range splits {
		if len(sp.Pos) > 0 {
			var p position
			if err := json.Unmarshal(sp.Pos, &p); err != nil {
				return err
			}
			sp.Pos = p.Pos
			if p.Skip > 0 {
				s.skip[sp.ID] = p.Skip
			}
		}
		s.splits = append(s.splits, sp)
	}
	return s.Source.Open(ctx, s.splits)
}

func (s *smallBatches) Poll(ctx context.Context, b *vec.Batch, wait time.Duration) (op.Polled, error) {
	if f := s.faults; f != nil && f.left.Load() >= 0 && f.left.Add(-1) < 0 {
		return op.Polled{}, errKilled
	}
	if s.held == nil {
		s.held = vec.NewBatch(b.Schema())
	}
	for s.at == s.held.Rows() {
		if done, err := s.fill(ctx, wait); done || err != nil {
			return s.last, err
		}
	}
	var sel []int
	for ; s.at < s.held.Rows() && len(sel) < s.max; s.at++ {
		sel = append(sel, s.at)
	}
	b.AppendRows(s.held, sel)
	if s.at == s.held.Rows() {
		return s.last, nil
	}
	return op.Polled{Status: op.More, Split: s.last.Split}, nil
}

// fill polls the source; done says that there is nothing to hand on.
func (s *smallBatches) fill(ctx context.Context, wait time.Duration) (done bool, err error) {
	if s.before, err = s.Source.Snapshot(0); err != nil {
		return true, err
	}
	s.held.Reset()
	s.at = 0
	if s.last, err = s.Source.Poll(ctx, s.held, wait); err != nil || s.held.Rows() == 0 {
		return true, err
	}
	id := s.splits[s.last.Split].ID
	s.at = min(s.skip[id], s.held.Rows())
	s.skip[id] -= s.at
	return s.at == s.held.Rows() && s.last.Status == op.End, nil
}

func (s *smallBatches) Snapshot(epoch stream.Epoch) ([]op.Split, error) {
	at, err := s.Source.Snapshot(epoch)
	if err != nil {
		return nil, err
	}
	for i := range at {
		p := position{at[i].Pos, s.skip[at[i].ID]}
		if s.held != nil && s.at < s.held.Rows() && s.splits[s.last.Split].ID == at[i].ID {
			p = position{s.before[i].Pos, s.at}
		}
		if at[i].Pos, err = json.Marshal(p); err != nil {
			return nil, err
		}
	}
	return at, nil
}
