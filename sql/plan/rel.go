package plan

import (
	"fmt"
	"strings"

	"github.com/bramble-stream/bramble/engine/agg"
	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/sql/parse"
)

// relKind says what a rel does.
type relKind uint8

const (
	relScan      relKind = iota // reads scan.table
	relValues                   // rows
	relCalc                     // filter, then exprs (nil: all columns)
	relWatermark                // wm
	relAssign                   // windowing, keys: appends window_start, window_end, window_time
	relWindow                   // windowing, keys, aggs: keys, aggs, window_start, window_end, window_time
	relGroup                    // keys, aggs: keys, aggs
	relUnion                    // all of ins
	relSink                     // writes sink
	relJoin                     // join: columns of both ins
	relRank                     // rank: the first rows of each partition
)

// timeAttr says whether a column is a time attribute.
type timeAttr uint8

const (
	attrNone timeAttr = iota
	attrRow           // event time: the stream's watermark speaks of it
	attrProc          // processing time
)

// winRole says whether a column is a bound of the window that its row is in.
type winRole uint8

const (
	roleNone winRole = iota
	roleStart
	roleEnd
	roleTime
)

// winInfo identifies a windowing of rows: bounds belong together when their winInfo is the same pointer.
type winInfo struct {
	// proc says that the windows are of processing time.
	proc bool
	// ltz says that window_time is an instant (TIMESTAMP_LTZ).
	ltz bool
	// direct says that a window function made it, and no aggregation yet used it.
	direct bool
}

// column is one output column of a rel.
type column struct {
	name string
	typ  vec.Type
	attr timeAttr
	role winRole
	win  *winInfo
	// implicit names were made up (EXPR$0): nobody wrote them.
	implicit bool
}

// rel is a node of the logical plan. Plans are DAGs: what several queries share is one rel. Rels are
// immutable once other rels refer to them, save during the passes of rules.go, which rebuild.
type rel struct {
	kind relKind
	ins  []*rel
	cols []column

	scan    *scanSpec
	rows    [][]*expr.Expr
	filter  *expr.Expr
	exprs   []*expr.Expr
	wm      *graph.WatermarkSpec
	windows *windowSpec
	keys    []int
	aggs    []agg.Spec
	sink    *sinkSpec
	join    *joinSpec
	rank    *rankSpec

	// where is the syntax that the rel came from, for positions and SQL fragments; it may be nil.
	where parse.Node
	text  string

	// changes caches updating: 0 unknown, 1 no, 2 yes.
	changes uint8
	// before says that the consumers of a relGroup or relRank need -U rows.
	before bool
	// materializer marks the relGroup that keeps the last row of each key for an upsert sink.
	materializer bool
	// mode is how a relSink is written.
	mode graph.ChangelogMode
}

// scanSpec is what a relScan reads.
type scanSpec struct {
	table *table
	// options are the table's, with OPTIONS hints applied.
	options map[string]string
	// fields are indexes into table.physical, in output order.
	fields []int
	// narrow holds the types of fields of which only some ROW fields are read, by index into table.physical.
	narrow  map[int]vec.Type
	bounded bool
	common  commonOptions
}

// windowSpec is the windowing of a relAssign or relWindow.
type windowSpec struct {
	graph.Windowing
	proc bool
	// late is where rows behind the watermark go, nil: nowhere.
	late *lateRoute
}

// lateRoute takes the late rows of a window to a table.
type lateRoute struct {
	table *table
	// cols are input columns of the window operator, one a column of the table's sink schema.
	cols []int
}

// sinkSpec is what a relSink writes.
type sinkSpec struct {
	spec  graph.TableSpec
	modes []graph.ChangelogMode
	name  string
	// notNull are columns that are declared NOT NULL. Those that are only because they are in the primary key are the connector's concern.
	notNull []int
}

// schema returns the rel's columns as a vec.Schema.
func (r *rel) schema() *vec.Schema {
	s := &vec.Schema{Fields: make([]vec.Field, len(r.cols))}
	for i, c := range r.cols {
		s.Fields[i] = vec.Field{Name: c.name, Type: c.typ}
	}
	return s
}

