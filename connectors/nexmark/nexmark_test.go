package nexmark

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/connectors/format"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/vec"
)

func rowOf(fields map[string]vec.Kind, names ...string) vec.Type {
	var f []vec.Field
	for _, n := range names {
		t := vec.Type{Kind: fields[n]}
		if t.Kind == vec.Timestamp {
			t = vec.TypeTimestamp
		}
		f = append(f, vec.Field{Name: n, Type: t})
	}
	return vec.RowOf(f...)
}

func fullSchema() *vec.Schema {
	return vec.NewSchema(
		vec.Field{Name: "event_type", Type: vec.TypeInt32},
		vec.Field{Name: "person", Type: rowOf(personFields, "id", "name", "emailAddress", "creditCard", "city", "state", "dateTime", "extra")},
		vec.Field{Name: "auction", Type: rowOf(auctionFields, "id", "itemName", "description", "initialBid", "reserve", "dateTime", "expires", "seller", "category", "extra")},
		vec.Field{Name: "bid", Type: rowOf(bidFields, "auction", "bidder", "price", "channel", "url", "dateTime", "extra")})
}

func table(s *vec.Schema, options ...string) *graph.TableSpec {
	t := &graph.TableSpec{Name: "events", Connector: "nexmark", Options: map[string]string{}, Schema: s}
	for i := 0; i < len(options); i += 2 {
		t.Options[options[i]] = options[i+1]
	}
	return t
}

type fakeClock struct{ now time.Time }

func (c *fakeClock) Now() time.Time { return c.now }

func open(t testing.TB, spec *graph.TableSpec, clock op.Clock, splits ...op.Split) op.Source {
	t.Helper()
	if err := Connector().Check(spec, false); err != nil {
		t.Fatal(err)
	}
	s, err := Connector().NewSource(spec)
	if err != nil {
		t.Fatal(err)
	}
	ctx := &op.Context{Ctx: t.Context(), Log: slog.New(slog.DiscardHandler), Metrics: &op.Metrics{}, Clock: clock}
	if err := s.Open(ctx, splits); err != nil {
		t.Fatal(err)
	}
	return s
}

func splitsOf(t testing.TB, spec *graph.TableSpec, parallelism int) []op.Split {
	t.Helper()
	splits, err := Connector().Splits(t.Context(), spec, parallelism)
	if err != nil {
		t.Fatal(err)
	}
	return splits
}

// read polls until the end, or until most rows have come, and returns them as JSON.
func read(t testing.TB, s op.Source, schema *vec.Schema, most int) []string {
	t.Helper()
	var out []string
	b := vec.NewBatch(schema)
	for len(out) < most {
		b.Reset()
		p, err := s.Poll(t.Context(), b, time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Rows() {
			out = append(out, rowText(b, i))
		}
		if p.Status == op.End {
			break
		}
	}
	return out
}

func rowText(b *vec.Batch, i int) string {
	var text []byte
	for _, c := range b.Cols() {
		text = append(format.AppendJSON(text, c, i, format.TextStyle{Sep: ' '}), ' ')
	}
	return string(text)
}

const all = 1 << 30

func TestAnySplittingGivesTheSameEvents(t *testing.T) {
	spec := table(fullSchema(), "events.num", "10013", "seed", "7")
	want := read(t, open(t, spec, &fakeClock{}, splitsOf(t, spec, 1)...), spec.Schema, all)
	if len(want) != 10013 {
		t.Fatalf("%d events", len(want))
	}
	slices.Sort(want)
	for _, p := range []int{2, 3, 300} {
		var got []string
		splits := splitsOf(t, spec, p)
		half := p / 2
		got = append(got, read(t, open(t, spec, &fakeClock{}, splits[:half]...), spec.Schema, all)...)
		got = append(got, read(t, open(t, spec, &fakeClock{}, splits[half:]...), spec.Schema, all)...)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("parallelism %d gives other events", p)
		}
	}
}

func TestRestoreGivesTheRest(t *testing.T) {
	spec := table(fullSchema(), "events.num", "6000", "base-time", "now")
	splits := splitsOf(t, spec, 2)
	want := read(t, open(t, spec, &fakeClock{}, splits...), spec.Schema, all)
	s := open(t, spec, &fakeClock{}, splits...)
	got := read(t, s, spec.Schema, 3000)
	at, err := s.Snapshot(1)
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, read(t, open(t, spec, &fakeClock{}, at...), spec.Schema, all)...)
	if !slices.Equal(got, want) {
		t.Fatalf("%d rows differ from the %d without a restore", len(got), len(want))
	}
}

