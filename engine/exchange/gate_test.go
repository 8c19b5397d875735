package exchange

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func mark(t int64) stream.Element { return stream.Element{Kind: stream.KindLatency, Time: t} }

func TestQueuedWatermarksMerge(t *testing.T) {
	g := NewGate()
	in := g.AddInput(wideSchema)
	for i := range int64(100) {
		if ok, err := in.TryPut(stream.Element{Kind: stream.KindWatermark, Time: i}); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	if _, e, ok, _ := g.TryRecv(); !ok || e.Time != 99 {
		t.Errorf("%+v", e)
	}
	if _, e, ok, _ := g.TryRecv(); ok {
		t.Errorf("%+v", e)
	}
}

func TestGateTakesTurnsAndLeavesBlockedInputsAlone(t *testing.T) {
	g := NewGate()
	a, b := g.AddInput(wideSchema), g.AddInput(wideSchema)
	for i := range int64(3) {
		for _, in := range []*Input{a, b} {
			if ok, err := in.TryPut(mark(i)); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
	}
	read := func() (s string) {
		for {
			in, e, ok, err := g.TryRecv()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				return s
			}
			s += fmt.Sprintf("%d:%d ", in, e.Time)
			if e.Time == 1 && in == 0 {
				g.Block(0)
			}
		}
	}
	if s := read(); s != "0:0 1:0 0:1 1:1 1:2 " {
		t.Error(s)
	}
	<-g.Ready()
	g.UnblockAll()
	<-g.Ready()
	if s := read(); s != "0:2 " {
		t.Error(s)
	}
}

func TestFullChannelBlocksAndCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate()
		var blocked Stopwatch
		ch := NewLocal(t.Context(), g.AddInput(wideSchema), &blocked, time.Now)
		done := make(chan error)
		go func() {
			for i := range int64(QueueElements + 1) {
				if err := ch.Send(mark(i)); err != nil {
					done <- err
				}
			}
			done <- nil
		}()
		time.Sleep(time.Second)
		synctest.Wait()
		if d := blocked.Total(time.Now()); d != time.Second {
			t.Errorf("blocked for %v so far", d)
		}
		if _, e, _, _ := g.TryRecv(); e.Time != 0 {
			t.Errorf("%+v", e)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if d := blocked.Total(time.Now().Add(time.Hour)); d != time.Second {
			t.Errorf("blocked for %v", d)
		}
	})
}

