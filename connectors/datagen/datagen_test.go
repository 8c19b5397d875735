package datagen

import (
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

func table(s *vec.Schema, options ...string) *graph.TableSpec {
	t := &graph.TableSpec{Name: "made", Connector: "datagen", Options: map[string]string{"rows-per-second": "0"}, Schema: s}
	for i := 0; i < len(options); i += 2 {
		t.Options[options[i]] = options[i+1]
	}
	return t
}

type fakeClock struct{ now time.Time }

func (c *fakeClock) Now() time.Time { return c.now }

var noon = time.Date(2026, 2, 3, 12, 0, 0, 0, time.UTC)

func open(t testing.TB, spec *graph.TableSpec, splits []op.Split) (op.Source, *fakeClock) {
	t.Helper()
	if err := Connector().Check(spec, false); err != nil {
		t.Fatal(err)
	}
	s, err := Connector().NewSource(spec)
	if err != nil {
		t.Fatal(err)
	}
	clock := &fakeClock{noon}
	loc := time.FixedZone("", 3600)
	if err := s.Open(&op.Context{Ctx: t.Context(), Log: slog.New(slog.DiscardHandler), Metrics: &op.Metrics{}, Clock: clock, Location: loc}, splits); err != nil {
		t.Fatal(err)
	}
	return s, clock
}

func splitsOf(t testing.TB, spec *graph.TableSpec, parallelism int) []op.Split {
	t.Helper()
	s, err := Connector().Splits(t.Context(), spec, parallelism)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

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
			var text []string
			for _, c := range b.Cols() {
				text = append(text, string(format.AppendJSON(nil, c, i, format.TextStyle{Sep: ' '})))
			}
			out = append(out, strings.Join(text, " "))
		}
		if p.Status == op.End {
			break
		}
	}
	return out
}

const all = 1 << 30

func everyType() *vec.Schema {
	var fields []vec.Field
	for _, t := range []vec.Type{
		vec.TypeBool, vec.TypeInt8, vec.TypeInt16, vec.TypeInt32, vec.TypeInt64, vec.TypeFloat32, vec.TypeFloat64, vec.DecimalOf(10, 2), vec.DecimalOf(38, 0),
		vec.TypeString, vec.TypeBytes, vec.TypeDate, vec.TypeTime, vec.TypeTimestamp, vec.TypeTimestampLTZ, vec.TypeIntervalYM, vec.TypeIntervalDT,
		vec.RowOf(vec.Field{Name: "a", Type: vec.TypeInt32}, vec.Field{Name: "b", Type: vec.ArrayOf(vec.TypeString)}),
		vec.ArrayOf(vec.RowOf(vec.Field{Name: "x", Type: vec.TypeInt8})), vec.MapOf(vec.TypeString, vec.TypeFloat64),
	} {
		fields = append(fields, vec.Field{Name: "c" + string(rune('a'+len(fields))), Type: t})
	}
	return vec.NewSchema(fields...)
}

func TestEveryTypeAnySplitting(t *testing.T) {
	options := []string{"number-of-rows", "2500", "seed", "5"}
	schema := everyType()
	for _, f := range schema.Fields {
		options = append(options, "fields."+f.Name+".null-rate", "0.1")
	}
	options = append(options, "fields.cs.element.null-rate", "0.5", "fields.cs.var-len", "true")
	spec := table(schema, options...)
	s, _ := open(t, spec, splitsOf(t, spec, 1))
	want := read(t, s, schema, all)
	if len(want) != 2500 {
		t.Fatalf("%d rows", len(want))
	}
	nulls := 0
	for _, row := range want {
		if strings.HasPrefix(row, "null") {
			nulls++
		}
	}
	if nulls < 150 || nulls > 350 {
		t.Errorf("%d of 2500 rows are NULL in the first column, expected 250", nulls)
	}
	slices.Sort(want)
	splits := splitsOf(t, spec, 3)
	a, _ := open(t, spec, splits[:1])
	b, _ := open(t, spec, splits[1:])
	got := append(read(t, a, schema, all), read(t, b, schema, all)...)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Fatal("three splits give other rows than one")
	}
}

func TestSequencesEndTheTable(t *testing.T) {
	schema := vec.NewSchema(vec.Field{Name: "n", Type: vec.TypeInt64}, vec.Field{Name: "s", Type: vec.TypeString}, vec.Field{Name: "d", Type: vec.DecimalOf(6, 2)})
	spec := table(schema, "fields.n.kind", "sequence", "fields.n.start", "-1", "fields.n.end", "100",
		"fields.s.kind", "sequence", "fields.s.start", "7", "fields.s.end", "9", "fields.d.kind", "sequence", "fields.d.start", "1", "fields.d.end", "1000")
	s, _ := open(t, spec, splitsOf(t, spec, 1))
	want := []string{`-1 "7" 1.00`, `0 "8" 2.00`, `1 "9" 3.00`}
	if got := read(t, s, schema, all); !slices.Equal(got, want) {
		t.Fatalf("rows %v, want %v", got, want)
	}
	if !Connector().Bounded(spec) {
		t.Error("a table with a sequence is not bounded")
	}
	projected := table(vec.NewSchema(schema.Fields[0]))
	projected.Options = spec.Options
	src, err := Connector().NewSource(projected)
	if err != nil {
		t.Fatal(err)
	}
	if rows := src.(*source).rows; rows != 3 {
		t.Errorf("without the shortest sequence's column there are %d rows", rows)
	}
	// more tasks than rows: the others end at once
	s, _ = open(t, spec, splitsOf(t, spec, 8)[3:])
	if got := read(t, s, schema, all); len(got) != 0 {
		t.Errorf("splits past the end have rows %v", got)
	}
}

