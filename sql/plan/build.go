package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/bramble-stream/bramble/engine/agg"
	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/sql/parse"
)

// builder makes a job graph of an optimised plan.
type builder struct {
	p     *planner
	job   *graph.JobGraph
	par   int
	chain bool
	ids   *identities
	// ports are where the rows of each rel come out: several for a union.
	ports map[*rel][]port
	// late and bad gather what is routed aside, by target table in order of appearance.
	sides map[string]*sideSink
	order []string
	// info has what explain prints beyond the graph.
	info map[*graph.Node]nodeInfo
}

// port is an output of an operator in the graph.
type port struct {
	vertex, op int
	tag        string
	schema     *vec.Schema
	// changes says that rows are taken back and changed: those that are equal must keep their order.
	changes bool
}

// sideSink is a table that takes rows routed aside.
type sideSink struct {
	table *table
	ports []port
	where parse.Node
	text  string
}

// nodeInfo is what explain prints of a node.
type nodeInfo struct {
	detail    string
	changelog string
}

func newBuilder(p *planner) *builder {
	return &builder{
		p: p, par: p.conf.parallelism(), chain: p.conf.flag("pipeline.operator-chaining.enabled", true), ids: newIdentities(),
		ports: map[*rel][]port{}, sides: map[string]*sideSink{}, info: map[*graph.Node]nodeInfo{},
		job: &graph.JobGraph{Name: p.jobName(), MaxParallelism: p.conf.maxParallelism(), Config: maps.Clone(p.conf.values)},
	}
}

func (b *builder) build() error {
	for _, s := range b.p.sinks {
		b.sink(s)
	}
	var errs parse.ErrorList
	for _, name := range b.order {
		errs = appendErr(errs, b.sideSink(b.sides[name]))
	}
	for _, v := range b.job.Vertices {
		v.Name = vertexName(v)
		v.ID = digest("vertex", v.Ops[0].ID)
	}
	return errs.Err()
}

// node makes an operator without its place.
func (b *builder) node(kind graph.Kind, name, id string, spec any, out *vec.Schema, where parse.Node, text string) *graph.Node {
	raw, err := json.Marshal(spec)
	if err != nil {
		panic(fmt.Sprintf("plan: marshal %s: %v", name, err)) // specs are plain data
	}
	n := &graph.Node{ID: b.ids.unique(id), Name: name, Kind: kind, Spec: raw, Out: out, SQL: text}
	if where != nil && where.Pos().Known() {
		n.Line, n.Column = where.Pos().Line, where.Pos().Col
	}
	return n
}

// vertex starts a vertex with n as its head.
func (b *builder) vertex(n *graph.Node, parallelism int) port {
	n.In = -1
	b.job.Vertices = append(b.job.Vertices, &graph.Vertex{Parallelism: parallelism, Ops: []*graph.Node{n}})
	return port{vertex: len(b.job.Vertices) - 1, op: 0, schema: n.Out}
}

// chained puts n behind a port in the same vertex.
func (b *builder) chained(n *graph.Node, in port) port {
	v := b.job.Vertices[in.vertex]
	n.In, n.Tag = in.op, in.tag
	v.Ops = append(v.Ops, n)
	return port{vertex: in.vertex, op: len(v.Ops) - 1, schema: n.Out}
}

// after puts n behind its inputs: chained where there is one, else in a vertex of its own.
func (b *builder) after(n *graph.Node, in []port, mustChain bool) port {
	if len(in) == 1 && (b.chain || mustChain || in[0].tag != "") {
		return b.chained(n, in[0])
	}
	par := 1
	for _, i := range in {
		par = max(par, b.job.Vertices[i.vertex].Parallelism)
	}
	out := b.vertex(n, par)
	for _, i := range in {
		if b.job.Vertices[i.vertex].Parallelism == par {
			b.edge(i, out, graph.Forward, nil)
		} else {
			b.spread(i, out, nil)
		}
	}
	return out
}