// colExpr references column i of the rel.
func (r *rel) colExpr(i int) *expr.Expr {
	return expr.Column(i, r.cols[i].name, r.cols[i].typ)
}

// calcOver makes a calc. exprs nil keeps all columns; cols describes the output and may be nil then.
func calcOver(in *rel, filter *expr.Expr, exprs []*expr.Expr, cols []column, where parse.Node, text string) *rel {
	if exprs == nil {
		cols = in.cols
	}
	return &rel{kind: relCalc, ins: []*rel{in}, filter: filter, exprs: exprs, cols: cols, where: where, text: text}
}

// derive describes the column that expression e over in makes: a plain column keeps its attributes.
func derive(in *rel, e *expr.Expr, name string) column {
	c := column{name: name, typ: e.Type}
	if e.Op == expr.OpCol && e.Col < len(in.cols) {
		src := in.cols[e.Col]
		c.attr, c.role, c.win = src.attr, src.role, src.win
	} else if isProctime(e) {
		c.attr = attrProc
	}
	return c
}

func isProctime(e *expr.Expr) bool { return e.Op == expr.OpCall && e.Func == "PROCTIME" }

// exprKey is a text equal for equal expressions: names and positions do not matter, types do.
func exprKey(e *expr.Expr) string {
	var b strings.Builder
	writeExprKey(&b, e)
	return b.String()
}

func writeExprKey(b *strings.Builder, e *expr.Expr) {
	switch e.Op {
	case expr.OpCol:
		fmt.Fprintf(b, "$%d", e.Col)
	case expr.OpLit:
		fmt.Fprintf(b, "%q:%t:%s", e.Lit, e.Null, e.Type)
	default:
		fmt.Fprintf(b, "%s:%s(", e.Func, e.Type)
		for _, a := range e.Args {
			writeExprKey(b, a)
			b.WriteByte(',')
		}
		b.WriteByte(')')
	}
}

// key is a text equal for rels that do the same on the same inputs; id names the inputs.
func (r *rel) key(id func(*rel) int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d[", r.kind)
	for _, in := range r.ins {
		fmt.Fprintf(&b, "%d,", id(in))
	}
	b.WriteByte(']')
	switch r.kind {
	case relScan:
		fmt.Fprintf(&b, "%p %v %v %v", r.scan.table, r.scan.options, r.scan.fields, r.scan.narrow)
	case relValues:
		for _, row := range r.rows {
			for _, e := range row {
				b.WriteString(exprKey(e) + ",")
			}
			b.WriteByte(';')
		}
	case relCalc:
		if r.filter != nil {
			b.WriteString(exprKey(r.filter))
		}
		b.WriteByte('|')
		for i, e := range r.exprs {
			fmt.Fprintf(&b, "%s=%s,", r.cols[i].name, exprKey(e))
		}
		if r.exprs == nil {
			b.WriteByte('*')
		}
	case relWatermark:
		fmt.Fprintf(&b, "%d %s %d %d %d %d", r.wm.TimeCol, exprKey(r.wm.Expr), r.wm.IdleMS, r.wm.MaxFutureMS, r.wm.FallbackMS, r.wm.AwayMS)
	case relAssign, relWindow, relGroup:
		if r.windows != nil {
			fmt.Fprintf(&b, "%+v", r.windows.Windowing)
			if l := r.windows.late; l != nil {
				fmt.Fprintf(&b, "late %p %v", l.table, l.cols)
			}
		}
		fmt.Fprintf(&b, "%v %+v", r.keys, r.aggs)
	case relJoin:
		j := r.join
		fmt.Fprintf(&b, "%s %s %v %v %v %d %d %t|", j.typ, j.mode, j.keys, j.pick, j.time, j.lower, j.upper, j.ltz)
		if j.cond != nil {
			b.WriteString(exprKey(j.cond))
		}
	case relRank:
		fmt.Fprintf(&b, "%v %+v", r.keys, *r.rank)
	case relUnion:
	case relSink:
		fmt.Fprintf(&b, "%p", r) // sinks are never shared
	}
	return b.String()
}
