package remote

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"github.com/bramble-stream/bramble/engine/exchange"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
	bramblev1 "github.com/bramble-stream/bramble/proto/bramble/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var schema = vec.NewSchema(vec.Field{Name: "k", Type: vec.TypeInt64}, vec.Field{Name: "s", Type: vec.TypeString})

var key = Key{JobID: "job", Attempt: 2, ChannelID: exchange.ChannelID{Edge: 1, From: 0, To: 3}}

// pair is a server and a client in memory.
type pair struct {
	server *Server
	grpc   *grpc.Server
	client *Client
}

func newPair(t *testing.T, o Options) *pair {
	t.Helper()
	lis := bufconn.Listen(1 << 16)
	g := grpc.NewServer(ServerOptions(o)...)
	p := &pair{server: NewServer(g, o), grpc: g}
	served := make(chan error, 1)
	go func() { served <- g.Serve(lis) }()
	c, err := dial("passthrough:///peer", "tm-1", "tm-2", o,
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	p.client = c
	t.Cleanup(func() {
		_ = c.Close()
		g.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return p
}

// open registers an input of a new gate and opens a channel to it.
func (p *pair) open(ctx context.Context, t *testing.T) (*exchange.Gate, *Channel) {
	t.Helper()
	gate := exchange.NewGate()
	if err := p.server.Register(key, gate.AddInput(schema)); err != nil {
		t.Fatal(err)
	}
	ch, err := p.client.Open(ctx, key, schema, &exchange.Stopwatch{}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return gate, ch
}

func fill(b *vec.Batch, from, n int) {
	for i := range n {
		vec.AppendValue(b.Col(0), int64(from+i))
		b.Col(1).AppendString("sensor-" + string(rune('a'+i%26)))
	}
	b.SetRows(n)
}

// next waits for the next element of the gate.
func next(t *testing.T, g *exchange.Gate) (stream.Element, error) {
	t.Helper()
	for {
		_, e, ok, err := g.TryRecv()
		if ok || err != nil {
			return e, err
		}
		select {
		case <-g.Ready():
		case <-time.After(20 * time.Second):
			t.Fatal("nothing comes")
		}
	}
}

func TestElementsArriveInOrder(t *testing.T) {
	p := newPair(t, Options{})
	gate, ch := p.open(t.Context(), t)
	w, err := exchange.NewWriter(exchange.WriterConfig{
		Partition: graph.Forward, Channels: []exchange.Channel{ch}, Stats: &exchange.Stats{},
	})
	if err != nil {
		t.Fatal(err)
	}
	const batches = 200
	sent := make(chan error, 1)
	go func() {
		b := vec.NewBatch(schema)
		for i := range batches {
			b.Reset()
			fill(b, i*100, 100)
			if err := w.Emit(b); err != nil {
				sent <- err
				return
			}
			if i%10 == 0 {
				if err := w.Watermark(int64(i)); err != nil {
					sent <- err
					return
				}
			}
		}
		if err := errors.Join(w.Barrier(stream.Barrier{Epoch: 4}), w.Idle(), w.End()); err != nil {
			sent <- err
			return
		}
		sent <- w.Close()
	}()
	var rows, marks int64
	var kinds []stream.Kind
	for {
		e, err := next(t, gate)
		if err != nil {
			t.Fatal(err)
		}
		switch e.Kind {
		case stream.KindBatch:
			for _, k := range vec.Values[int64](e.Batch.Col(0)) {
				if k != rows {
					t.Fatalf("row %d instead of %d", k, rows)
				}
				rows++
			}
			gate.Release(0, e.Batch)
		case stream.KindWatermark:
			if rows != e.Time*100+100 {
				t.Fatalf("watermark %d after %d rows", e.Time, rows)
			}
			marks++
		case stream.KindIdle, stream.KindBarrier, stream.KindEnd, stream.KindLatency:
			kinds = append(kinds, e.Kind)
		}
		if e.Kind == stream.KindEnd {
			break
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if rows != batches*100 || marks != batches/10 || !slices.Equal(kinds, []stream.Kind{stream.KindBarrier, stream.KindIdle, stream.KindEnd}) {
		t.Fatalf("%d rows, %d watermarks, %v", rows, marks, kinds)
	}
}

func TestEarlyChannelWaitsForItsTask(t *testing.T) {
	p := newPair(t, Options{})
	opened := make(chan error, 1)
	go func() {
		ch, err := p.client.Open(t.Context(), key, schema, &exchange.Stopwatch{}, time.Now)
		if err == nil {
			err = ch.Close()
		}
		opened <- err
	}()
	for { // until the server has heard of it
		p.server.mu.Lock()
		n := len(p.server.mu.inputs)
		p.server.mu.Unlock()
		if n == 1 {
			break
		}
		select {
		case err := <-opened:
			t.Fatalf("opened without a task: %v", err)
		default:
		}
	}
	gate := exchange.NewGate()
	if err := p.server.Register(key, gate.AddInput(schema)); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
	if _, err := next(t, gate); err == nil || !strings.Contains(err.Error(), "taskmanager tm-1 lost") {
		t.Fatalf("a sender that leaves early: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	p := newPair(t, Options{RegistrationTimeout: 20 * time.Millisecond})
	open := func(key Key, s *vec.Schema) error {
		ch, err := p.client.Open(t.Context(), key, s, &exchange.Stopwatch{}, time.Now)
		if err == nil {
			t.Cleanup(func() { _ = ch.Close() })
		}
		return err
	}
	expect := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want …%s…", err, want)
		}
	}
	expect(open(key, schema), "taskmanager tm-2 refuses the channel edge 1, task 0 to task 3 of job job: the receiving task has not been deployed")
	gate := exchange.NewGate()
	in := gate.AddInput(schema)
	if err := p.server.Register(key, in); err != nil {
		t.Fatal(err)
	}
	expect(p.server.Register(key, in), "registered already")
	if err := open(key, schema); err != nil {
		t.Fatal(err)
	}
	expect(open(key, schema), "open already")
	other := key
	other.To = 4
	if err := p.server.Register(other, gate.AddInput(schema)); err != nil {
		t.Fatal(err)
	}
	expect(open(other, vec.NewSchema()), "schema is not (k BIGINT, s STRING)")
	p.server.Drop("job", 2)
	expect(open(key, schema), "attempt 2 of the job is over")
	expect(p.server.Register(key, in), "is over")
	key3 := key
	key3.Attempt = 3
	if err := p.server.Register(key3, in); err != nil {
		t.Error(err)
	}
}

func TestSlowReceiverHoldsTheSender(t *testing.T) {
	p := newPair(t, Options{})
	ctx, cancel := context.WithCancelCause(t.Context())
	gate, ch := p.open(ctx, t)
	var sentBytes atomic.Int64
	stopped := make(chan error, 1)
	go func() {
		for {
			b := ch.NewBatch()
			fill(b, 0, 1000)
			n := exchange.DataBytes(b)
			if err := ch.Send(stream.Element{Kind: stream.KindBatch, Batch: b}); err != nil {
				_ = ch.Close()
				stopped <- err
				return
			}
			sentBytes.Add(n)
		}
	}()
	var got, most int64
	for range 500 {
		e, err := next(t, gate)
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, sentBytes.Load()-got)
		got += exchange.DataBytes(e.Batch)
		gate.Release(0, e.Batch)
	}
	t.Logf("at most %d KiB on the way", most>>10)
	if most > 1<<20 {
		t.Errorf("%d bytes were on the way", most)
	}
	// Nobody reads any more: the sender blocks, and is released by its cancellation.
	cause := errors.New("cancelled by the user")
	cancel(cause)
	if err := <-stopped; !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
}

func TestLosses(t *testing.T) {
	send := func(ch *Channel) error {
		for {
			b := ch.NewBatch()
			fill(b, 0, 1000)
			if err := ch.Send(stream.Element{Kind: stream.KindBatch, Batch: b}); err != nil {
				return err
			}
		}
	}
	t.Run("the receiver ends", func(t *testing.T) {
		p := newPair(t, Options{})
		gate, ch := p.open(t.Context(), t)
		gate.Close()
		if err := send(ch); !errors.Is(err, exchange.ErrClosed) {
			t.Error(err)
		}
		_ = ch.Close()
	})
	t.Run("the receiver's process ends", func(t *testing.T) {
		p := newPair(t, Options{})
		_, ch := p.open(t.Context(), t)
		go p.grpc.Stop()
		err := send(ch)
		if _, ok := errors.AsType[*exchange.PeerError](err); !ok || !strings.Contains(err.Error(), "connection to taskmanager tm-2 lost") {
			t.Error(err)
		}
		_ = ch.Close()
	})
	t.Run("the sender's process ends", func(t *testing.T) {
		p := newPair(t, Options{})
		gate, ch := p.open(t.Context(), t)
		_ = p.client.Close()
		_, err := next(t, gate)
		if _, ok := errors.AsType[*exchange.PeerError](err); !ok || !strings.Contains(err.Error(), "connection to taskmanager tm-1 lost") {
			t.Error(err)
		}
		_ = ch.Close()
	})
	t.Run("nobody is there", func(t *testing.T) {
		c, err := dial("passthrough:///peer", "tm-1", "tm-9", Options{ConnectTimeout: 100 * time.Millisecond},
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return nil, errors.New("no route") }))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		_, err = c.Open(t.Context(), key, schema, &exchange.Stopwatch{}, time.Now)
		if err == nil || !strings.Contains(err.Error(), "connection to taskmanager tm-9 lost") || !strings.Contains(err.Error(), "no route") {
			t.Error(err)
		}
	})
}

func TestLargeBatchesAreCut(t *testing.T) {
	p := newPair(t, Options{})
	gate, ch := p.open(t.Context(), t)
	sent := make(chan error, 1)
	go func() {
		b := ch.NewBatch()
		big := strings.Repeat("x", 24<<20)
		for i := range 5 {
			vec.AppendValue(b.Col(0), int64(i))
			b.Col(1).AppendString(big)
		}
		b.SetRows(5)
		err := ch.Send(stream.Element{Kind: stream.KindBatch, Batch: b})
		sent <- errors.Join(err, ch.Send(stream.Element{Kind: stream.KindEnd}), ch.Close())
	}()
	rows := 0
	for {
		e, err := next(t, gate)
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == stream.KindEnd {
			break
		}
		rows += e.Batch.Rows()
	}
	if err := <-sent; err != nil || rows != 5 {
		t.Fatalf("%d rows, %v", rows, err)
	}
	b := vec.NewBatch(schema)
	vec.AppendValue(b.Col(0), int64(1))
	b.Col(1).AppendString(strings.Repeat("x", frameBytesMax+1))
	b.SetRows(1)
	if err := ch.cut(b, frameBytesMax+1); err == nil || !strings.Contains(err.Error(), "a row of 64 MiB") {
		t.Error(err)
	}
}

// TestFramesAreProtobuf decodes what the raw codec makes with a protobuf library, so that the schema tells the truth.
func TestFramesAreProtobuf(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, 70000} {
		buf := append(make([]byte, framePrefixBytes), strings.Repeat("f", n)...)
		putPrefix(buf)
		var m bramblev1.OpenChannelRequest
		if err := proto.Unmarshal(buf, &m); err != nil || len(m.GetFrame()) != n {
			t.Fatalf("%d bytes: %d, %v", n, len(m.GetFrame()), err)
		}
	}
}

func FuzzPieces(f *testing.F) {
	f.Add([]byte{0x92, 0x80, 0, 0x81, 0x80, 0x80, 0x80, 0, 7}, 3)
	f.Add([]byte{0x12, 1, 7}, 1)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		if cut <= 0 || cut > 64 {
			return
		}
		var m inMessage
		for c := range slices.Chunk(data, cut) {
			m.data = append(m.data, mem.SliceBuffer(c))
		}
		pieces, err := m.pieces(nil)
		if err != nil {
			return
		}
		var req bramblev1.OpenChannelRequest
		if err := proto.Unmarshal(data, &req); err != nil || string(slices.Concat(pieces...)) != string(req.GetFrame()) {
			t.Fatalf("%x: %v", data, err)
		}
	})
}

