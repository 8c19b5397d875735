package optest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// faulty passes rows on, with the fault that a test gives it.
type faulty struct {
	process func(b *vec.Batch, out op.Output) error
	wm      func(wm stream.Time, out op.Output) error
}

func (f *faulty) Open(*op.Context) error                           { return nil }
func (f *faulty) Process(_ int, b *vec.Batch, out op.Output) error { return f.process(b, out) }
func (f *faulty) OnWatermark(wm stream.Time, out op.Output) error  { return f.wm(wm, out) }
func (f *faulty) Close() error                                     { return nil }

// recorder takes the harness's complaints.
type recorder struct{ lines []string }

func (r *recorder) Helper() {}
func (r *recorder) Errorf(format string, args ...any) {
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

const selfScript = `
	a, 1
	b, NULL
	wm 5
	'x, y', 3
	wm 6
	end`

var selfSchema = Schema("s STRING, n BIGINT")

// outcome runs a faulty operator in all configs and returns what the harness found.
func outcome(t *testing.T, build func() *faulty) string {
	t.Helper()
	var rec recorder
	c := Case{
		Name: "self", In: selfSchema, Out: selfSchema, Script: selfScript,
		New:  func() (op.Operator, error) { return build(), nil },
		Want: "a, 1\nb, NULL\nwm 5\n'x, y', 3\nwm 6\nwm max",
	}
	for _, cfg := range Configs() {
		res, err := Execute(&rec, c, cfg)
		if err != nil {
			rec.Errorf("%v", err)
			continue
		}
		if diff := c.compare(res); diff != "" {
			rec.Errorf("%s", diff)
		}
	}
	return strings.Join(rec.lines, "\n")
}

func forward(wm stream.Time, out op.Output) error { return out.EmitWatermark(wm) }

func TestGoodOperator(t *testing.T) {
	if got := outcome(t, func() *faulty {
		return &faulty{process: func(b *vec.Batch, out op.Output) error { return out.Emit(b) }, wm: forward}
	}); got != "" {
		t.Errorf("complaints about an operator that does all right:\n%s", got)
	}
}

// faults are operators that do wrong, with what the harness must say.
var faults = []struct {
	name, want string
	make       func() *faulty
}{
	{"modifies its input", "changed its input", func() *faulty {
		return &faulty{wm: forward, process: func(b *vec.Batch, out op.Output) error {
			err := out.Emit(b)
			vec.Values[int64](b.Col(1))[0] = 7
			b.Col(1).EnsureValid().Set(0)
			return err
		}}
	}},
	{"keeps a lent batch", "output", func() *faulty {
		f := &faulty{process: func(*vec.Batch, op.Output) error { return nil }}
		var kept []*vec.Batch
		f.process = func(b *vec.Batch, _ op.Output) error { kept = append(kept, b); return nil }
		f.wm = func(wm stream.Time, out op.Output) error {
			for _, b := range kept {
				if b.Len() > 0 {
					if err := out.Emit(b); err != nil {
						return err
					}
				}
			}
			kept = nil
			return out.EmitWatermark(wm)
		}
		return f
	}},
	{"looks at unselected rows", "output", func() *faulty {
		return &faulty{wm: forward, process: func(b *vec.Batch, out op.Output) error {
			return out.Emit(vec.NewBatchOf(b.Schema(), b.Rows(), b.Cols()...))
		}}
	}},
	{"emits empty batches", "empty batch", func() *faulty {
		return &faulty{wm: forward, process: func(b *vec.Batch, out op.Output) error {
			if err := out.Emit(b); err != nil {
				return err
			}
			return out.Emit(vec.NewBatch(b.Schema()))
		}}
	}},
	{"goes back in time", "emitted watermark 3 after 5", func() *faulty {
		return &faulty{
			process: func(b *vec.Batch, out op.Output) error { return out.Emit(b) },
			wm: func(wm stream.Time, out op.Output) error {
				if err := out.EmitWatermark(wm); err != nil || wm != 5 {
					return err
				}
				return out.EmitWatermark(3)
			},
		}
	}},
	{"loses what a restore does not bring back", "output", func() *faulty {
		var kept *vec.Batch
		return &faulty{
			process: func(b *vec.Batch, _ op.Output) error {
				if kept == nil {
					kept = vec.NewBatch(b.Schema())
				}
				kept.AppendBatch(b)
				return nil
			},
			wm: func(wm stream.Time, out op.Output) error {
				if kept != nil {
					if err := out.Emit(kept); err != nil {
						return err
					}
					kept = nil
				}
				return out.EmitWatermark(wm)
			},
		}
	}},
}

func TestFaultsAreFound(t *testing.T) {
	for _, c := range faults {
		if got := outcome(t, c.make); !strings.Contains(got, c.want) {
			t.Errorf("%s: found %q, want %q", c.name, got, c.want)
		}
	}
}

func TestRowsInAndOut(t *testing.T) {
	s := Schema("a BOOLEAN, b TINYINT, c SMALLINT, d INT, e BIGINT, f FLOAT, g DOUBLE, h STRING, i BYTES, j DATE, k TIMESTAMP, l DECIMAL:10:2")
	rows := []string{
		"true, 1, 2, 3, 4, 1.5, 2.5, text, aGk=, 7, 8, 12.30",
		"+U false, -1, -2, -3, -4, -1.5, NULL, 'a, b', , 0, -8, -0.05",
		"-D NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL",
	}
	if got := FormatBatch(Batch(s, rows...)); !slices.Equal(got, rows) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(rows, "\n"))
	}
	for _, bad := range []string{"1", "x, 1, 2", "maybe, 1"} {
		if err := AppendRow(vec.NewBatch(Schema("a BOOLEAN, b TINYINT")), bad); err == nil {
			t.Errorf("row %q: no error", bad)
		}
	}
}
