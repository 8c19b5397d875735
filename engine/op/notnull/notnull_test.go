package notnull_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/op/notnull"
	"github.com/bramble-stream/bramble/engine/vec"
)

// kept remembers the first column of what is written.
type kept struct {
	op.Sink
	rows  []int64
	kinds []vec.RowKind
}

func (k *kept) Open(*op.Context) error { return nil }

func (k *kept) Write(_ context.Context, b *vec.Batch) error {
	for i := range b.Rows() {
		if sel := b.Sel(); sel == nil || slices.Contains(sel, i) {
			k.rows = append(k.rows, vec.Values[int64](b.Col(0))[i])
			k.kinds = append(k.kinds, b.Kind(i))
		}
	}
	return nil
}

func batch(s *vec.Schema, sel []int) *vec.Batch {
	b := vec.NewBatch(s)
	for i := range int64(4) {
		vec.AppendValue(b.Col(0), i)
		if i == 2 {
			b.Col(1).AppendNull()
		} else {
			b.Col(1).AppendString("x")
		}
	}
	b.SetRows(4)
	b.SetKinds([]vec.RowKind{vec.Insert, vec.Insert, vec.Insert, vec.Delete})
	if sel != nil {
		b.SetSel(sel)
	}
	return b
}

func TestNotNull(t *testing.T) {
	schema := vec.NewSchema(vec.Field{Name: "n", Type: vec.TypeInt64}, vec.Field{Name: "s", Type: vec.TypeString})
	spec := graph.SinkSpec{Table: graph.TableSpec{Name: "out", Schema: schema}, NotNull: []int{1}, Line: 3, Column: 9}
	open := func(drop bool) (op.Sink, *kept, *op.Context) {
		k := &kept{}
		spec.DropNulls = drop
		s, err := notnull.New(k, spec)
		if err != nil {
			t.Fatal(err)
		}
		ctx := &op.Context{Metrics: &op.Metrics{}, Log: slog.New(slog.DiscardHandler)}
		if err := s.Open(ctx); err != nil {
			t.Fatal(err)
		}
		return s, k, ctx
	}
	for _, c := range []struct {
		sel, want []int
		dropped   int64
	}{
		{nil, []int{0, 1, 3}, 1}, {[]int{0, 3}, []int{0, 3}, 0}, {[]int{2}, nil, 1}, {[]int{1, 2}, []int{1}, 1},
	} {
		s, k, ctx := open(true)
		if err := s.Write(t.Context(), batch(schema, c.sel)); err != nil {
			t.Fatal(err)
		}
		var got []int
		for i, r := range k.rows {
			got = append(got, int(r))
			if (k.kinds[i] == vec.Delete) != (r == 3) {
				t.Errorf("row %d is of kind %v", r, k.kinds[i])
			}
		}
		if !slices.Equal(got, c.want) || ctx.Metrics.Bad.Load() != c.dropped {
			t.Errorf("of %v are written %v, %d dropped", c.sel, got, ctx.Metrics.Bad.Load())
		}
		s, k, _ = open(false)
		err := s.Write(t.Context(), batch(schema, c.sel))
		if (err != nil) != (c.dropped > 0) || err == nil && len(k.rows) != len(c.want) {
			t.Errorf("of %v: %v", c.sel, err)
		}
		if err != nil && (!strings.Contains(err.Error(), `column "s" of table "out" is NOT NULL`) || !strings.Contains(err.Error(), "INSERT at 3:9")) {
			t.Error(err)
		}
	}
	spec.NotNull = []int{2}
	if _, err := notnull.New(&kept{}, spec); err == nil {
		t.Error("a column that is not there")
	}
	spec.NotNull = nil
	if s, err := notnull.New(&kept{}, spec); err != nil {
		t.Error(err)
	} else if _, same := s.(*kept); !same {
		t.Error("wrapped for nothing")
	}
}
