package plan

import (
	"fmt"
	"strings"

	"github.com/zeebo/xxh3"

	"github.com/bramble-stream/bramble/engine/expr"
)

// identities gives operators their stable ids. An id follows from what an operator computes: from table and column names, expressions and the
// ids of stateful operators below, not from positions in the script, from the order of columns or from what others read of the same source.
// So an operator's state is found again after an edit that does not concern it.
type identities struct {
	bases   map[*rel]string
	columns map[*rel][]string
	ids     map[*rel]string
	used    map[string]bool
}

func newIdentities() *identities {
	return &identities{bases: map[*rel]string{}, columns: map[*rel][]string{}, ids: map[*rel]string{}, used: map[string]bool{}}
}

// digest is 16 hex digits.
func digest(parts ...string) string {
	return fmt.Sprintf("%016x", xxh3.HashString(strings.Join(parts, "\x00")))
}

// unique returns id, or another that follows from it when an equal operator has it: the order in the script decides.
func (d *identities) unique(id string) string {
	for n := 1; d.used[id]; n++ {
		id = digest(id, fmt.Sprint(n))
	}
	d.used[id] = true
	return id
}

// id is the identity of an operator, before unique.
func (d *identities) id(r *rel) string {
	if id, ok := d.ids[r]; ok {
		return id
	}
	parts := []string{fmt.Sprint("op", r.kind)}
	switch r.kind {
	case relScan:
		parts = append(parts, r.scan.table.name, r.scan.table.connector.Name)
	case relValues:
		for _, row := range r.rows {
			for _, e := range row {
				parts = append(parts, exprKey(e))
			}
			parts = append(parts, ";")
		}
	case relSink:
		parts = append(parts, r.sink.name, r.sink.spec.Connector, d.base(r.ins[0]))
	case relWindow, relGroup, relAssign:
		in := r.ins[0]
		parts = append(parts, d.base(in), d.windowing(r))
		for _, k := range r.keys {
			parts = append(parts, d.column(in, k))
		}
		for i := range r.aggs {
			parts = append(parts, d.aggregate(r, i))
		}
	case relJoin:
		parts = append(parts, d.join(r)...)
	case relRank:
		parts = append(parts, d.rank(r)...)
	case relCalc, relWatermark, relUnion:
		parts = append(parts, d.base(r))
		for i := range r.cols {
			parts = append(parts, d.column(r, i))
		}
	}
	id := digest(parts...)
	d.ids[r] = id
	return id
}

// join identifies a join with all columns of its inputs: its state holds them.
func (d *identities) join(r *rel) []string {
	j := r.join
	parts := []string{string(j.typ), string(j.mode), fmt.Sprint(j.time, j.lower, j.upper, j.ltz, j.keys)}
	var both []string
	for _, in := range r.ins {
		parts = append(parts, "input", d.base(in))
		for i, c := range in.cols {
			both = append(both, d.column(in, i))
			parts = append(parts, both[len(both)-1], c.typ.Nullable().String())
		}
	}
	if j.cond != nil {
		parts = append(parts, "on", d.exprOver(j.cond, func(i int) string { return fmt.Sprint(i) + both[i] }))
	}
	return parts
}

// rank identifies a rank with all columns of its input: its state holds them.
func (d *identities) rank(r *rel) []string {
	in, s := r.ins[0], r.rank
	parts := []string{d.base(in), fmt.Sprint(s.offset, s.limit, s.window, s.endCol, s.ltz, updating(in))}
	for i, c := range in.cols {
		parts = append(parts, d.column(in, i), c.typ.Nullable().String())
	}
	for _, k := range r.keys {
		parts = append(parts, "key", d.column(in, k))
	}
	for _, o := range s.order {
		parts = append(parts, "order", d.column(in, o.Col), fmt.Sprint(o.Desc, o.NullsLast))
	}
	return parts
}

