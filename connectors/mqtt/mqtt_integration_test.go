//go:build integration

package mqtt

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"go.uber.org/goleak"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type wallClock struct{}

func (wallClock) Now() time.Time { return time.Now() }

// health records the last report of a part.
type health struct{ last atomic.Pointer[string] }

func (h *health) report(_ string, err error) {
	s := "ok"
	if err != nil {
		s = err.Error()
	}
	h.last.Store(&s)
}

func (h *health) String() string {
	if p := h.last.Load(); p != nil {
		return *p
	}
	return ""
}

func opContext(t *testing.T) (*op.Context, *health) {
	h := &health{}
	return &op.Context{
		Ctx: t.Context(), Log: slog.New(slog.DiscardHandler), Metrics: &op.Metrics{}, Clock: wallClock{}, Rand: rand.Reader, Health: h.report,
		Task: op.TaskInfo{JobID: "0123456789abcdef", OperatorID: "fedcba9876543210", Parallelism: 1},
	}, h
}

func sensors(url string, options ...string) *graph.TableSpec {
	t := &graph.TableSpec{
		Name: "sensors", Connector: "mqtt", Options: map[string]string{"url": url, "topic": "s/+", "format": "json", "qos": "1"},
		Schema:   vec.NewSchema(vec.Field{Name: "id", Type: vec.TypeString}, vec.Field{Name: "n", Type: vec.TypeInt64}, vec.Field{Name: "topic", Type: vec.TypeString}),
		Metadata: []string{"", "", "topic"},
	}
	for i := 0; i < len(options); i += 2 {
		t.Options[options[i]] = options[i+1]
	}
	return t
}

func publisher(t *testing.T, url string) paho.Client {
	t.Helper()
	c := paho.NewClient(paho.NewClientOptions().AddBroker(url).SetClientID("pub-" + t.Name()).SetConnectRetry(true).SetConnectRetryInterval(50 * time.Millisecond))
	if tok := c.Connect(); !tok.WaitTimeout(10*time.Second) || tok.Error() != nil {
		t.Fatalf("connect publisher: %v", tok.Error())
	}
	t.Cleanup(func() { c.Disconnect(100) })
	return c
}

func publishN(t *testing.T, c paho.Client, qos byte, from, to int) {
	t.Helper()
	if err := send(c, qos, from, to); err != nil {
		t.Fatal(err)
	}
}

// send publishes messages with n = from to to-1.
func send(c paho.Client, qos byte, from, to int) error {
	for n := from; n < to; n++ {
		tok := c.Publish(fmt.Sprintf("s/%d", n%10), qos, false, fmt.Sprintf(`{"id":"x%d","n":%d}`, n%10, n))
		if qos > 0 && !tok.WaitTimeout(30*time.Second) {
			return errors.New("publish timed out")
		}
	}
	return nil
}

// open starts a source and waits until it is subscribed.
func open(t *testing.T, spec *graph.TableSpec) (op.Source, *op.Context, *health) {
	t.Helper()
	s, err := newSource(spec)
	if err != nil {
		t.Fatal(err)
	}
	ctx, h := opContext(t)
	splits, err := splits(t.Context(), spec, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Open(ctx, splits); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, ctx, h
}

// pollUntil polls until done says so, giving it each row's n.
func pollUntil(t *testing.T, s op.Source, spec *graph.TableSpec, done func() bool, row func(n int64, topic string)) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	b := vec.NewBatch(spec.Schema)
	for !done() {
		if ctx.Err() != nil {
			t.Fatal("nothing more arrived within 30s")
		}
		b.Reset()
		if _, err := s.Poll(ctx, b, 20*time.Millisecond); err != nil {
			return err
		}
		if b.Rows() > vec.MaxRows {
			t.Fatalf("a batch has %d rows", b.Rows())
		}
		for i := range b.Rows() {
			row(vec.Values[int64](b.Col(1))[i], b.Col(2).Str(i))
		}
	}
	return nil
}

func connected(h *health) func() bool { return func() bool { return h.String() == "ok" } }

func ignore(int64, string) {}

