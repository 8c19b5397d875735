package print

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/vec"
)

func open(t *testing.T, c *op.Connector, index, parallelism int, options ...string) op.Sink {
	t.Helper()
	spec := &graph.TableSpec{Name: "out", Options: map[string]string{}}
	for i := 0; i < len(options); i += 2 {
		spec.Options[options[i]] = options[i+1]
	}
	s, err := c.NewSink(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Open(&op.Context{Metrics: &op.Metrics{}, Task: op.TaskInfo{Index: index, Parallelism: parallelism}}); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRowsLookAsInFlink(t *testing.T) {
	schema := vec.NewSchema(vec.Field{Name: "s", Type: vec.TypeString}, vec.Field{Name: "i", Type: vec.TypeInt32}, vec.Field{Name: "d", Type: vec.TypeFloat64},
		vec.Field{Name: "m", Type: vec.DecimalOf(5, 2)}, vec.Field{Name: "b", Type: vec.TypeBytes}, vec.Field{Name: "day", Type: vec.TypeDate}, vec.Field{Name: "t", Type: vec.TypeTime},
		vec.Field{Name: "ts", Type: vec.TypeTimestamp}, vec.Field{Name: "z", Type: vec.TypeTimestampLTZ},
		vec.Field{Name: "r", Type: vec.RowOf(vec.Field{Name: "x", Type: vec.TypeBool})}, vec.Field{Name: "l", Type: vec.ArrayOf(vec.TypeInt8)}, vec.Field{Name: "k", Type: vec.MapOf(vec.TypeString, vec.TypeInt64)})
	b := vec.NewBatch(schema)
	for range 3 {
		b.Col(0).AppendString("a")
		vec.AppendValue(b.Col(1), int32(1))
		vec.AppendValue(b.Col(2), 21.0)
		vec.AppendValue(b.Col(3), vec.Num{})
		b.Col(4).AppendBytes([]byte{1, 255})
		vec.AppendValue(b.Col(5), int32(0))
		vec.AppendValue(b.Col(6), int32(10*3600*1000+1500))
		vec.AppendValue(b.Col(7), int64(1577836800000))
		vec.AppendValue(b.Col(8), int64(-1000))
		b.Col(9).Kid(0).AppendBool(true)
		b.Col(9).EndRow()
		vec.AppendValue(b.Col(10).Kid(0), int8(1))
		b.Col(10).Kid(0).AppendNull()
		b.Col(10).EndList()
		b.Col(11).Kid(0).AppendString("k")
		vec.AppendValue(b.Col(11).Kid(1), int64(2))
		b.Col(11).EndList()
	}
	b.SetRows(3)
	b.SetKinds([]vec.RowKind{vec.Insert, vec.Delete, vec.UpdateAfter})
	b.Col(0).SetNull(2)
	b.SetSel([]int{0, 2})
	const rest = "1, 21.0, 0.00, [1, -1], 1970-01-01, 10:00:01.500, 2020-01-01T00:00, 1969-12-31T23:59:59Z, +I[true], [1, null], {k=2}]\n"
	for _, c := range []struct {
		prefix             string
		index, parallelism int
		options            []string
	}{
		{"", 0, 1, nil},
		{"2> ", 1, 2, nil},
		{"id> ", 0, 1, []string{"print-identifier", "id"}},
		{"id:3> ", 2, 3, []string{"print-identifier", "id", "standard-error", "true"}},
	} {
		var out bytes.Buffer
		s := open(t, ConnectorTo(&out), c.index, c.parallelism, c.options...)
		if err := s.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if want := c.prefix + "+I[a, " + rest + c.prefix + "+U[null, " + rest; out.String() != want {
			t.Errorf("printed\n%swanted\n%s", out.String(), want)
		}
	}
}

// pieces takes a Write byte by byte, so that lines would mix if two came at a time.
type pieces struct{ bytes.Buffer }

func (w *pieces) Write(p []byte) (int, error) {
	for _, c := range p {
		w.WriteByte(c)
	}
	return len(p), nil
}

func TestLinesOfTasksDoNotMix(t *testing.T) {
	schema := vec.NewSchema(vec.Field{Name: "s", Type: vec.TypeString})
	var out pieces
	c := ConnectorTo(&out)
	var wg sync.WaitGroup
	for task := range 4 {
		s := open(t, c, task, 4)
		wg.Go(func() {
			b := vec.NewBatch(schema)
			for range 1000 {
				b.Col(0).AppendString(strings.Repeat(fmt.Sprint(task+1), 100))
			}
			b.SetRows(1000)
			if err := s.Write(t.Context(), b); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	lines := strings.Split(strings.TrimRight(out.String(), "\n"), "\n")
	if len(lines) != 4000 {
		t.Fatalf("%d lines", len(lines))
	}
	for _, l := range lines {
		if want := l[:1] + "> +I[" + strings.Repeat(l[:1], 100) + "]"; l != want {
			t.Fatalf("line %s", l)
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestAFailedWriteIsReported(t *testing.T) {
	b := vec.NewBatch(vec.NewSchema(vec.Field{Name: "s", Type: vec.TypeString}))
	b.Col(0).AppendString("x")
	b.SetRows(1)
	if err := open(t, ConnectorTo(broken{}), 0, 1).Write(t.Context(), b); err == nil {
		t.Fatal("no error")
	}
}
