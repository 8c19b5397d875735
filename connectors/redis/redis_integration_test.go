//go:build integration

package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/bramble-stream/bramble/connectors/conformance"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var numbers = vec.NewSchema(vec.Field{Name: "n", Type: vec.TypeInt64}, vec.Field{Name: "s", Type: vec.TypeString})

func table(url string, schema *vec.Schema, options ...string) *graph.TableSpec {
	t := &graph.TableSpec{Name: "readings", Connector: "redis-stream", Options: map[string]string{"url": url, "stream": "readings"}, Schema: schema}
	for i := 0; i < len(options); i += 2 {
		t.Options[options[i]] = options[i+1]
	}
	return t
}

func client(t *testing.T, srv *testenv.Server) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(srv.LoginURL())
	if err != nil {
		t.Fatal(err)
	}
	o.MaxRetries = 20
	c := redis.NewClient(o)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// add appends entries with n = from to to-1, as fields or as an object.
func add(t *testing.T, c *redis.Client, stream string, asJSON bool, from, to int) {
	t.Helper()
	pipe := c.Pipeline()
	for n := from; n < to; n++ {
		values := []any{"n", n, "s", "x"}
		if asJSON {
			values = []any{"data", fmt.Sprintf(`{"n":%d,"s":"x"}`, n)}
		}
		pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: stream, Values: values})
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestStreamSourceConformance(t *testing.T) {
	for _, format := range []string{"fields", "json"} {
		for _, group := range []string{"", "readers"} {
			t.Run(format+group, func(t *testing.T) {
				conformance.Source(t, conformance.SourceConfig{Connector: Streams(), Replays: group == "", Duplicates: group != "", Acks: group != "", New: func(t *testing.T) conformance.SourceTable {
					srv := testenv.Redis(t, testenv.Persistent())
					proxy := testenv.Proxy(t, srv.Addr())
					c := client(t, srv)
					spec := table("redis://"+proxy.Addr(), numbers, "format", format)
					if group != "" {
						spec.Options["group"] = group
					}
					away := table(fmt.Sprintf("redis://127.0.0.1:%d", testenv.FreePort(t)), numbers, "format", format)
					return conformance.SourceTable{
						Table: spec, Away: away, Restart: srv.Restart, Cut: proxy.Cut,
						Produce: func(from, to int) { add(t, c, "readings", format == "json", from, to) },
						ProduceBad: func() string {
							values, record := []any{"n", "seven"}, "n=seven"
							if format == "json" {
								values, record = []any{"data", "{"}, "data={"
							}
							if err := c.XAdd(t.Context(), &redis.XAddArgs{Stream: "readings", Values: values}).Err(); err != nil {
								t.Fatal(err)
							}
							return record
						},
					}
				}})
			})
		}
	}
}

func TestStreamSinkConformance(t *testing.T) {
	for _, format := range []string{"fields", "json"} {
		for _, guarantee := range []string{"at-least-once", "exactly-once"} {
			exact := guarantee == "exactly-once"
			t.Run(format+","+guarantee, func(t *testing.T) {
				conformance.Sink(t, conformance.SinkConfig{Connector: Streams(), Duplicates: !exact, TwoPhase: exact, New: func(t *testing.T) conformance.SinkTable {
					srv := testenv.Redis(t, testenv.Persistent())
					proxy := testenv.Proxy(t, srv.Addr())
					spec := table("redis://"+proxy.Addr(), conformance.Scalars(), "format", format, "sink.delivery-guarantee", guarantee)
					reading := table(srv.URL(), conformance.Scalars(), "format", format, "scan.bounded.mode", "latest-offset")
					c := client(t, srv)
					return conformance.SinkTable{
						Table: spec, Restart: srv.Restart, Cut: proxy.Cut, Stop: srv.Stop,
						Read:      func(int) []string { return conformance.ReadTable(t, Streams(), reading, 1<<30) },
						Leftovers: func() []string { return leftovers(t, c) },
					}
				}})
			})
		}
	}
}

