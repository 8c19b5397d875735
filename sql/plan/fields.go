package plan

import (
	"slices"

	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/vec"
)

// fieldUse says what of a column is read: all of it, or some fields of a ROW.
type fieldUse struct {
	all bool
	sub map[string]*fieldUse
}

// add marks path; an empty path is all of the column.
func (u *fieldUse) add(path []string) {
	for _, name := range path {
		if u.sub == nil {
			u.sub = map[string]*fieldUse{}
		}
		if u.sub[name] == nil {
			u.sub[name] = &fieldUse{}
		}
		u = u.sub[name]
	}
	u.all = true
}

// merge adds what v reads.
func (u *fieldUse) merge(v *fieldUse) {
	u.all = u.all || v.all
	for name, s := range v.sub {
		if u.sub == nil {
			u.sub = map[string]*fieldUse{}
		}
		if u.sub[name] == nil {
			u.sub[name] = &fieldUse{}
		}
		u.sub[name].merge(s)
	}
}

// narrow is t with the fields that are read; one at least, since a ROW without fields could not be NULL.
func (u *fieldUse) narrow(t vec.Type) vec.Type {
	if u.all || t.Kind != vec.Row || len(t.Fields) == 0 {
		return t
	}
	var fields []vec.Field
	for _, f := range t.Fields {
		if s := u.sub[f.Name]; s != nil {
			fields = append(fields, vec.Field{Name: f.Name, Type: s.narrow(f.Type)})
		}
	}
	if fields == nil {
		fields = t.Fields[:1]
	}
	t.Fields = fields
	return t
}

// fieldUses are the uses of a rel's columns.
type fieldUses []fieldUse

// addExpr marks what e reads: fields where it takes a ROW apart, else whole columns.
func (u fieldUses) addExpr(e *expr.Expr) {
	if e == nil {
		return
	}
	var path []string
	x := e
	for x.Op == expr.OpCall && x.Func == "FIELD" {
		path = append(path, fieldName(x))
		x = x.Args[0]
	}
	if x.Op == expr.OpCol {
		slices.Reverse(path)
		u[x.Col].add(path)
		return
	}
	for _, a := range x.Args {
		u.addExpr(a)
	}
}

func (u fieldUses) addAll() {
	for i := range u {
		u[i].all = true
	}
}

// pass hands the uses of columns on to an input that has the same columns first.
func (u fieldUses) pass(to fieldUses) {
	for i := range to {
		to[i].merge(&u[i])
	}
}

// pruneFields leaves out the ROW fields that nobody reads, so that sources do not decode or make them.
func (p *planner) pruneFields() {
	order := p.order()
	uses := map[*rel]fieldUses{}
	for _, r := range order {
		uses[r] = make(fieldUses, len(r.cols))
	}
	for _, r := range slices.Backward(order) {
		requireFields(r, uses)
	}
	for _, r := range order {
		narrowRel(r, uses[r])
	}
}

func requireFields(r *rel, uses map[*rel]fieldUses) {
	out := uses[r]
	switch r.kind {
	case relCalc:
		in := uses[r.ins[0]]
		in.addExpr(r.filter)
		if r.exprs == nil {
			out.pass(in)
			return
		}
		for i, e := range r.exprs {
			if e.Op == expr.OpCol {
				in[e.Col].merge(&out[i])
			} else {
				in.addExpr(e)
			}
		}
	case relWatermark:
		in := uses[r.ins[0]]
		in.addExpr(r.wm.Expr)
		in[r.wm.TimeCol].all = true
		out.pass(in)
	case relScan, relValues:
	case relAssign, relWindow, relGroup, relUnion, relSink, relJoin, relRank:
		for _, in := range r.ins {
			uses[in].addAll()
		}
	}
}

// narrowRel gives r's columns and expressions the types that its inputs now have.
func narrowRel(r *rel, uses fieldUses) {
	switch r.kind {
	case relScan:
		s := *r.scan
		s.narrow = nil
		cols := slices.Clone(r.cols)
		for i := range cols {
			t := uses[i].narrow(cols[i].typ)
			if t.Equal(cols[i].typ) || !s.byName() {
				continue
			}
			if s.narrow == nil {
				s.narrow = map[int]vec.Type{}
			}
			s.narrow[s.fields[i]] = t
			cols[i].typ = t
		}
		r.scan, r.cols = &s, cols
	case relCalc:
		if r.filter != nil {
			r.filter = retype(r.filter, r.ins[0])
		}
		if r.exprs == nil {
			r.cols = r.ins[0].cols
			return
		}
		r.exprs, r.cols = slices.Clone(r.exprs), slices.Clone(r.cols)
		for i, e := range r.exprs {
			r.exprs[i] = retype(e, r.ins[0])
			if e.Op == expr.OpCol {
				r.cols[i].typ = r.exprs[i].Type
			}
		}
	case relWatermark:
		r.cols = slices.Clone(r.cols)
		for i := range r.cols {
			r.cols[i].typ = r.ins[0].cols[i].typ
		}
	case relValues, relAssign, relWindow, relGroup, relUnion, relSink, relJoin, relRank:
	}
}

// retype is e over columns whose ROW types have lost fields: columns have their new types, and fields are found by name again.
func retype(e *expr.Expr, in *rel) *expr.Expr {
	if e.Op == expr.OpLit {
		return e
	}
	c := *e
	if e.Op == expr.OpCol {
		c.Type = in.cols[e.Col].typ
		return &c
	}
	c.Args = make([]*expr.Expr, len(e.Args))
	for i, a := range e.Args {
		c.Args[i] = retype(a, in)
	}
	if e.Func == "FIELD" && !c.Args[0].Type.Equal(e.Args[0].Type) {
		f, err := expr.Call("FIELD", c.Args[0], text(fieldName(e)))
		if err != nil {
			panic("plan: field of a narrowed row: " + err.Error()) // narrow keeps every field that is read
		}
		f.Line, f.Column = e.Line, e.Column
		return f
	}
	return &c
}
