package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/vec"
)

// explainLogical prints the plan as bound, one tree a sink. What is shared is printed in full once.
func (p *planner) explainLogical() string {
	var b strings.Builder
	printed, consumers := map[*rel]int{}, p.consumers()
	for i, s := range p.sinks {
		if i > 0 {
			b.WriteByte('\n')
		}
		p.logical(&b, s, "", "", printed, consumers)
	}
	return b.String()
}

var logicalNames = [...]string{
	relScan: "TableScan", relValues: "Values", relCalc: "Calc", relWatermark: "WatermarkAssigner", relAssign: "WindowTableFunction",
	relWindow: "WindowAggregate", relGroup: "Aggregate", relUnion: "Union", relSink: "Sink",
	relJoin: "Join", relRank: "Rank",
}

func (p *planner) logical(b *strings.Builder, r *rel, first, rest string, printed, consumers map[*rel]int) {
	name := logicalNames[r.kind]
	if r.kind == relCalc {
		name = "Project"
		if r.exprs == nil {
			name = "Filter"
		}
	}
	if n, ok := printed[r]; ok {
		fmt.Fprintf(b, "%sLogical%s(reuse=[%d])\n", first, name, n)
		return
	}
	var detail string
	if r.kind == relSink {
		detail = fmt.Sprintf("table=[%s], fields=[%s]", r.sink.name, strings.Join(fieldNames(r.sink.spec.Schema), ", "))
	} else {
		detail = (&builder{p: p}).detail(r)
	}
	if consumers[r] > 1 {
		printed[r] = len(printed) + 1
		detail += fmt.Sprintf(", id=[%d]", printed[r])
	}
	fmt.Fprintf(b, "%sLogical%s(%s)\n", first, name, detail)
	for i, in := range r.ins {
		more := "   "
		if i < len(r.ins)-1 {
			more = ":  "
		}
		p.logical(b, in, rest+strings.Replace(more[:1], " ", "+", 1)+"- ", rest+more, printed, consumers)
	}
}

func fieldNames(s *vec.Schema) []string {
	out := make([]string, len(s.Fields))
	for i, f := range s.Fields {
		out[i] = f.Name
	}
	return out
}

func schemaColumns(s *vec.Schema) []column {
	out := make([]column, len(s.Fields))
	for i, f := range s.Fields {
		out[i] = column{name: f.Name, typ: f.Type}
	}
	return out
}

// selectList prints expressions with their names.
func selectList(exprs []*expr.Expr, cols []column) string {
	parts := make([]string, len(exprs))
	for i, e := range exprs {
		parts[i] = exprText(e)
		if parts[i] != cols[i].name {
			parts[i] += " AS " + cols[i].name
		}
	}
	return strings.Join(parts, ", ")
}

// detail prints what an operator does, without secrets.
func (b *builder) detail(r *rel) string {
	var d []string
	add := func(key, format string, args ...any) { d = append(d, key+"=["+fmt.Sprintf(format, args...)+"]") }
	switch r.kind {
	case relScan:
		t := r.scan.table
		add("table", "%s", t.name)
		add("connector", "%s", t.connector.Name)
		add("fields", "%s", strings.Join(columnNames(r.cols), ", "))
		if r.scan.bounded {
			add("bounded", "true")
		}
		if o := masked(t.connector, r.scan.options); len(o) > 0 {
			add("options", "%s", strings.Join(o, ", "))
		}
	case relValues:
		add("rows", "%d", len(r.rows))
		add("fields", "%s", strings.Join(columnNames(r.cols), ", "))
	case relCalc:
		if r.exprs != nil {
			add("select", "%s", selectList(r.exprs, r.cols))
		}
		if r.filter != nil {
			add("where", "%s", exprText(r.filter))
		}
	case relWatermark:
		add("rowtime", "%s", r.cols[r.wm.TimeCol].name)
		add("watermark", "%s", exprText(r.wm.Expr))
		for _, o := range []struct {
			name string
			ms   int64
		}{{"idle", r.wm.IdleMS}, {"maxFuture", r.wm.MaxFutureMS}, {"fallback", r.wm.FallbackMS}} {
			if o.ms > 0 {
				add(o.name, "%s", ms(o.ms))
			}
		}
		if away := r.wm.AwayMS; away > 0 && away != awayDefaultMS {
			add("away", "%s", ms(away))
		}
	case relAssign, relWindow, relGroup:
		b.keyedDetail(r, add)
	case relJoin:
		joinDetail(r, add)
	case relRank:
		rankDetail(r, add)
	case relUnion:
		add("all", "true")
		add("fields", "%s", strings.Join(columnNames(r.cols), ", "))
	case relSink:
	}
	return strings.Join(d, ", ")
}