// spread distributes rows over another number of tasks: by key where there is one, and a changelog by all columns, so that the row that takes
// another back comes to the same task after it.
func (b *builder) spread(from, to port, keys []int) {
	if len(keys) == 0 && from.changes {
		for i := range from.schema.Fields {
			keys = append(keys, i)
		}
	}
	if len(keys) == 0 {
		b.edge(from, to, graph.Rebalance, nil)
		return
	}
	b.edge(from, to, graph.Hash, keys)
}

// shuffled puts n into a vertex of its own to which rows come by key. Without keys there is one task.
func (b *builder) shuffled(n *graph.Node, in []port, keys []int) port {
	par := b.par
	if len(keys) == 0 {
		par = 1
	}
	out := b.vertex(n, par)
	for _, i := range in {
		b.edge(i, out, graph.Hash, keys)
	}
	return out
}

func (b *builder) edge(from, to port, part graph.Partition, keys []int) {
	b.job.Edges = append(b.job.Edges, &graph.Edge{
		From: from.vertex, FromOp: from.op, Tag: from.tag, To: to.vertex, Partition: part, Keys: keys, Schema: from.schema,
	})
}

// emit builds r, once, and returns where its rows come out.
func (b *builder) emit(r *rel) []port {
	if out, ok := b.ports[r]; ok {
		return out
	}
	var out []port
	switch r.kind {
	case relUnion:
		for _, in := range r.ins {
			for _, o := range b.emit(in) {
				out = append(out, b.again(r, o, out))
			}
		}
	case relScan:
		out = []port{b.source(r)}
	case relValues:
		n := b.relNode(r, graph.KindValues, "Source: Values", graph.ValuesSpec{Rows: r.rows})
		out = []port{b.vertex(n, 1)}
	case relCalc:
		n := b.relNode(r, graph.KindCalc, "Calc", graph.CalcSpec{Filter: r.filter, Exprs: r.exprs})
		// What feeds a watermark stays with the source: only there splits are told apart.
		out = []port{b.after(n, b.emit(r.ins[0]), r.ins[0].kind == relScan)}
	case relWatermark:
		n := b.relNode(r, graph.KindWatermark, "WatermarkAssigner", *r.wm)
		out = []port{b.after(n, b.emit(r.ins[0]), true)}
		b.routeBad(r, out[0])
	case relAssign:
		out = []port{b.assign(r)}
	case relWindow:
		out = []port{b.window(r)}
	case relGroup:
		out = []port{b.group(r)}
	case relJoin:
		out = []port{b.join(r)}
	case relRank:
		out = []port{b.rank(r)}
	case relSink:
	}
	if r.kind != relUnion {
		for i := range out {
			out[i].changes = updating(r)
		}
	}
	b.ports[r] = out
	return out
}

// again returns a port that is not in used: the rows of a rel that is in a union twice come out of a calc of their own the second time, so that
// no two edges are the same.
func (b *builder) again(r *rel, o port, used []port) port {
	if !slices.Contains(used, o) {
		return o
	}
	n := b.node(graph.KindCalc, "Calc", digest("again", b.ids.id(r)), graph.CalcSpec{}, o.schema, r.where, r.text)
	b.info[n] = nodeInfo{changelog: changelogMode(r, b.beforeOf(r))}
	return b.chained(n, o)
}

// relNode is the node of a rel.
func (b *builder) relNode(r *rel, kind graph.Kind, name string, spec any) *graph.Node {
	n := b.node(kind, name, b.ids.id(r), spec, r.schema(), r.where, r.text)
	b.info[n] = nodeInfo{detail: b.detail(r), changelog: changelogMode(r, b.beforeOf(r))}
	return n
}

// beforeOf reports whether the rows of r include -U.
func (b *builder) beforeOf(r *rel) bool {
	if r.kind == relGroup || r.kind == relRank {
		return r.before
	}
	if r.kind == relJoin {
		return updating(r)
	}
	for _, in := range r.ins {
		if updating(in) && b.beforeOf(in) {
			return true
		}
	}
	return false
}

func (b *builder) source(r *rel) port {
	spec := graph.SourceSpec{Table: r.scan.spec(), Bounded: r.scan.bounded}
	par := min(parallelismOf(r.scan.options, optScanParallelism, b.par), b.job.MaxParallelism)
	out := b.vertex(b.relNode(r, graph.KindSource, "Source: "+r.scan.table.name, spec), par)
	b.routeBad(r, out)
	return out
}