// TestBlockedChannelDoesNotHoldUpOthers: during alignment a channel is not read for as long as another one needs to deliver.
func TestBlockedChannelDoesNotHoldUpOthers(t *testing.T) {
	p := newPair(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	_, stuck := p.open(ctx, t)
	other := key
	other.To++
	gate := exchange.NewGate()
	if err := p.server.Register(other, gate.AddInput(schema)); err != nil {
		t.Fatal(err)
	}
	flowing, err := p.client.Open(ctx, other, schema, &exchange.Stopwatch{}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	send := func(ch *Channel, n int) error {
		for range n {
			b := ch.NewBatch()
			fill(b, 0, 1000)
			if err := ch.Send(stream.Element{Kind: stream.KindBatch, Batch: b}); err != nil {
				return err
			}
		}
		return errors.Join(ch.Send(stream.Element{Kind: stream.KindEnd}), ch.Flush())
	}
	results := make(chan error, 2)
	go func() { results <- send(stuck, 10000) }() // nobody reads this one
	go func() { results <- send(flowing, 2000) }()
	for {
		e, err := next(t, gate)
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == stream.KindEnd {
			break
		}
		gate.Release(0, e.Batch)
	}
	if err := <-results; err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	_, _ = stuck.Close(), flowing.Close()
}