func (d *identities) windowing(r *rel) string {
	w := r.windows
	if w == nil {
		return ""
	}
	s := fmt.Sprint(w.Kind, w.SizeMS, w.SlideMS, w.GapMS, w.OffsetMS, w.LTZ, w.proc)
	switch {
	case w.Kind == "ATTACHED":
		s += d.column(r.ins[0], w.StartCol) + d.column(r.ins[0], w.EndCol)
	case !w.proc:
		s += d.column(r.ins[0], w.TimeCol)
	}
	return s
}

func (d *identities) aggregate(r *rel, i int) string {
	a := r.aggs[i]
	parts := []string{a.Func, fmt.Sprint(a.Distinct), a.Separator, a.Type.String()}
	for _, c := range a.Args {
		parts = append(parts, d.column(r.ins[0], c))
	}
	if a.Filter >= 0 {
		parts = append(parts, "filter", d.column(r.ins[0], a.Filter))
	}
	return digest(parts...)
}

// base identifies the rows of r, whatever columns they have: the operator below that makes rows, and the filters since.
func (d *identities) base(r *rel) string {
	if b, ok := d.bases[r]; ok {
		return b
	}
	var b string
	switch r.kind {
	case relCalc:
		b = d.base(r.ins[0])
		if r.filter != nil {
			b = digest("filter", b, d.expr(r.ins[0], r.filter))
		}
	case relWatermark:
		b = d.base(r.ins[0])
	case relUnion:
		parts := []string{"union"}
		for _, in := range r.ins {
			parts = append(parts, d.base(in))
		}
		b = digest(parts...)
	case relScan, relValues, relAssign, relWindow, relGroup, relSink, relJoin, relRank:
		b = d.id(r)
	}
	d.bases[r] = b
	return b
}

// column identifies what column i of r holds.
func (d *identities) column(r *rel, i int) string {
	cols := d.columns[r]
	if cols == nil {
		cols = make([]string, len(r.cols))
		d.columns[r] = cols
	}
	if cols[i] == "" {
		cols[i] = d.columnOf(r, i)
	}
	return cols[i]
}

func (d *identities) columnOf(r *rel, i int) string {
	switch r.kind {
	case relScan:
		return digest("scan", r.scan.table.name, r.cols[i].name)
	case relValues:
		return digest("values", d.id(r), fmt.Sprint(i))
	case relCalc:
		if r.exprs == nil {
			return d.column(r.ins[0], i)
		}
		return d.expr(r.ins[0], r.exprs[i])
	case relWatermark:
		return d.column(r.ins[0], i)
	case relUnion:
		parts := []string{"union"}
		for _, in := range r.ins {
			parts = append(parts, d.column(in, i))
		}
		return digest(parts...)
	case relAssign:
		if i < len(r.ins[0].cols) {
			return d.column(r.ins[0], i)
		}
		return digest(d.id(r), r.cols[i].role.String())
	case relWindow, relGroup:
		switch {
		case i < len(r.keys):
			return d.column(r.ins[0], r.keys[i])
		case i < len(r.keys)+len(r.aggs):
			return digest(d.id(r), d.aggregate(r, i-len(r.keys)))
		}
		return digest(d.id(r), r.cols[i].role.String())
	case relJoin:
		side, col := 0, r.join.pick[i]
		if n := len(r.ins[0].cols); col >= n {
			side, col = 1, col-n
		}
		return digest("join", d.id(r), fmt.Sprint(side), d.column(r.ins[side], col))
	case relRank:
		if i < len(r.ins[0].cols) {
			return d.column(r.ins[0], i)
		}
		return digest("rank", d.id(r))
	case relSink:
	}
	return ""
}

// String names the role.
func (w winRole) String() string { return [...]string{"", "start", "end", "time"}[w&3] }

func (d *identities) expr(in *rel, e *expr.Expr) string {
	return d.exprOver(e, func(i int) string { return d.column(in, i) })
}

func (d *identities) exprOver(e *expr.Expr, column func(int) string) string {
	switch e.Op {
	case expr.OpCol:
		return column(e.Col)
	case expr.OpLit:
		return digest("lit", exprKey(e))
	default:
		parts := []string{e.Func, e.Type.String()}
		for _, a := range e.Args {
			parts = append(parts, d.exprOver(a, column))
		}
		return digest(parts...)
	}
}