func TestBlockedSenderWakes(t *testing.T) {
	cause := errors.New("stop it")
	for name, end := range map[string]func(g *Gate, cancel context.CancelCauseFunc) error{
		"cancelled": func(_ *Gate, cancel context.CancelCauseFunc) error { cancel(cause); return cause },
		"closed":    func(g *Gate, _ context.CancelCauseFunc) error { g.Close(); g.Close(); return ErrClosed },
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			g := NewGate()
			ch := NewLocal(ctx, g.AddInput(wideSchema), &Stopwatch{}, time.Now)
			done := make(chan error)
			go func() {
				for {
					if err := ch.Send(mark(1)); err != nil {
						done <- err
						return
					}
				}
			}()
			synctest.Wait()
			want := end(g, cancel)
			if err := <-done; !errors.Is(err, want) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

func TestFailedInputFailsTheReceiver(t *testing.T) {
	g := NewGate()
	in := g.AddInput(wideSchema)
	in.Fail(&PeerError{TaskManager: "tm-7", Err: errors.New("reset")})
	in.Fail(errors.New("later"))
	<-g.Ready()
	if _, _, _, err := g.TryRecv(); err == nil || err.Error() != "connection to taskmanager tm-7 lost: reset" {
		t.Error(err)
	}
}

// spread sends random batches through a writer and returns what each target got, in order.
func spread(t *testing.T, p graph.Partition, targets int, batches []*vec.Batch, keys ...int) [][]string {
	t.Helper()
	gates := make([]*Gate, targets)
	var chans []Channel
	got := make([][]string, targets)
	for i := range gates {
		gates[i] = NewGate()
		chans = append(chans, &collect{Local: NewLocal(t.Context(), gates[i].AddInput(wideSchema), &Stopwatch{}, time.Now), got: &got[i]})
	}
	w, err := NewWriter(WriterConfig{Partition: p, Keys: keys, MaxParallelism: 128, Channels: chans, Stats: &Stats{}})
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range batches {
		if err := w.Emit(b); err != nil {
			t.Fatal(err)
		}
		if i == len(batches)/2 {
			if err := w.Watermark(7); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.End(); err != nil || w.Held() {
		t.Fatal(err, w.Held())
	}
	return got
}

// collect notes what is sent.
type collect struct {
	*Local
	got *[]string
}

func (c *collect) Send(e stream.Element) error {
	switch e.Kind {
	case stream.KindBatch:
		if e.Batch.Rows() > vec.MaxRows || e.Batch.Sel() != nil {
			return fmt.Errorf("a batch of %d rows", e.Batch.Rows())
		}
		*c.got = append(*c.got, texts(e.Batch)...)
		c.in.Recycle(e.Batch)
	case stream.KindWatermark:
		*c.got = append(*c.got, "watermark")
	case stream.KindIdle, stream.KindBarrier, stream.KindEnd, stream.KindLatency:
	}
	return nil
}

func TestWriterPartitions(t *testing.T) {
	rng := newRand(t)
	var batches []*vec.Batch
	var all []string
	d1, d2 := newTestDict(), newTestDict()
	for i := range 30 {
		b := vec.NewBatch(wideSchema)
		fill(b, rng.IntN(vec.MaxRows), rng, i%2 == 0, []*testDict{d1, d1, d2, nil}[i%4])
		if i%3 == 0 {
			sel := []int{}
			for r := range b.Rows() {
				if rng.IntN(3) > 0 {
					sel = append(sel, r)
				}
			}
			b.SetSel(sel)
		}
		batches = append(batches, b)
		all = append(all, texts(b)...)
	}
	slices.Sort(all)
	rows := func(got []string) []string {
		r := slices.DeleteFunc(slices.Clone(got), func(s string) bool { return s == "watermark" })
		if len(r) != len(got)-1 {
			t.Error("each target gets the watermark once")
		}
		slices.Sort(r)
		return r
	}
	// A dictionary-encoded key goes where the same strings go.
	var plain []*vec.Batch
	for _, b := range batches {
		c := b.Clone()
		c.Col(8).Plain()
		plain = append(plain, c)
	}
	for i, g := range spread(t, graph.Hash, 5, batches, 8) {
		if !slices.Equal(rows(g), rows(spread(t, graph.Hash, 5, plain, 8)[i])) {
			t.Errorf("task %d gets other rows by dictionary", i)
		}
	}
	for _, targets := range []int{1, 3} {
		for _, p := range []graph.Partition{graph.Hash, graph.Rebalance} {
			var union []string
			for _, g := range spread(t, p, targets, batches, 3, 8) {
				union = append(union, rows(g)...)
			}
			if slices.Sort(union); !slices.Equal(union, all) {
				t.Errorf("%s to %d: %d rows of %d", p, targets, len(union), len(all))
			}
		}
		for i, g := range spread(t, graph.Broadcast, targets, batches) {
			if !slices.Equal(rows(g), all) {
				t.Errorf("broadcast to %d: target %d differs", targets, i)
			}
		}
	}
	if g := spread(t, graph.Forward, 1, batches); !slices.Equal(rows(g[0]), all) {
		t.Error("forward differs")
	}
}

func TestWriterRefusesWhatDoesNotFit(t *testing.T) {
	ch := NewLocal(t.Context(), NewGate().AddInput(wideSchema), &Stopwatch{}, time.Now)
	for _, c := range []WriterConfig{
		{Partition: graph.Forward, Channels: []Channel{ch, ch}},
		{Partition: graph.Hash, Channels: []Channel{ch, ch}, Keys: []int{0}, MaxParallelism: 1},
		{Partition: graph.Rebalance},
		{Partition: "sideways", Channels: []Channel{ch}},
	} {
		if _, err := NewWriter(c); err == nil {
			t.Errorf("%+v", c)
		}
	}
}