func (b *builder) keyedDetail(r *rel, add func(string, string, ...any)) {
	in := r.ins[0].cols
	keys := make([]string, len(r.keys))
	for i, k := range r.keys {
		keys[i] = in[k].name
	}
	if len(keys) > 0 {
		word := "groupBy"
		if r.kind == relAssign {
			word = "partitionBy"
		}
		add(word, "%s", strings.Join(keys, ", "))
	}
	if r.windows != nil {
		add("window", "%s", windowText(r.windows, in))
	}
	if r.kind == relAssign {
		return
	}
	calls := make([]string, len(r.aggs))
	for i, a := range r.aggs {
		args := "*"
		if len(a.Args) > 0 {
			names := make([]string, len(a.Args))
			for j, c := range a.Args {
				names[j] = in[c].name
			}
			args = strings.Join(names, ", ")
		}
		if a.Distinct {
			args = "DISTINCT " + args
		}
		calls[i] = a.Func + "(" + args + ")"
		if a.Filter >= 0 {
			calls[i] += " FILTER " + in[a.Filter].name
		}
		calls[i] += " AS " + a.Name
	}
	add("select", "%s", strings.Join(append(keys, calls...), ", "))
	if l := r.windows; l != nil && l.late != nil {
		add("late", "%s", l.late.table.name)
	}
}

func joinDetail(r *rel, add func(string, string, ...any)) {
	j := r.join
	both := append(slices.Clone(r.ins[0].cols), r.ins[1].cols...)
	n := len(r.ins[0].cols)
	add("joinType", "%s", j.typ)
	eqs := make([]string, len(j.keys[0]))
	for i := range eqs {
		eqs[i] = both[j.keys[0][i]].name + " = " + both[n+j.keys[1][i]].name
	}
	if len(eqs) > 0 {
		add("on", "%s", strings.Join(eqs, " AND "))
	}
	if j.cond != nil {
		add("where", "%s", exprText(j.cond))
	}
	switch j.mode {
	case graph.WindowJoin:
		add("window", "%s = %s", both[j.time[0]].name, both[n+j.time[1]].name)
	case graph.IntervalJoin:
		add("interval", "%s <= %s - %s <= %s", ms(j.lower), both[j.time[0]].name, both[n+j.time[1]].name, ms(j.upper))
	case graph.Regular:
	}
	names := make([]string, len(j.pick))
	for i, c := range j.pick {
		names[i] = both[c].name
	}
	add("select", "%s", strings.Join(names, ", "))
}

func rankDetail(r *rel, add func(string, string, ...any)) {
	in := r.ins[0].cols
	names := func(cols []int) string {
		parts := make([]string, len(cols))
		for i, c := range cols {
			parts[i] = in[c].name
		}
		return strings.Join(parts, ", ")
	}
	if len(r.keys) > 0 {
		add("partitionBy", "%s", names(r.keys))
	}
	order := make([]string, len(r.rank.order))
	for i, o := range r.rank.order {
		order[i] = in[o.Col].name + map[bool]string{false: " ASC", true: " DESC"}[o.Desc]
		if o.NullsLast != o.Desc {
			order[i] += map[bool]string{false: " NULLS FIRST", true: " NULLS LAST"}[o.NullsLast]
		}
	}
	add("orderBy", "%s", strings.Join(order, ", "))
	if r.rank.limit > 0 {
		add("ranks", "%d to %d", r.rank.offset+1, r.rank.limit)
	}
	if r.rank.window {
		add("window", "%s", in[r.rank.endCol].name)
	}
	add("select", "%s", strings.Join(columnNames(r.cols), ", "))
}

func windowText(w *windowSpec, in []column) string {
	col := "proctime"
	if w.TimeCol >= 0 && w.TimeCol < len(in) {
		col = in[w.TimeCol].name
	}
	var s string
	switch w.Kind {
	case graph.Tumble:
		s = fmt.Sprintf("TUMBLE(%s, size %s", col, ms(w.SizeMS))
	case graph.Hop:
		s = fmt.Sprintf("HOP(%s, size %s, slide %s", col, ms(w.SizeMS), ms(w.SlideMS))
	case graph.Cumulate:
		s = fmt.Sprintf("CUMULATE(%s, max %s, step %s", col, ms(w.SizeMS), ms(w.SlideMS))
	case graph.Session:
		s = fmt.Sprintf("SESSION(%s, gap %s", col, ms(w.GapMS))
	case graph.Attached:
		s = fmt.Sprintf("ATTACHED(%s, %s", in[w.StartCol].name, in[w.EndCol].name)
		if w.proc {
			s += ", proctime"
		}
	}
	if w.OffsetMS != 0 {
		s += ", offset " + ms(w.OffsetMS)
	}
	return s + ")"
}