// assign is a window function without aggregation.
func (b *builder) assign(r *rel) port {
	spec := graph.AssignSpec{Windowing: r.windows.Windowing, Keys: r.keys}
	n := b.relNode(r, graph.KindAssign, "WindowTableFunction", spec)
	in := b.emit(r.ins[0])
	if r.windows.Kind != graph.Session {
		return b.after(n, in, false)
	}
	out := b.shuffled(n, in, r.keys)
	b.routeLate(r, out)
	return out
}

// twoStage decides whether a window is aggregated before the shuffle too. Rows that are late are known only where they are whole, so a
// window that routes them is aggregated in one place.
func (b *builder) twoStage(r *rel) bool {
	w := r.windows
	sliced := w.Kind == graph.Tumble || w.Kind == graph.Hop || w.Kind == graph.Cumulate
	if !sliced || w.proc || w.late != nil || b.p.conf.value("table.optimizer.agg-phase-strategy") == "ONE_PHASE" {
		return false
	}
	for _, a := range r.aggs {
		if !agg.Mergeable(a) {
			return false
		}
	}
	return true
}

func (b *builder) window(r *rel) port {
	two := b.twoStage(r)
	if two {
		r = withoutProjection(r)
	}
	in := b.emit(r.ins[0])
	types := make([]vec.Type, len(r.keys))
	for i, k := range r.keys {
		types[i] = r.ins[0].cols[k].typ
	}
	spec := graph.WindowSpec{Windowing: r.windows.Windowing, Stage: graph.Single, Keys: r.keys, Aggs: r.aggs, InputKeyTypes: types}
	if !two {
		out := b.shuffled(b.relNode(r, graph.KindWindow, "WindowAggregate", spec), in, r.keys)
		b.routeLate(r, out)
		return out
	}
	spec.Stage = graph.Local
	local := localSchema(r)
	locals := make([]port, len(in))
	for i, p := range in {
		n := b.node(graph.KindWindow, "LocalWindowAggregate", digest("local", b.ids.id(r)), spec, local, r.where, r.text)
		b.info[n] = nodeInfo{detail: b.detail(r), changelog: "[I]"}
		locals[i] = b.after(n, []port{p}, false)
	}
	keys := make([]int, len(r.keys))
	for i := range keys {
		keys[i] = i
	}
	spec.Stage, spec.Keys = graph.Global, keys
	spec.Windowing.TimeCol = len(keys) // slice_end
	return b.shuffled(b.relNode(r, graph.KindWindow, "GlobalWindowAggregate", spec), locals, keys)
}

// withoutProjection is r over what a calc that only picks columns picks them from: a Local stage, which runs in the same task, reads them
// there itself. Before a shuffle the calc is kept, since it keeps rows small.
func withoutProjection(r *rel) *rel {
	in := r.ins[0]
	if in.kind != relCalc || in.filter != nil || in.exprs == nil {
		return r
	}
	for _, e := range in.exprs {
		if e.Op != expr.OpCol {
			return r
		}
	}
	from := func(i int) int { return in.exprs[i].Col }
	n := *r
	n.ins = in.ins
	n.keys, n.aggs, n.windows = mapInts(r.keys, from), mapAggs(r.aggs, from), r.windows.mapped(from)
	return &n
}

// localSchema is what a Local stage emits: keys, slice_end, partial accumulators.
func localSchema(r *rel) *vec.Schema {
	s := &vec.Schema{}
	for i := range r.keys {
		s.Fields = append(s.Fields, vec.Field{Name: r.cols[i].name, Type: r.cols[i].typ})
	}
	end := vec.TypeInt64
	end.NotNull = true
	s.Fields = append(s.Fields, vec.Field{Name: "slice_end", Type: end})
	for _, a := range r.aggs {
		for j, t := range agg.PartialTypes(a) {
			s.Fields = append(s.Fields, vec.Field{Name: fmt.Sprintf("%s$%d", a.Name, j), Type: t})
		}
	}
	return s
}