func TestRestoreGivesTheRest(t *testing.T) {
	spec := table(everyType(), "number-of-rows", "5000")
	splits := splitsOf(t, spec, 2) // the seed is chosen here
	s, _ := open(t, spec, splits)
	want := read(t, s, spec.Schema, all)
	s, _ = open(t, spec, splits)
	got := read(t, s, spec.Schema, 2000)
	at, err := s.Snapshot(1)
	if err != nil {
		t.Fatal(err)
	}
	s, _ = open(t, spec, at)
	if got = append(got, read(t, s, spec.Schema, all)...); !slices.Equal(got, want) {
		t.Fatal("other rows after a restore")
	}
}

func TestBoundsLengthsAndTimes(t *testing.T) {
	schema := vec.NewSchema(vec.Field{Name: "i", Type: vec.TypeInt32}, vec.Field{Name: "f", Type: vec.TypeFloat64}, vec.Field{Name: "s", Type: vec.TypeString},
		vec.Field{Name: "v", Type: vec.TypeString}, vec.Field{Name: "ts", Type: vec.TypeTimestamp}, vec.Field{Name: "ltz", Type: vec.TypeTimestampLTZ})
	spec := table(schema, "number-of-rows", "3000", "fields.i.min", "-3", "fields.i.max", "3", "fields.f.min", "1.5", "fields.f.max", "2.5", "fields.s.length", "5",
		"fields.v.length", "9", "fields.v.var-len", "true", "fields.ts.max-past", "10 s")
	s, _ := open(t, spec, splitsOf(t, spec, 1))
	b := vec.NewBatch(schema)
	if _, err := s.Poll(t.Context(), b, 0); err != nil {
		t.Fatal(err)
	}
	seen := map[int32]bool{}
	local := noon.UnixMilli() + 3600_000
	for i := range b.Rows() {
		n, f := vec.Values[int32](b.Col(0))[i], vec.Values[float64](b.Col(1))[i]
		ts, ltz := vec.Values[int64](b.Col(4))[i], vec.Values[int64](b.Col(5))[i]
		v := len(b.Col(3).Bytes(i))
		seen[n] = true
		if n < -3 || n > 3 || f < 1.5 || f >= 2.5 || len(b.Col(2).Bytes(i)) != 5 || v < 1 || v > 9 || ts > local || ts <= local-10000 || ltz != noon.UnixMilli() {
			t.Fatalf("row %d: %d %v %q %q %d %d", i, n, f, b.Col(2).Str(i), b.Col(3).Str(i), ts, ltz)
		}
	}
	if len(seen) != 7 {
		t.Errorf("values %v, want all of -3 to 3", seen)
	}
}

func TestRateFollowsTheClock(t *testing.T) {
	spec := table(vec.NewSchema(vec.Field{Name: "b", Type: vec.TypeBool}), "rows-per-second", "10")
	s, clock := open(t, spec, splitsOf(t, spec, 1))
	b := vec.NewBatch(spec.Schema)
	poll := func() int {
		b.Reset()
		if _, err := s.Poll(t.Context(), b, time.Microsecond); err != nil {
			t.Fatal(err)
		}
		return b.Rows()
	}
	got := []int{poll(), poll()}
	clock.now = clock.now.Add(2 * time.Second)
	if got = append(got, poll(), poll()); !slices.Equal(got, []int{1, 0, 20, 0}) {
		t.Fatalf("rows of each poll: %v, want [1 0 20 0]", got)
	}
}

func TestBadOptionsAreRefused(t *testing.T) {
	schema := vec.NewSchema(vec.Field{Name: "n", Type: vec.TypeInt8}, vec.Field{Name: "b", Type: vec.TypeBool})
	for _, c := range [][]string{
		{"option 'fields.m.kind' fits no column", "fields.m.kind", "random"},
		{"'fields.n.start' and 'fields.n.end'", "fields.n.kind", "sequence"},
		{"'fields.n.end' = '300'", "fields.n.kind", "sequence", "fields.n.start", "1", "fields.n.end", "300"},
		{"hold no sequence", "fields.n.kind", "sequence", "fields.n.start", "2", "fields.n.end", "1"},
		{"only numbers and strings", "fields.b.kind", "sequence", "fields.b.start", "1", "fields.b.end", "2"},
		{"'fields.n.min' = '-200'", "fields.n.min", "-200"},
		{"'fields.n.null-rate' = '2'", "fields.n.null-rate", "2"},
		{"'fields.n.kind' = 'gauss'", "fields.n.kind", "gauss"},
		{"fits no column", "fields.b.length", "3"},
		{"'number-of-rows' = 'x'", "number-of-rows", "x"},
	} {
		if err := Connector().Check(table(schema, c[1:]...), false); err == nil || !strings.Contains(err.Error(), c[0]) {
			t.Errorf("error is %v, want something with %s", err, c[0])
		}
	}
}

func BenchmarkSource(b *testing.B) {
	spec := table(vec.NewSchema(vec.Field{Name: "id", Type: vec.TypeInt64}, vec.Field{Name: "price", Type: vec.TypeFloat64}, vec.Field{Name: "ts", Type: vec.TypeTimestamp}))
	s, _ := open(b, spec, splitsOf(b, spec, 1))
	batch := vec.NewBatch(spec.Schema)
	rows := 0
	b.ReportAllocs()
	for b.Loop() {
		batch.Reset()
		if _, err := s.Poll(b.Context(), batch, 0); err != nil {
			b.Fatal(err)
		}
		rows += batch.Rows()
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}