// ms prints milliseconds as Flink's plans do: in the largest unit that gives a whole number.
func ms(v int64) string {
	d := time.Duration(v) * time.Millisecond
	for _, u := range []struct {
		d    time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}} {
		if d%u.d == 0 && d != 0 {
			return fmt.Sprintf("%d %s", d/u.d, u.name)
		}
	}
	return fmt.Sprintf("%d ms", v)
}

func (b *builder) sinkDetail(t graph.TableSpec, mode graph.ChangelogMode) string {
	s := fmt.Sprintf("table=[%s], connector=[%s], fields=[%s], mode=[%s]", t.Name, t.Connector, strings.Join(fieldNames(t.Schema), ", "), mode)
	if len(t.PrimaryKey) > 0 {
		names := make([]string, len(t.PrimaryKey))
		for i, k := range t.PrimaryKey {
			names[i] = t.Schema.Fields[k].Name
		}
		s += fmt.Sprintf(", key=[%s]", strings.Join(names, ", "))
	}
	if c := b.p.o.Connectors[t.Connector]; c != nil {
		if o := masked(c, t.Options); len(o) > 0 {
			s += ", options=[" + strings.Join(o, ", ") + "]"
		}
	}
	return s
}

// explain prints the vertices with their operators as trees, and the edges.
func (b *builder) explain() string {
	var w strings.Builder
	fmt.Fprintf(&w, "Job %q, maximum parallelism %d\n", b.job.Name, b.job.MaxParallelism)
	for i, v := range b.job.Vertices {
		fmt.Fprintf(&w, "\nVertex %d: %s, parallelism %d\n", i+1, v.Name, v.Parallelism)
		for _, e := range b.job.Edges {
			if e.To == i {
				fmt.Fprintf(&w, "  <- vertex %d, %s\n", e.From+1, edgeText(b.job, e))
			}
		}
		b.explainOp(&w, v, 0, "  ", "  ")
	}
	return w.String()
}

func edgeText(j *graph.JobGraph, e *graph.Edge) string {
	s := string(e.Partition)
	if e.Partition == graph.Hash {
		names := make([]string, len(e.Keys))
		for i, k := range e.Keys {
			names[i] = e.Schema.Fields[k].Name
		}
		s += "[" + strings.Join(names, ", ") + "]"
	}
	if len(children(j.Vertices[e.From], 0)) > 0 && e.FromOp != len(j.Vertices[e.From].Ops)-1 {
		s += " of " + j.Vertices[e.From].Ops[e.FromOp].Name
	}
	if e.Tag != "" {
		s += ", " + e.Tag + " rows"
	}
	return s
}

func (b *builder) explainOp(w *strings.Builder, v *graph.Vertex, i int, first, rest string) {
	n := v.Ops[i]
	info := b.info[n]
	w.WriteString(first + n.Name + "(" + info.detail)
	if info.changelog != "" {
		w.WriteString(", changelog=" + info.changelog)
	}
	w.WriteString(")")
	if n.Tag != "" {
		w.WriteString("  [" + n.Tag + " rows]")
	}
	w.WriteByte('\n')
	kids := children(v, i)
	for k, c := range kids {
		more := "   "
		if k < len(kids)-1 {
			more = ":  "
		}
		b.explainOp(w, v, c, rest+"+- ", rest+more)
	}
}

func children(v *graph.Vertex, i int) []int {
	var out []int
	for j, n := range v.Ops {
		if n.In == i {
			out = append(out, j)
		}
	}
	return out
}

// vertexNameMax bounds a vertex's name: it is a label of metrics.
const vertexNameMax = 200

// vertexName is made of the operators' names as in Flink's UI: a -> b -> (c, d).
func vertexName(v *graph.Vertex) string {
	var name func(i int) string
	name = func(i int) string {
		s := v.Ops[i].Name
		kids := children(v, i)
		parts := make([]string, len(kids))
		for k, c := range kids {
			parts[k] = name(c)
		}
		switch len(parts) {
		case 0:
			return s
		case 1:
			return s + " -> " + parts[0]
		default:
			return s + " -> (" + strings.Join(parts, ", ") + ")"
		}
	}
	return shorten(name(0), vertexNameMax)
}
