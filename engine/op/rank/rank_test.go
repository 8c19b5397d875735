package rank

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/op/optest"
	"github.com/bramble-stream/bramble/engine/vec"
)

var (
	in       = optest.Schema("k STRING, v BIGINT, n STRING, t TIMESTAMP")
	numbered = optest.Schema("k STRING, v BIGINT, n STRING, t TIMESTAMP, rn BIGINT")
)

func outOf(spec graph.RankSpec) *vec.Schema {
	if spec.Number {
		return numbered
	}
	return in
}

func newOf(spec graph.RankSpec) func() (op.Operator, error) {
	spec.Keys, spec.KeyTypes = []int{0}, []vec.Type{vec.TypeString}
	if spec.Order == nil {
		spec.Order = []graph.RankKey{{Col: 1, Desc: true}}
	}
	if spec.Window {
		spec.Keys, spec.KeyTypes, spec.EndCol = []int{0, 3}, []vec.Type{vec.TypeString, vec.TypeTimestamp}, 3
	}
	return func() (op.Operator, error) { return New(spec, in, outOf(spec)) }
}

func run(t *testing.T, name string, spec graph.RankSpec, configs []optest.Config, script, want string, late int64) {
	t.Helper()
	keys := []int{0}
	if spec.Window {
		keys = []int{0, 3}
	}
	c := optest.Case{Name: name, New: newOf(spec), In: in, Out: outOf(spec), Script: script, Want: want, Keys: keys, Late: late, Configs: configs}
	if !spec.Window {
		c.Compare = optest.Rows
	}
	optest.Run(t, c)
}

// single are the configs in which each row is a batch, so that all changes are seen.
func single() []optest.Config {
	return slices.DeleteFunc(optest.Configs(), func(c optest.Config) bool { return c.Batch != 1 })
}

const topScript = `
	a, 5, x, 0
	a, 7, y, 0
	barrier
	a, 6, z, 0
	a, 1, w, 0
	b, NULL, q, 0
	b, 3, r, 0
	end`

func TestNumbered(t *testing.T) {
	run(t, "top 2", graph.RankSpec{Limit: 2, Number: true, EmitUpdateBefore: true}, single(), topScript, `
		a, 5, x, 0, 1
		-U a, 5, x, 0, 1
		+U a, 7, y, 0, 1
		a, 5, x, 0, 2
		-U a, 5, x, 0, 2
		+U a, 6, z, 0, 2
		b, NULL, q, 0, 1
		b, 3, r, 0, 2`, 0)
}

func TestPlain(t *testing.T) {
	run(t, "top 2", graph.RankSpec{Limit: 2}, single(), topScript, `
		a, 5, x, 0
		a, 7, y, 0
		-D a, 5, x, 0
		a, 6, z, 0
		b, NULL, q, 0
		b, 3, r, 0`, 0)
}

func TestLast(t *testing.T) {
	spec := graph.RankSpec{Limit: 1, LastFirst: true, Order: []graph.RankKey{{Col: 3, Desc: true}}}
	run(t, "last", spec, single(), `
		a, 1, x, 10
		a, 2, y, 10
		barrier
		a, 3, z, 9
		end`, `
		a, 1, x, 10
		+U a, 2, y, 10`, 0)
}

func TestRetracting(t *testing.T) {
	run(t, "retract", graph.RankSpec{Limit: 2, Offset: 1, InputRetracts: true, EmitUpdateBefore: true}, single(), `
		a, 5, x, 0
		a, 7, y, 0
		barrier
		a, 6, z, 0
		-D a, 7, y, 0
		-D a, 9, never, 0
		-U a, 6, z, 0
		+U a, 8, z, 0
		-D a, 8, z, 0
		end`, `
		a, 5, x, 0
		-U a, 5, x, 0
		+U a, 6, z, 0
		-U a, 6, z, 0
		+U a, 5, x, 0
		-D a, 5, x, 0
		a, 5, x, 0
		-D a, 5, x, 0`, 0)
}