func (b *builder) group(r *rel) port {
	in := b.emit(r.ins[0])
	spec := graph.GroupSpec{
		Keys: r.keys, Aggs: r.aggs, InputRetracts: updating(r.ins[0]), EmitUpdateBefore: r.before,
		TTLMS: b.p.conf.durationMS("table.exec.state.ttl"),
	}
	for _, k := range r.keys {
		spec.KeyTypes = append(spec.KeyTypes, r.ins[0].cols[k].typ)
	}
	name := "GroupAggregate"
	if r.materializer {
		name = "SinkMaterializer"
	}
	return b.shuffled(b.relNode(r, graph.KindGroup, name, spec), in, r.keys)
}

var joinNames = map[graph.JoinMode]string{graph.Regular: "Join", graph.WindowJoin: "WindowJoin", graph.IntervalJoin: "IntervalJoin"}

// join puts a join into a vertex of its own, to which the rows of both inputs come by key. Without keys there is one task.
func (b *builder) join(r *rel) port {
	ins := [][]port{b.emit(r.ins[0]), b.emit(r.ins[1])}
	n := b.relNode(r, graph.KindJoin, joinNames[r.join.mode], r.joinOf(b.p.conf.durationMS("table.exec.state.ttl")))
	par := b.par
	if len(r.join.keys[0]) == 0 {
		par = 1
	}
	out := b.vertex(n, par)
	for side, in := range ins {
		for _, i := range in {
			b.edge(i, out, graph.Hash, r.join.keys[side])
			b.job.Edges[len(b.job.Edges)-1].ToInput = side
		}
	}
	return out
}

func (b *builder) rank(r *rel) port {
	name := "Rank"
	if r.rank.window {
		name = "WindowRank"
	}
	in := b.emit(r.ins[0])
	return b.shuffled(b.relNode(r, graph.KindRank, name, r.rankOf(b.p.conf.durationMS("table.exec.state.ttl"))), in, r.keys)
}

func (b *builder) sink(r *rel) {
	in := b.emit(r.ins[0])
	spec := graph.SinkSpec{
		Table: r.sink.spec, Mode: r.mode, NotNull: r.sink.notNull, DropNulls: b.p.conf.value("table.exec.sink.not-null-enforcer") == "DROP",
	}
	if at := r.where.Pos(); len(spec.NotNull) > 0 && at.Known() {
		spec.Line, spec.Column = at.Line, at.Col
	}
	n := b.node(graph.KindSink, "Sink: "+r.sink.name, b.ids.id(r), spec, nil, r.where, r.text)
	b.info[n] = nodeInfo{detail: b.sinkDetail(r.sink.spec, r.mode)}
	par := 1
	for _, i := range in {
		par = max(par, b.job.Vertices[i.vertex].Parallelism)
	}
	own := min(parallelismOf(r.sink.spec.Options, optSinkParallelism, par), b.job.MaxParallelism)
	if own == par {
		b.after(n, in, false)
		return
	}
	out := b.vertex(n, own)
	for _, i := range in {
		b.spread(i, out, r.sink.spec.PrimaryKey)
	}
}

// aside notes rows routed to a table.
func (b *builder) aside(t *table, out port, where parse.Node, text string) {
	key := t.name + "\x00" + out.tag
	s := b.sides[key]
	if s == nil {
		s = &sideSink{table: t, where: where, text: text}
		b.sides[key] = s
		b.order = append(b.order, key)
	}
	s.ports = append(s.ports, out)
}

// routeLate sends the late rows of a window operator to their table, in the table's columns.
func (b *builder) routeLate(r *rel, out port) {
	if r.windows.late == nil {
		return
	}
	in := r.ins[0]
	late := port{vertex: out.vertex, op: out.op, tag: graph.TagLate, schema: in.schema()}
	exprs := make([]*expr.Expr, len(r.windows.late.cols))
	for i, c := range r.windows.late.cols {
		exprs[i] = in.colExpr(c)
	}
	b.aside(r.windows.late.table, b.sideCalc(r.windows.late.table, late, exprs, digest("late", b.ids.id(r)), r.where, r.text), r.where, r.text)
}