func TestFewerColumnsHaveTheSameValues(t *testing.T) {
	full := table(fullSchema(), "events.num", "5000")
	part := table(vec.NewSchema(vec.Field{Name: "bid", Type: rowOf(bidFields, "price", "url")}, vec.Field{Name: "auction", Type: rowOf(auctionFields, "extra")}), "events.num", "5000")
	a, b := vec.NewBatch(full.Schema), vec.NewBatch(part.Schema)
	sa, sb := open(t, full, &fakeClock{}, splitsOf(t, full, 1)...), open(t, part, &fakeClock{}, splitsOf(t, part, 1)...)
	for range 4 {
		a.Reset()
		b.Reset()
		for s, batch := range map[op.Source]*vec.Batch{sa: a, sb: b} {
			if _, err := s.Poll(t.Context(), batch, 0); err != nil {
				t.Fatal(err)
			}
		}
		show := func(c *vec.Col, i int) string {
			return string(format.AppendJSON(nil, c, i, format.TextStyle{}))
		}
		for i := range a.Rows() {
			for _, pair := range [][2]*vec.Col{{a.Col(3).Kid(2), b.Col(0).Kid(0)}, {a.Col(3).Kid(4), b.Col(0).Kid(1)}, {a.Col(2).Kid(9), b.Col(1).Kid(0)}} {
				if x, y := show(pair[0], i), show(pair[1], i); x != y {
					t.Fatalf("row %d: %s with all columns, %s with few", i, x, y)
				}
			}
		}
	}
}

// TestDistributions checks what the queries of the benchmark build on.
func TestDistributions(t *testing.T) {
	spec := table(fullSchema(), "events.num", "100000")
	s := open(t, spec, &fakeClock{}, splitsOf(t, spec, 1)...)
	b := vec.NewBatch(spec.Schema)
	counts, extra, hot, hotChannel, dearer := map[int32]int{}, 0, 0, 0, 0
	people, lastTime := int64(firstPersonID), int64(0)
	for {
		b.Reset()
		p, err := s.Poll(t.Context(), b, 0)
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Rows() {
			kind := vec.Values[int32](b.Col(0))[i]
			counts[kind]++
			for k := range 3 {
				if b.Col(k+1).IsNull(i) == (int(kind) == k) {
					t.Fatalf("event of kind %d: column %d NULL is %v", kind, k+1, b.Col(k+1).IsNull(i))
				}
			}
			if kind == personEvent {
				if id := vec.Values[int64](b.Col(1).Kid(0))[i]; id != people {
					t.Fatalf("person %d came when %d was to", id, people)
				}
				people++
			}
			if kind != bidEvent {
				continue
			}
			bid := b.Col(3)
			extra += len(bid.Kid(6).Bytes(i))
			if vec.Values[int64](bid.Kid(0))[i]%hotEvery == 0 {
				hot++
			}
			if !strings.HasPrefix(bid.Kid(3).Str(i), "channel-") {
				hotChannel++
			}
			if vec.Values[int64](bid.Kid(2))[i] >= 1e5 { // the middle of the scale from 1e2 to 1e8
				dearer++
			}
			if ts := vec.Values[int64](bid.Kid(5))[i]; ts < lastTime {
				t.Fatal("time goes back")
			} else {
				lastTime = ts
			}
		}
		if p.Status == op.End {
			break
		}
	}
	if counts[0] != 2000 || counts[1] != 6000 || counts[2] != 92000 {
		t.Fatalf("counts are %v", counts)
	}
	near := func(what string, got, want, tolerance float64) {
		t.Helper()
		if got < want-tolerance || got > want+tolerance {
			t.Errorf("%s is %.3f, expected about %.3f", what, got, want)
		}
	}
	bids := float64(counts[2])
	near("average extra", float64(extra)/bids, 68, 1)
	near("share of hot auctions", float64(hot)/bids, 0.505, 0.01)
	near("share of hot channels", float64(hotChannel)/bids, 0.5, 0.01)
	near("share of prices above the middle", float64(dearer)/bids, 0.5, 0.01)
	near("seconds of event time", float64(lastTime-s.(*source).cfg.base)/1000, 10, 0.01)
}