func TestSourceReadsEveryMessageOnce(t *testing.T) {
	for _, qos := range []byte{0, 1, 2} {
		t.Run(fmt.Sprintf("qos%d", qos), func(t *testing.T) {
			srv := testenv.Mosquitto(t)
			spec := sensors(srv.URL(), "qos", fmt.Sprint(qos))
			s, _, h := open(t, spec)
			if err := pollUntil(t, s, spec, connected(h), ignore); err != nil {
				t.Fatal(err)
			}
			const total = 3000
			pub := publisher(t, srv.URL())
			publishing := make(chan error, 1)
			go func() { publishing <- send(pub, qos, 0, total) }()
			seen := map[int64]int{}
			err := pollUntil(t, s, spec, func() bool { return len(seen) == total }, func(n int64, topic string) {
				seen[n]++
				if want := fmt.Sprintf("s/%d", n%10); topic != want {
					t.Fatalf("message %d has topic %q, want %q", n, topic, want)
				}
			})
			if err := errors.Join(err, <-publishing); err != nil {
				t.Fatal(err)
			}
			for n, c := range seen {
				if c != 1 {
					t.Errorf("message %d came %d times", n, c)
				}
			}
		})
	}
}

func TestSourceWaitsForABrokerAndComesBack(t *testing.T) {
	port := testenv.FreePort(t)
	spec := sensors(fmt.Sprintf("tcp://127.0.0.1:%d", port))
	s, _, h := open(t, spec)
	away := func() bool { return strings.Contains(h.String(), "refused") }
	if err := pollUntil(t, s, spec, away, ignore); err != nil {
		t.Fatal(err)
	}
	srv := testenv.Mosquitto(t, testenv.Port(port))
	if err := pollUntil(t, s, spec, connected(h), ignore); err != nil {
		t.Fatal(err)
	}
	srv.Restart()
	lost := func() bool { return h.String() != "ok" }
	if err := pollUntil(t, s, spec, lost, ignore); err != nil {
		t.Fatal(err)
	}
	if err := pollUntil(t, s, spec, connected(h), ignore); err != nil {
		t.Fatal(err)
	}
	publishN(t, publisher(t, srv.URL()), 1, 0, 10)
	got := 0
	if err := pollUntil(t, s, spec, func() bool { return got == 10 }, func(int64, string) { got++ }); err != nil {
		t.Fatal(err)
	}
}

func TestWrongPasswordFailsSayingSo(t *testing.T) {
	srv := testenv.Mosquitto(t, testenv.Login("ann", "right"))
	spec := sensors(srv.URL(), "username", "ann", "password", "wrong")
	s, _, _ := open(t, spec)
	err := pollUntil(t, s, spec, func() bool { return false }, ignore)
	if err == nil || !strings.Contains(err.Error(), "'username' and 'password'") {
		t.Fatalf("error is %v", err)
	}
	if strings.Contains(err.Error(), "wrong") {
		t.Fatalf("the error shows the password: %v", err)
	}
}

func TestTLS(t *testing.T) {
	srv := testenv.Mosquitto(t, testenv.ClientCert())
	spec := sensors(srv.URL(), "tls.ca-file", srv.CAFile(), "tls.cert-file", srv.ClientCertFile(), "tls.key-file", srv.ClientKeyFile())
	s, _, h := open(t, spec)
	if err := pollUntil(t, s, spec, connected(h), ignore); err != nil {
		t.Fatal(err)
	}
}

func TestTwoClientsWithOneIDAreNamed(t *testing.T) {
	srv := testenv.Mosquitto(t)
	spec := sensors(srv.URL(), "client-id", "twin")
	a, _, _ := open(t, spec)
	b, _, h := open(t, spec)
	named := func() bool { return strings.Contains(h.String(), `client-id "twin"`) }
	err := pollUntil(t, b, spec, func() bool {
		batch := vec.NewBatch(spec.Schema)
		_, err := a.Poll(t.Context(), batch, time.Millisecond)
		return err != nil || named()
	}, ignore)
	if err != nil {
		t.Fatal(err)
	}
}

