package collect

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/vec"
)

// sent is a Stream that keeps what it is given.
type sent struct {
	rows   []string
	kinds  [][]byte
	closed bool
}

func (s *sent) Send(rows, kinds []byte) error {
	s.rows, s.kinds = append(s.rows, string(rows)), append(s.kinds, slices.Clone(kinds))
	return nil
}

func (s *sent) Close() error { s.closed = true; return nil }

func opened(t *testing.T, s *sent) op.Sink {
	t.Helper()
	c := Connector(func(_ context.Context, job string) (Stream, error) {
		if job != "j" {
			t.Errorf("opened for job %q", job)
		}
		return s, nil
	})
	k, err := c.NewSink(&graph.TableSpec{})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Open(&op.Context{Ctx: t.Context(), Task: op.TaskInfo{JobID: "j"}, Metrics: &op.Metrics{}}); err != nil {
		t.Fatal(err)
	}
	return k
}

func batch(n int) *vec.Batch {
	b := vec.NewBatch(vec.NewSchema(vec.Field{Name: "n", Type: vec.TypeInt64}, vec.Field{Name: "s", Type: vec.TypeString}))
	for i := range n {
		vec.AppendValue(b.Col(0), int64(i))
		if i == 0 {
			b.Col(1).AppendNull()
		} else {
			b.Col(1).AppendString("a\"b")
		}
	}
	b.SetRows(n)
	return b
}

func TestRowsAreJSON(t *testing.T) {
	var s sent
	k := opened(t, &s)
	b := batch(3)
	if err := errors.Join(k.Write(t.Context(), b), k.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	b.SetSel([]int{1, 2})
	copy(b.EnsureKinds(3), []vec.RowKind{vec.Insert, vec.UpdateBefore, vec.Delete})
	if err := errors.Join(k.Write(t.Context(), b), k.Close()); err != nil {
		t.Fatal(err)
	}
	want := []string{`[[0,null],[1,"a\"b"],[2,"a\"b"]]`, `[[1,"a\"b"],[2,"a\"b"]]`}
	if !slices.Equal(s.rows, want) || len(s.kinds[0]) != 0 || !slices.Equal(s.kinds[1], []byte{1, 3}) || !s.closed {
		t.Errorf("got %q %v closed %t\nwant %q", s.rows, s.kinds, s.closed, want)
	}
}

func TestMessagesAreSmall(t *testing.T) {
	var s sent
	k := opened(t, &s)
	if err := k.Write(t.Context(), batch(vec.MaxRows)); err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, m := range s.rows {
		var rows [][]any
		if err := json.Unmarshal([]byte(m), &rows); err != nil || len(rows) > sendRows {
			t.Fatalf("a message of %d rows: %v", len(rows), err)
		}
		total += len(rows)
	}
	if total != vec.MaxRows {
		t.Errorf("%d rows, want %d", total, vec.MaxRows)
	}
}

func TestPlanningOnly(t *testing.T) {
	if _, err := Connector(nil).NewSink(&graph.TableSpec{}); err == nil {
		t.Error("a sink that leads nowhere")
	}
}