func TestRateLimitFollowsTheClock(t *testing.T) {
	spec := table(fullSchema(), "first-event.rate", "100", "rate.limited", "true")
	clock := &fakeClock{now: time.Unix(1000, 0)}
	s := open(t, spec, clock, splitsOf(t, spec, 1)...)
	b := vec.NewBatch(spec.Schema)
	poll := func() int {
		b.Reset()
		if _, err := s.Poll(t.Context(), b, time.Microsecond); err != nil {
			t.Fatal(err)
		}
		return b.Rows()
	}
	got := []int{poll(), poll()}
	clock.now = clock.now.Add(500 * time.Millisecond)
	got = append(got, poll(), poll())
	if want := []int{1, 0, 50, 0}; !slices.Equal(got, want) {
		t.Fatalf("rows of each poll: %v, want %v", got, want)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	began := time.Now()
	if _, err := s.Poll(cancelled, b, time.Minute); err != nil || time.Since(began) > 10*time.Second {
		t.Fatalf("Poll took %v after the end of its context, error %v", time.Since(began), err)
	}
}

func TestBadTablesAreRefused(t *testing.T) {
	for _, c := range []struct {
		spec *graph.TableSpec
		want string
	}{
		{table(vec.NewSchema(vec.Field{Name: "price", Type: vec.TypeInt64})), `no column "price"`},
		{table(vec.NewSchema(vec.Field{Name: "bid", Type: rowOf(bidFields, "price", "seller")})), "no field bid.seller"},
		{table(fullSchema(), "bid.proportion", "0", "auction.proportion", "0", "person.proportion", "0"), "add up to 0"},
		{table(fullSchema(), "first-event.rate", "0"), "'first-event.rate'"},
		{table(fullSchema(), "base-time", "yesterday"), "'base-time'"},
		{table(fullSchema(), "bid.avg-size", "1 gb"), "'bid.avg-size'"},
	} {
		if err := Connector().Check(c.spec, false); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error is %v, want something with %s", err, c.want)
		}
	}
}

func TestOddProportions(t *testing.T) {
	for _, p := range [][3]int{{0, 0, 1}, {1, 0, 0}, {0, 1, 0}, {0, 3, 5}, {2, 0, 9}, {50, 1, 1}} {
		spec := table(fullSchema(), "events.num", "3000", "person.proportion", fmt.Sprint(p[0]), "auction.proportion", fmt.Sprint(p[1]), "bid.proportion", fmt.Sprint(p[2]))
		if n := len(read(t, open(t, spec, &fakeClock{}, splitsOf(t, spec, 3)...), spec.Schema, all)); n != 3000 {
			t.Errorf("proportions %v: %d events", p, n)
		}
	}
}

func TestABatchAllocatesNothing(t *testing.T) {
	spec := table(fullSchema())
	s := open(t, spec, &fakeClock{}, splitsOf(t, spec, 1)...)
	b := vec.NewBatch(spec.Schema)
	poll := func() {
		b.Reset()
		if _, err := s.Poll(t.Context(), b, 0); err != nil {
			t.Fatal(err)
		}
	}
	for range 200 {
		poll() // buffers grow to what the longest batch needs
	}
	if n := testing.AllocsPerRun(100, poll); n > 0 {
		t.Fatalf("%v allocations a batch", n)
	}
}

func BenchmarkSource(b *testing.B) {
	for name, schema := range map[string]*vec.Schema{
		"all":  fullSchema(),
		"bids": vec.NewSchema(vec.Field{Name: "bid", Type: fullSchema().Fields[3].Type}),
		"q5":   vec.NewSchema(vec.Field{Name: "event_type", Type: vec.TypeInt32}, vec.Field{Name: "bid", Type: rowOf(bidFields, "auction", "dateTime")}),
	} {
		b.Run(name, func(b *testing.B) {
			spec := table(schema)
			s := open(b, spec, &fakeClock{}, splitsOf(b, spec, 1)...)
			batch := vec.NewBatch(schema)
			events := 0
			b.ReportAllocs()
			for b.Loop() {
				batch.Reset()
				if _, err := s.Poll(b.Context(), batch, 0); err != nil {
					b.Fatal(err)
				}
				events += batch.Rows()
			}
			b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

func TestTextIsPlain(t *testing.T) {
	x := newTexts(3)
	for k := range uint64(1000) {
		if s := x.text(mix(k), 20); len(s) > 19 || bytes.HasPrefix(s, []byte(" ")) {
			t.Fatalf("text is %q", s)
		}
	}
}
