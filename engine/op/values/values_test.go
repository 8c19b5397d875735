package values

import (
	"fmt"
	"slices"
	"testing"

	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/op/optest"
	"github.com/bramble-stream/bramble/engine/vec"
)

func open(t *testing.T, spec graph.ValuesSpec, out *vec.Schema, splits []op.Split) op.Source {
	t.Helper()
	s, err := New(spec, out)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Open(&op.Context{Clock: &optest.FakeClock{MS: 5}}, splits); err != nil {
		t.Fatal(err)
	}
	return s
}

// drain polls to the end.
func drain(t *testing.T, s op.Source, out *vec.Schema) (rows []string, polls int) {
	t.Helper()
	for {
		b := vec.NewBatch(out)
		p, err := s.Poll(t.Context(), b, 0)
		if err != nil {
			t.Fatal(err)
		}
		if b.Rows() > vec.MaxRows {
			t.Fatalf("%d rows in a batch", b.Rows())
		}
		rows = append(rows, optest.FormatBatch(b)...)
		polls++
		if p.Status == op.End {
			return rows, polls
		}
	}
}

func TestRows(t *testing.T) {
	out := optest.Schema("id INT, s STRING")
	spec := graph.ValuesSpec{Rows: [][]*expr.Expr{
		{expr.Int(1), expr.Lit(vec.TypeString, "a")},
		{expr.NullOf(vec.TypeInt32), expr.NullOf(vec.TypeString)},
		{expr.Int(3), expr.Lit(vec.TypeString, "b, c")},
	}}
	s := open(t, spec, out, Splits())
	rows, _ := drain(t, s, out)
	if want := []string{"1, a", "NULL, NULL", "3, 'b, c'"}; !slices.Equal(rows, want) {
		t.Errorf("%q, want %q", rows, want)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestNoRowsAndNoColumns(t *testing.T) {
	out := vec.NewSchema()
	if rows, polls := drain(t, open(t, graph.ValuesSpec{}, out, nil), out); len(rows) != 0 || polls != 1 {
		t.Errorf("%d rows in %d polls", len(rows), polls)
	}
}

func TestManyRowsAndResume(t *testing.T) {
	out := optest.Schema("id INT")
	var spec graph.ValuesSpec
	for i := range 2500 {
		spec.Rows = append(spec.Rows, []*expr.Expr{expr.Int(int64(i))})
	}
	s := open(t, spec, out, Splits())
	b := vec.NewBatch(out)
	if _, err := s.Poll(t.Context(), b, 0); err != nil {
		t.Fatal(err)
	}
	splits, err := s.Snapshot(1)
	if err != nil {
		t.Fatal(err)
	}
	rows, polls := drain(t, open(t, spec, out, splits), out)
	if len(rows) != 2500-vec.MaxRows || rows[0] != fmt.Sprint(vec.MaxRows) || polls != 2 {
		t.Errorf("%d rows from %s in %d polls", len(rows), rows[0], polls)
	}
}

func TestRefuses(t *testing.T) {
	out := optest.Schema("id INT")
	if _, err := New(graph.ValuesSpec{Rows: [][]*expr.Expr{{}}}, out); err == nil {
		t.Error("a row without columns: no error")
	}
	s, err := New(graph.ValuesSpec{}, out)
	if err != nil {
		t.Fatal(err)
	}
	for _, splits := range [][]op.Split{{{}, {}}, {{Pos: []byte{9}}}, {{Pos: []byte{0x80}}}} {
		if err := s.Open(&op.Context{Clock: &optest.FakeClock{}}, splits); err == nil {
			t.Errorf("%v: no error", splits)
		}
	}
}