func TestWindow(t *testing.T) {
	run(t, "window", graph.RankSpec{Limit: 2, Window: true, Number: true}, nil, `
		a, 5, x, 100
		a, 7, y, 100
		a, 9, y, 200
		barrier
		a, 6, z, 100
		b, 1, w, 100
		wm 98
		b, 2, v, 100
		wm 99
		a, 9, late, 100
		barrier
		a, 8, u, 200
		end`, `
		wm 98
		a, 7, y, 100, 1
		a, 6, z, 100, 2
		b, 2, v, 100, 1
		b, 1, w, 100, 2
		wm 99
		a, 9, y, 200, 1
		a, 8, u, 200, 2
		wm max`, 1)
}

// row is a row of the model, with its place of arrival.
type row struct {
	k    string
	v    int
	n    string
	t, i int
}

func (r row) String() string { return fmt.Sprintf("%s, %d, %s, %d", r.k, r.v, r.n, r.t) }

func TestAgainstModel(t *testing.T) {
	for i, cfg := range optest.Configs() {
		spec := graph.RankSpec{
			Limit: int64(1 + i%4), Number: i%2 == 0, EmitUpdateBefore: true, InputRetracts: i%3 == 0, LastFirst: i%5 == 0,
			Order: []graph.RankKey{{Col: 1, Desc: i%2 == 1}, {Col: 2, Desc: i%7 == 3}},
		}
		if spec.Limit > 1 {
			spec.Offset = int64(i % 2)
		}
		rng := rand.New(rand.NewPCG(uint64(i), 3))
		var events []optest.Event
		var rows []row
		for at := range 150 {
			if spec.InputRetracts && len(rows) > 0 && rng.IntN(3) == 0 {
				// the first of equal ones goes
				r := rows[rng.IntN(len(rows))]
				j := slices.IndexFunc(rows, func(o row) bool { return o.String() == r.String() })
				rows = slices.Delete(rows, j, j+1)
				events = append(events, optest.Row("-D %s", r))
				continue
			}
			r := row{k: string(rune('a' + rng.IntN(4))), v: rng.IntN(12), n: fmt.Sprint("n", rng.IntN(3)), t: rng.IntN(2), i: at}
			rows = append(rows, r)
			events = append(events, optest.Row("%s", r))
			if at%23 == 22 {
				events = append(events, optest.Event{Kind: optest.BarrierEvent})
			}
		}
		events = append(events, optest.Event{Kind: optest.EndEvent})
		res, err := optest.Execute(t, optest.Case{Name: "model", New: newOf(spec), In: in, Out: outOf(spec), Events: events, Keys: []int{0}}, cfg)
		if err != nil {
			t.Fatalf("%d [%s]: %v", i, cfg, err)
		}
		if want, got := model(spec, rows), net(res.RowsOf()); !slices.Equal(want, got) {
			t.Fatalf("%d %+v [%s]:\n%s\nwant\n%s", i, spec, cfg, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func model(spec graph.RankSpec, rows []row) []string {
	parts := map[string][]row{}
	for _, r := range rows {
		parts[r.k] = append(parts[r.k], r)
	}
	var out []string
	for _, p := range parts {
		slices.SortFunc(p, func(a, b row) int {
			v, n, i := cmp.Compare(a.v, b.v), cmp.Compare(a.n, b.n), cmp.Compare(a.i, b.i)
			if spec.Order[0].Desc {
				v = -v
			}
			if spec.Order[1].Desc {
				n = -n
			}
			if spec.LastFirst {
				i = -i
			}
			return cmp.Or(v, n, i)
		})
		for i, r := range p {
			if int64(i) < spec.Offset || int64(i) >= spec.Limit {
				continue
			}
			if s := r.String(); spec.Number {
				out = append(out, fmt.Sprintf("%s, %d", s, i+1))
			} else {
				out = append(out, s)
			}
		}
	}
	slices.Sort(out)
	return out
}

// net is what changes amount to.
func net(log []string) []string {
	count := map[string]int{}
	for _, l := range log {
		n := 1
		for _, k := range []string{"-U ", "-D "} {
			if rest, ok := strings.CutPrefix(l, k); ok {
				l, n = rest, -1
			}
		}
		count[strings.TrimPrefix(l, "+U ")] += n
	}
	var out []string
	for l, n := range count {
		for range n {
			out = append(out, l)
		}
		if n < 0 {
			out = append(out, fmt.Sprintf("%s taken back %d times too often", l, -n))
		}
	}
	slices.Sort(out)
	return out
}