func TestBadRecordsAreCountedAndLargeOnesRead(t *testing.T) {
	srv := testenv.Mosquitto(t)
	spec := sensors(srv.URL())
	s, ctx, h := open(t, spec)
	if err := pollUntil(t, s, spec, connected(h), ignore); err != nil {
		t.Fatal(err)
	}
	pub := publisher(t, srv.URL())
	big := fmt.Sprintf(`{"id":"big","n":1,"pad":"%s"}`, strings.Repeat("x", 10<<20))
	for _, p := range []string{"no json", "{\"id\":\"\xff\"}", big, `{"n":"NaN"}`, "", `{"id":"last","n":2}`} {
		if tok := pub.Publish("s/1", 1, false, p); !tok.WaitTimeout(10*time.Second) || tok.Error() != nil {
			t.Fatalf("publish: %v", tok.Error())
		}
	}
	var got []int64
	if err := pollUntil(t, s, spec, func() bool { return len(got) == 2 }, func(n int64, _ string) { got = append(got, n) }); err != nil {
		t.Fatal(err)
	}
	if got[0] != 1 || got[1] != 2 || ctx.Metrics.Bad.Load() != 4 {
		t.Fatalf("rows %v, %d bad; want 1 2 and 4 bad", got, ctx.Metrics.Bad.Load())
	}
}

func TestSinkPublishesEachRowOverARestart(t *testing.T) {
	srv := testenv.Mosquitto(t, testenv.Persistent())
	in := sensors(srv.URL(), "client-id", "reader", "clean-session", "false", "topic", "out/#")
	src, _, h := open(t, in)
	if err := pollUntil(t, src, in, connected(h), ignore); err != nil {
		t.Fatal(err)
	}
	spec := sensors(srv.URL(), "topic", "out/{id}", "qos", "1")
	spec.Metadata = nil
	sink, err := newSink(spec)
	if err != nil {
		t.Fatal(err)
	}
	ctx, _ := opContext(t)
	if err := sink.Open(ctx); err != nil {
		t.Fatal(err)
	}
	write := func(from, to int64) {
		b := vec.NewBatch(spec.Schema)
		for n := from; n < to; n++ {
			b.Col(0).AppendString(fmt.Sprintf("a/%d", n%3))
			vec.AppendValue(b.Col(1), n)
			b.Col(2).AppendNull()
			b.SetRows(b.Rows() + 1)
		}
		if err := errors.Join(sink.Write(t.Context(), b), sink.Flush(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	write(0, 50)
	srv.Restart()
	write(50, 100)
	seen := map[int64]bool{}
	err = pollUntil(t, src, in, func() bool { return len(seen) == 100 }, func(n int64, topic string) {
		seen[n] = true
		if want := fmt.Sprintf("out/a_%d", n%3); topic != want {
			t.Fatalf("topic is %q, want %q", topic, want)
		}
	})
	if err := errors.Join(err, sink.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestARowWithoutATopicIsRefused(t *testing.T) {
	srv := testenv.Mosquitto(t)
	spec := sensors(srv.URL(), "topic", "out/{id}")
	spec.Metadata = nil
	sink, err := newSink(spec)
	if err != nil {
		t.Fatal(err)
	}
	ctx, _ := opContext(t)
	b := vec.NewBatch(spec.Schema)
	for _, c := range b.Cols() {
		c.AppendNull()
	}
	b.SetRows(1)
	if err := errors.Join(sink.Open(ctx), sink.Write(t.Context(), b), sink.Flush(t.Context()), sink.Close()); err != nil {
		t.Fatal(err)
	}
	if n := ctx.Metrics.Bad.Load(); n != 1 {
		t.Errorf("%d rows are counted as bad", n)
	}
}

// TestABacklogDoesNotLookLikeADeadBroker lets a source fall behind for several keep-alive periods: the pings' answers wait behind the messages, and
// the connection must be kept.
func TestABacklogDoesNotLookLikeADeadBroker(t *testing.T) {
	srv := testenv.Mosquitto(t, testenv.Config("max_queued_messages 0", "max_queued_bytes 0"))
	spec := sensors(srv.URL(), "qos", "0", "keep-alive", "1 s")
	s, _, h := open(t, spec)
	if err := pollUntil(t, s, spec, connected(h), ignore); err != nil {
		t.Fatal(err)
	}
	const total = 100_000
	pub := publisher(t, srv.URL())
	behind := time.After(4 * time.Second)
	if err := send(pub, 0, 0, total); err != nil {
		t.Fatal(err)
	}
	<-behind // a job that is busy with something else
	seen := 0
	if err := pollUntil(t, s, spec, func() bool { return seen == total }, func(int64, string) { seen++ }); err != nil {
		t.Fatal(err)
	}
	if h.String() != "ok" {
		t.Errorf("the connection was lost: %s", h)
	}
}