// leftovers are the keys of transactions that wait.
func leftovers(t *testing.T, c *redis.Client) []string {
	t.Helper()
	keys, err := c.Keys(t.Context(), "bramble:*:tx:*").Result()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestKeySinkConformance(t *testing.T) {
	for _, format := range []string{"hash", "json"} {
		for _, guarantee := range []string{"at-least-once", "exactly-once"} {
			t.Run(format+","+guarantee, func(t *testing.T) {
				conformance.Sink(t, conformance.SinkConfig{Connector: Keys(), Upsert: true, TwoPhase: guarantee == "exactly-once", New: func(t *testing.T) conformance.SinkTable {
					srv := testenv.Redis(t, testenv.Persistent())
					proxy := testenv.Proxy(t, srv.Addr())
					spec := table("redis://"+proxy.Addr(), conformance.Scalars(), "format", format, "sink.delivery-guarantee", guarantee)
					spec.PrimaryKey = []int{0}
					c := client(t, srv)
					return conformance.SinkTable{
						Table: spec, Restart: srv.Restart, Cut: proxy.Cut, Stop: srv.Stop,
						Read:      func(int) []string { return readKeys(t, c, format) },
						Leftovers: func() []string { return leftovers(t, c) },
					}
				}})
			})
		}
	}
}

// readKeys reads back what the key sink wrote, by the decoders of the streams.
func readKeys(t *testing.T, c *redis.Client, kind string) []string {
	t.Helper()
	keys, err := c.Keys(t.Context(), "readings:*").Result()
	if err != nil {
		t.Fatal(err)
	}
	as := map[string]string{"hash": "fields", "json": "json"}[kind]
	dec, err := newEntryDecoder(table("", conformance.Scalars(), "format", as))
	if err != nil {
		t.Fatal(err)
	}
	b := vec.NewBatch(conformance.Scalars())
	dec.Begin(b)
	for i, key := range keys {
		var fields [][]byte
		if kind == "hash" {
			values, err := c.HGetAll(t.Context(), key).Result()
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range slices.Sorted(maps.Keys(values)) {
				fields = append(fields, []byte(name), []byte(values[name]))
			}
		} else {
			value, err := c.Get(t.Context(), key).Result()
			if err != nil {
				t.Fatal(err)
			}
			fields = [][]byte{[]byte("data"), []byte(value)}
		}
		if _, err := dec.DecodeEntry(fields); err != nil {
			t.Fatal(err)
		}
		b.SetRows(i + 1)
	}
	dec.Finish()
	var out []string
	for i := range b.Rows() {
		out = append(out, conformance.RowText(b, i))
	}
	return out
}

func TestStartupModes(t *testing.T) {
	srv := testenv.Redis(t)
	c := client(t, srv)
	add(t, c, "readings", false, 0, 10)
	entries, err := c.XRange(t.Context(), "readings", "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []struct {
		options []string
		first   int64
	}{
		{nil, 0},
		{[]string{"scan.startup.mode", "earliest-offset"}, 0},
		{[]string{"scan.startup.mode", "specific-id", "scan.startup.specific-id", entries[6].ID}, 7},
		{[]string{"scan.startup.mode", "latest-offset"}, 10},
	} {
		r := conformance.Open(t, Streams(), table(srv.URL(), numbers, m.options...), nil)
		var rows []conformance.Row
		if m.first < 10 {
			rows = r.Rows(int(10 - m.first))
		} else {
			r.Connected()
			// Connected means that the position has been found: what comes now is new.
			if err := c.XAdd(t.Context(), &redis.XAddArgs{Stream: "readings", Values: []any{"n", 10}}).Err(); err != nil {
				t.Fatal(err)
			}
			rows = r.Rows(1)
			if err := c.XTrimMaxLen(t.Context(), "readings", 11).Err(); err != nil {
				t.Fatal(err)
			}
		}
		if rows[0].N != m.first {
			t.Errorf("%v: the first row is %d, want %d", m.options, rows[0].N, m.first)
		}
		r.Close()
	}
}

func TestBoundedStreamsEnd(t *testing.T) {
	srv := testenv.Redis(t)
	c := client(t, srv)
	add(t, c, "a", false, 0, 2500)
	add(t, c, "b", false, 2500, 2600)
	spec := table(srv.URL(), numbers, "stream", "a; b;none", "scan.bounded.mode", "latest-offset")
	r := conformance.Open(t, Streams(), spec, nil)
	defer r.Close()
	rows, err := r.Until(func([]conformance.Row) bool { return false }) // to the end
	if err != nil || len(rows) != 2600 {
		t.Fatalf("%d rows, error %v", len(rows), err)
	}
	at, err := r.Source.Snapshot(1)
	if err != nil {
		t.Fatal(err)
	}
	again := conformance.Open(t, Streams(), spec, at)
	defer again.Close()
	if rows, err = again.Until(func([]conformance.Row) bool { return false }); err != nil || len(rows) != 0 {
		t.Fatalf("after the end there are %d rows, error %v", len(rows), err)
	}
}

func TestMetadata(t *testing.T) {
	srv := testenv.Redis(t)
	c := client(t, srv)
	if err := c.XAdd(t.Context(), &redis.XAddArgs{Stream: "readings", ID: "1500-3", Values: []any{"n", 1}}).Err(); err != nil {
		t.Fatal(err)
	}
	spec := table(srv.URL(), vec.NewSchema(vec.Field{Name: "id", Type: vec.TypeString}, vec.Field{Name: "n", Type: vec.TypeInt64},
		vec.Field{Name: "at", Type: vec.TypeTimestampLTZ}, vec.Field{Name: "st", Type: vec.TypeString}))
	spec.Metadata = []string{"id", "", "timestamp", "stream"}
	r := conformance.Open(t, Streams(), spec, nil)
	defer r.Close()
	if got, want := r.Rows(1)[0].Text, `"1500-3" 1 "1970-01-01 00:00:01.500Z" "readings"`; got != want {
		t.Errorf("row %s, want %s", got, want)
	}
}

// TestGroups: what a consumer took and did not acknowledge it gets again; a second group reads by itself.
func TestGroups(t *testing.T) {
	srv := testenv.Redis(t)
	c := client(t, srv)
	spec := table(srv.URL(), numbers, "stream", "a;b", "group", "g")
	add(t, c, "a", false, 0, 1500)
	add(t, c, "b", false, 1500, 3000)
	first := conformance.Open(t, Streams(), spec, nil)
	got := first.Rows(1)
	first.Env.Cancel()
	first.Close() // without another Poll nothing is acknowledged
	if len(got) == 3000 {
		t.Fatal("all rows came in one batch: nothing is pending")
	}
	second := conformance.Open(t, Streams(), spec, nil)
	seen := map[int64]bool{}
	if _, err := second.Until(func(rows []conformance.Row) bool {
		for _, r := range rows {
			seen[r.N] = true
		}
		return len(seen) == 3000
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Poll(); err != nil { // acknowledges the last batch
		t.Fatal(err)
	}
	second.Close()
	// entries that were deleted while they were pending are no rows
	third := conformance.Open(t, Streams(), table(srv.URL(), numbers, "stream", "d", "group", "g"), nil)
	add(t, c, "d", false, 0, 2)
	third.Rows(2)
	third.Env.Cancel()
	third.Close()
	if entries, err := c.XRange(t.Context(), "d", "-", "+").Result(); err != nil || c.XDel(t.Context(), "d", entries[0].ID).Err() != nil {
		t.Fatal(err)
	}
	fourth := conformance.Open(t, Streams(), table(srv.URL(), numbers, "stream", "d", "group", "g"), nil)
	add(t, c, "d", false, 2, 3)
	if rows := fourth.Rows(2); rows[0].N != 1 || rows[1].N != 2 {
		t.Errorf("rows %v, want 1 and 2", rows)
	}
	fourth.Close()
	for _, name := range []string{"a", "b"} {
		if p, err := c.XPending(t.Context(), name, "g").Result(); err != nil || p.Count != 0 {
			t.Errorf("stream %s has %v pending, error %v", name, p, err)
		}
	}
	other := conformance.Open(t, Streams(), table(srv.URL(), numbers, "stream", "a", "group", "h"), nil)
	other.Rows(1500)
	other.Close()
}

func TestWrongPasswordFailsSayingSo(t *testing.T) {
	srv := testenv.Redis(t, testenv.Login("ann", "right"))
	spec := table(srv.URL(), numbers, "username", "ann", "password", "mistaken")
	r := conformance.Open(t, Streams(), spec, nil)
	defer r.Close()
	_, err := r.Until(func([]conformance.Row) bool { return false })
	if err == nil || !strings.Contains(err.Error(), "'username' and 'password'") || strings.Contains(err.Error(), "mistaken") {
		t.Errorf("the source's error is %v", err)
	}
	sink, err := Streams().NewSink(spec)
	if err != nil {
		t.Fatal(err)
	}
	env := conformance.NewEnv(t, 0, 1, false)
	if err := sink.Open(env.Context); err == nil || !strings.Contains(err.Error(), "'username' and 'password'") {
		t.Errorf("the sink's error is %v", err) // before any row
	}
	if err := sink.Close(); err != nil {
		t.Error(err)
	}
}

func rowsOf(n int) *vec.Batch {
	b := vec.NewBatch(numbers)
	for i := range n {
		vec.AppendValue(b.Col(0), int64(i))
		b.Col(1).AppendString("x")
	}
	b.SetRows(n)
	return b
}

func TestTheServerComesAfterTheSource(t *testing.T) {
	port := testenv.FreePort(t)
	spec := table(fmt.Sprintf("redis://127.0.0.1:%d", port), numbers)
	r := conformance.Open(t, Streams(), spec, nil)
	defer r.Close()
	if _, err := r.Until(func([]conformance.Row) bool { return r.Env.Trouble() != nil }); err != nil {
		t.Fatal(err)
	}
	srv := testenv.Redis(t, testenv.Port(port))
	add(t, client(t, srv), "readings", false, 0, 5)
	r.Rows(5)
	if !r.Env.Healthy() {
		t.Errorf("still in trouble: %v", r.Env.Trouble())
	}
}

func TestAKeyOfAnotherTypeFails(t *testing.T) {
	srv := testenv.Redis(t)
	c := client(t, srv)
	if err := c.Set(t.Context(), "readings", "text", 0).Err(); err != nil {
		t.Fatal(err)
	}
	r := conformance.Open(t, Streams(), table(srv.URL(), numbers), nil)
	defer r.Close()
	if _, err := r.Until(func([]conformance.Row) bool { return false }); err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
		t.Errorf("the source's error is %v", err)
	}
	write := func(conn *op.Connector, spec *graph.TableSpec) error {
		sink, err := conn.NewSink(spec)
		if err != nil {
			t.Fatal(err)
		}
		err = errors.Join(sink.Open(conformance.NewEnv(t, 0, 1, false).Context), sink.Write(t.Context(), rowsOf(1)), sink.Flush(t.Context()))
		return errors.Join(err, sink.Close())
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := write(Streams(), table(srv.URL(), numbers)); err == nil || !strings.Contains(err.Error(), "WRONGTYPE") || ctx.Err() != nil {
		t.Errorf("the stream sink's error is %v", err)
	}
	spec := table(srv.URL(), numbers, "key", "hash:{n}")
	spec.PrimaryKey = []int{0}
	if err := c.Set(t.Context(), "hash:0", "text", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := write(Keys(), spec); err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
		t.Errorf("the key sink's error is %v", err)
	}
}

func TestMaxlenTTLAndNulls(t *testing.T) {
	srv := testenv.Redis(t)
	c := client(t, srv)
	env := conformance.NewEnv(t, 0, 1, false)
	write := func(conn *op.Connector, spec *graph.TableSpec, batches ...*vec.Batch) {
		t.Helper()
		sink, err := conn.NewSink(spec)
		if err != nil {
			t.Fatal(err)
		}
		if err := sink.Open(env.Context); err != nil {
			t.Fatal(err)
		}
		for _, b := range batches {
			if err := sink.Write(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(sink.Flush(t.Context()), sink.Close()); err != nil {
			t.Fatal(err)
		}
	}
	write(Streams(), table(srv.URL(), numbers, "maxlen", "100"), rowsOf(1000), rowsOf(1000))
	if n, err := c.XLen(t.Context(), "readings").Result(); err != nil || n < 100 || n > 300 {
		t.Errorf("the stream has %d entries, error %v", n, err)
	}
	keyed := table(srv.URL(), numbers, "key", "sensor:{n}", "ttl", "1 min")
	keyed.PrimaryKey = []int{0}
	b := rowsOf(2)
	write(Keys(), keyed, b)
	b.Col(1).SetNull(1)
	b.SetKinds([]vec.RowKind{vec.Delete, vec.UpdateAfter})
	write(Keys(), keyed, b)
	keys, err := c.Keys(t.Context(), "sensor:*").Result()
	if err != nil || !slices.Equal(keys, []string{"sensor:1"}) {
		t.Fatalf("keys %v, error %v", keys, err)
	}
	h, err := c.HGetAll(t.Context(), "sensor:1").Result()
	if err != nil || fmt.Sprint(h) != "map[n:1]" {
		t.Errorf("hash %v, error %v", h, err)
	}
	if d, err := c.PTTL(t.Context(), "sensor:1").Result(); err != nil || d <= 0 || d > time.Minute {
		t.Errorf("the key lives for %v, error %v", d, err)
	}
	keyed.Options["format"] = "json"
	keyed.Options["key"] = "json:{n}"
	write(Keys(), keyed, rowsOf(1))
	var v map[string]any
	text, err := c.Get(t.Context(), "json:0").Result()
	if err = errors.Join(err, json.Unmarshal([]byte(text), &v)); err != nil || v["s"] != "x" {
		t.Errorf("the value is %q, error %v", text, err)
	}
}

// TestANullKeyIsRefused: one row without a key does not end the job.
func TestANullKeyIsRefused(t *testing.T) {
	srv := testenv.Redis(t)
	spec := table(srv.URL(), numbers, "key", "s:{s}")
	spec.PrimaryKey = []int{1}
	sink, err := Keys().NewSink(spec)
	if err != nil {
		t.Fatal(err)
	}
	env := conformance.NewEnv(t, 0, 1, false)
	b := rowsOf(2)
	b.Col(1).SetNull(0)
	if err := errors.Join(sink.Open(env.Context), sink.Write(t.Context(), b), sink.Flush(t.Context()), sink.Close()); err != nil {
		t.Fatal(err)
	}
	if n := env.Metrics.Bad.Load(); n != 1 {
		t.Errorf("%d rows are counted as bad", n)
	}
	if keys, err := client(t, srv).Keys(t.Context(), "*").Result(); err != nil || !slices.Equal(keys, []string{"s:x"}) {
		t.Errorf("keys %v, error %v", keys, err)
	}
}

// TestAFormerAttemptThatGoesOn: it takes entries that it will never acknowledge. They come to the new attempt, once each, and the names of attempts
// that have nothing pending go.
func TestAFormerAttemptThatGoesOn(t *testing.T) {
	srv := testenv.Redis(t)
	c := client(t, srv)
	spec := table(srv.URL(), numbers, "group", "g")
	former := conformance.OpenCheckpointed(t, Streams(), spec, nil)
	add(t, c, "readings", false, 0, 10)
	former.Rows(10)
	at, err := former.Source.Snapshot(1)
	if err != nil {
		t.Fatal(err)
	}
	current := conformance.OpenCheckpointed(t, Streams(), spec, at)
	defer current.Close()
	current.Connected()
	stolen := map[int64]bool{}
	made := 10
	for len(stolen) < 30 { // both wait for entries
		add(t, c, "readings", false, made, made+10)
		made += 10
		rows, err := former.Poll()
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			stolen[row.N] = true
		}
	}
	former.Env.Cancel()
	former.Close()
	seen := map[int64]int{}
	epoch := stream.Epoch(1)
	_, err = current.Until(func(rows []conformance.Row) bool {
		clear(seen)
		for _, row := range rows {
			seen[row.N]++
		}
		epoch++
		at, err = current.Source.Snapshot(epoch)
		if err == nil && epoch%2 == 0 {
			err = current.Source.Commit(t.Context(), epoch)
		}
		return err != nil || len(seen) == made-10
	})
	if err != nil {
		t.Fatal(err)
	}
	for n, times := range seen {
		if times != 1 || n < 10 {
			t.Errorf("entry %d came %d times", n, times)
		}
	}
	if at, err = current.Source.Snapshot(epoch + 1); err != nil {
		t.Fatal(err)
	}
	if err := current.Source.Commit(t.Context(), epoch+1); err != nil {
		t.Fatal(err)
	}
	p, err := c.XPending(t.Context(), "readings", "g").Result()
	if err != nil || p.Count != 0 {
		t.Errorf("pending are %v, error %v", p, err)
	}
	last := conformance.OpenCheckpointed(t, Streams(), spec, at)
	defer last.Close()
	last.Connected()
	add(t, c, "readings", false, made, made+1)
	if rows := append(last.Rows(0), current.Rows(0)...); len(rows) > 0 {
		t.Errorf("rows %v came again", rows)
	}
	list, err := c.XInfoConsumers(t.Context(), "readings", "g").Result()
	if err != nil || len(list) > 3 {
		t.Errorf("consumers are %v, error %v", list, err)
	}
}