// routeBad sends what a source could not decode, or a watermark refused, to the dead-letter table.
func (b *builder) routeBad(r *rel, out port) {
	scan := r
	for scan.kind != relScan {
		scan = scan.ins[0]
	}
	name := scan.scan.common.badTable
	if name == "" {
		return
	}
	t, exprs, err := b.p.badTarget(scan.scan.table, name)
	if err != nil {
		b.p.deferred = appendErr(b.p.deferred, err)
		return
	}
	bad := port{vertex: out.vertex, op: out.op, tag: graph.TagBad, schema: graph.BadSchema}
	b.aside(t, b.sideCalc(t, bad, exprs, digest("bad", b.ids.id(r)), r.where, ""), r.where, "")
}

// badTarget finds the dead-letter table and where its columns come from in graph.BadSchema.
func (p *planner) badTarget(of *table, name string) (*table, []*expr.Expr, error) {
	t, err := p.sideTarget(of, optBadTable, name)
	if err != nil {
		return nil, nil, err
	}
	_, written := t.sinkSpecOf(t.options)
	var exprs []*expr.Expr
	for _, w := range written {
		c := &t.columns[w]
		i := graph.BadSchema.Index(c.name)
		if i < 0 {
			return nil, nil, p.errorf(c.def, "", "dead-letter table %q has a column %q, but records that are refused come with %s", t.name, c.name, graph.BadSchema)
		}
		f := graph.BadSchema.Fields[i]
		e := expr.Column(i, f.Name, f.Type)
		if _, err := expr.Cast(e, c.typ.Nullable()); err != nil {
			return nil, nil, p.errorf(c.def, "", "column %q of dead-letter table %q must be %s", c.name, t.name, f.Type)
		}
		exprs = append(exprs, e)
	}
	return t, exprs, nil
}

// sideCalc puts rows routed aside into the columns of their table.
func (b *builder) sideCalc(t *table, in port, exprs []*expr.Expr, id string, where parse.Node, text string) port {
	spec, _ := t.sinkSpecOf(t.options)
	same := len(exprs) == len(in.schema.Fields)
	out := make([]*expr.Expr, len(exprs))
	for i, e := range exprs {
		out[i] = castQuiet(e, spec.Schema.Fields[i].Type)
		same = same && out[i].Op == expr.OpCol && out[i].Col == i && e.Name == spec.Schema.Fields[i].Name
	}
	if same {
		return in
	}
	n := b.node(graph.KindCalc, "Calc", id, graph.CalcSpec{Exprs: out}, spec.Schema, where, text)
	b.info[n] = nodeInfo{detail: "select=[" + selectList(out, schemaColumns(spec.Schema)) + "]", changelog: "[I]"}
	return b.chained(n, in)
}

// sideSink writes rows routed aside; one sink takes those of all operators.
func (b *builder) sideSink(s *sideSink) error {
	spec, _ := s.table.sinkSpecOf(s.table.options)
	if err := b.p.checkUse(s.table, &spec, true); err != nil {
		return err
	}
	modes := []graph.ChangelogMode{graph.Append}
	if c := s.table.connector; c.Modes != nil {
		modes = c.Modes(&spec)
	}
	mode := appendMode(modes, len(spec.PrimaryKey) > 0)
	parts := []string{"side", s.table.name}
	for _, p := range s.ports {
		parts = append(parts, b.job.Vertices[p.vertex].Ops[p.op].ID)
	}
	n := b.node(graph.KindSink, "Sink: "+s.table.name, digest(parts...), graph.SinkSpec{Table: spec, Mode: mode}, nil, s.where, s.text)
	b.info[n] = nodeInfo{detail: b.sinkDetail(spec, mode)}
	b.after(n, s.ports, false)
	return nil
}

// sources and sinkNames list tables.
func (b *builder) sources() []string { return b.tables(graph.KindSource, "Source: ") }

func (b *builder) sinkNames() []string { return b.tables(graph.KindSink, "Sink: ") }

func (b *builder) tables(kind graph.Kind, prefix string) []string {
	var out []string
	for _, v := range b.job.Vertices {
		for _, n := range v.Ops {
			if n.Kind == kind {
				out = append(out, n.Name[len(prefix):])
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
