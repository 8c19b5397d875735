package plan

import (
	"slices"
	"strings"

	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/sql/parse"
)

// windowParams are the parameters of a window function, in positional order behind the table; those in brackets may be left out.
var windowParams = map[string][]string{
	"TUMBLE":   {"TIMECOL", "SIZE", "[OFFSET]"},
	"HOP":      {"TIMECOL", "SLIDE", "SIZE", "[OFFSET]"},
	"CUMULATE": {"TIMECOL", "STEP", "SIZE", "[OFFSET]"},
	"SESSION":  {"TIMECOL", "GAP"},
}

// bindWindowFunction binds TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL ...)).
func (p *planner) bindWindowFunction(tf *parse.TableFunc, env *env) (*rel, string, error) {
	name := tf.Call.FuncName()
	params := windowParams[name]
	if params == nil {
		known := []string{"TUMBLE", "HOP", "CUMULATE", "SESSION"}
		return nil, "", p.errorf(tf.Call, parse.DidYouMean(name, known), "table function %q does not exist; there are TUMBLE, HOP, CUMULATE and SESSION", tf.Call.Name.Last())
	}
	args, err := p.windowArgs(tf.Call, name, params)
	if err != nil {
		return nil, "", err
	}
	ta, ok := args["DATA"].(*parse.TableArg)
	if !ok {
		return nil, "", p.errorf(tf.Call, "", "%s takes a table first: %s(TABLE t, DESCRIPTOR(ts), ...)", name, name)
	}
	in, alias, err := p.bindTableArg(ta, env)
	if err != nil {
		return nil, "", err
	}
	b := p.exprBinder(newScope(in, alias))
	w, err := p.timeColumn(b, args["TIMECOL"], tf.Call, alias)
	if err != nil {
		return nil, "", err
	}
	w.Kind = graph.WindowKind(name)
	if err := p.windowSizes(b, w, tf.Call, args); err != nil {
		return nil, "", err
	}
	keys, err := p.partitionKeys(b, ta, name)
	if err != nil {
		return nil, "", err
	}
	if updating(in) {
		return nil, "", p.windowOverUpdates(tf.Call, alias)
	}
	r := &rel{kind: relAssign, ins: []*rel{in}, windows: w, keys: keys, where: tf, text: p.text(tf)}
	for _, c := range in.cols {
		// window_time takes over as the time attribute, and older windows are plain columns from here on.
		if c.attr == attrRow {
			c.attr = attrNone
		}
		c.role, c.win = roleNone, nil
		r.cols = append(r.cols, c)
	}
	wc := windowColumns(w)
	for i := range wc {
		wc[i].win.direct = true
	}
	r.cols = append(r.cols, wc...)
	if w.Kind == graph.Session && !w.proc {
		pre := &projection{in: in}
		for i := range in.cols {
			pre.add(in.colExpr(i), "")
		}
		if err := p.routeLate(w, in, pre, tf); err != nil {
			return nil, "", err
		}
	}
	return r, "", nil
}

// windowArgs orders positional and named arguments by their names; DATA is the table.
func (p *planner) windowArgs(c *parse.Call, name string, params []string) (map[string]parse.Expr, error) {
	order := append([]string{"DATA"}, params...)
	usage := name + "(" + strings.Join(order, ", ") + ")"
	args := map[string]parse.Expr{}
	for i, a := range c.Args {
		var key string
		if a.Name != nil {
			key = strings.ToUpper(a.Name.Name)
			if !containsParam(order, key) {
				return nil, p.errorf(a, parse.DidYouMean(key, trimBrackets(order)), "%s has no argument %q; it is %s", name, a.Name.Name, usage)
			}
		} else if i < len(order) {
			key = strings.Trim(order[i], "[]")
		} else {
			return nil, p.errorf(a, "", "%s has too many arguments; it is %s", name, usage)
		}
		if args[key] != nil {
			return nil, p.errorf(a, "", "argument %s is given twice", key)
		}
		args[key] = a.Value
	}
	for _, o := range order {
		if args[o] == nil && !strings.HasPrefix(o, "[") {
			return nil, p.errorf(c, "", "%s lacks its argument %s; it is %s", name, o, usage)
		}
	}
	return args, nil
}

func trimBrackets(order []string) []string {
	out := make([]string, len(order))
	for i, o := range order {
		out[i] = strings.Trim(o, "[]")
	}
	return out
}

func containsParam(order []string, key string) bool {
	return slices.Contains(trimBrackets(order), key)
}

func (p *planner) bindTableArg(ta *parse.TableArg, env *env) (*rel, string, error) {
	if len(ta.OrderBy) > 0 {
		return nil, "", p.errorf(ta.OrderBy[0], "", "a window function takes no ORDER BY")
	}
	if ta.Query != nil {
		r, err := p.bindQuery(ta.Query, env)
		return r, "", err
	}
	return p.bindTableRef(ta.Table, env)
}

// timeColumn resolves DESCRIPTOR(ts) to a time attribute.
func (p *planner) timeColumn(b *exprBinder, arg parse.Expr, call parse.Node, table string) (*windowSpec, error) {
	d, ok := arg.(*parse.Descriptor)
	if !ok {
		return nil, p.errorf(arg, "write DESCRIPTOR(ts)", "the time column must be a DESCRIPTOR")
	}
	if len(d.Columns) != 1 {
		return nil, p.errorf(d, "", "DESCRIPTOR must name one column")
	}
	id := d.Columns[0]
	e, err := b.column(&parse.ColumnRef{Span: id.Span, Parts: []parse.Ident{id}})
	if err != nil {
		return nil, err
	}
	return p.timeAttribute(b, e, id, table)
}

// timeAttribute makes the start of a windowing over time attribute e.
func (p *planner) timeAttribute(b *exprBinder, e *expr.Expr, node parse.Node, table string) (*windowSpec, error) {
	w := &windowSpec{}
	switch b.attrOf(e) {
	case attrProc:
		w.proc, w.TimeCol, w.LTZ = true, -1, true
	case attrRow:
		w.TimeCol, w.LTZ = e.Col, e.Type.Kind.String() == "TIMESTAMP_LTZ"
	default:
		if !e.Type.Kind.IsTimestamp() {
			return nil, p.errorf(node, "", "a window needs a time attribute, %q is %s", e.String(), e.Type.Nullable())
		}
		of := ""
		if table != "" {
			of = " of \"" + table + "\""
		}
		hint := "declare WATERMARK FOR " + e.String() + " AS " + e.String() + " - INTERVAL '5' SECOND in its table, or use a PROCTIME() column"
		if e.Op != expr.OpCol || table == "" {
			hint += "; an expression over a time attribute is none"
		}
		return nil, p.errorf(node, hint, "a window needs a time attribute: column %q%s has no watermark", e.String(), of)
	}
	return w, nil
}

// windowSizes reads and checks the lengths.
func (p *planner) windowSizes(b *exprBinder, w *windowSpec, call parse.Node, args map[string]parse.Expr) error {
	for _, f := range []struct {
		name string
		dst  *int64
	}{{"SIZE", &w.SizeMS}, {"SLIDE", &w.SlideMS}, {"STEP", &w.SlideMS}, {"GAP", &w.GapMS}, {"OFFSET", &w.OffsetMS}} {
		a := args[f.name]
		if a == nil {
			continue
		}
		ms, err := b.intervalMS(a, "the "+strings.ToLower(f.name)+" of the window")
		if err != nil {
			return p.at(a, err)
		}
		if ms <= 0 && f.name != "OFFSET" {
			return p.errorf(a, "", "the %s of the window must be longer than 0", strings.ToLower(f.name))
		}
		*f.dst = ms
	}
	return p.checkWindow(w, call)
}

// checkWindow checks what lengths must have to do with each other.
func (p *planner) checkWindow(w *windowSpec, call parse.Node) error {
	switch w.Kind {
	case graph.Hop:
		if w.SizeMS%w.SlideMS != 0 {
			return p.errorf(call, "", "HOP needs a size that is a multiple of its slide, not %d ms and %d ms", w.SizeMS, w.SlideMS)
		}
	case graph.Cumulate:
		if w.SizeMS%w.SlideMS != 0 {
			return p.errorf(call, "", "CUMULATE needs a size that is a multiple of its step, not %d ms and %d ms", w.SizeMS, w.SlideMS)
		}
	case graph.Tumble, graph.Session, graph.Attached:
	}
	size := w.SizeMS
	if w.SlideMS > 0 {
		size = w.SlideMS
	}
	if w.OffsetMS != 0 && (w.OffsetMS >= size || w.OffsetMS <= -size) {
		return p.errorf(call, "", "the offset of the window must be shorter than %d ms", size)
	}
	return nil
}

// partitionKeys binds PARTITION BY, which only SESSION takes.
func (p *planner) partitionKeys(b *exprBinder, ta *parse.TableArg, name string) ([]int, error) {
	if len(ta.PartitionBy) > 0 && name != "SESSION" {
		return nil, p.errorf(ta.PartitionBy[0], "name the columns in GROUP BY", "%s takes no PARTITION BY", name)
	}
	var keys []int
	for _, e := range ta.PartitionBy {
		x, err := b.bind(e)
		if err != nil {
			return nil, err
		}
		if x.Op != expr.OpCol {
			return nil, p.errorf(e, "compute it in a subquery", "PARTITION BY must name columns")
		}
		keys = append(keys, x.Col)
	}
	return keys, nil
}

func (p *planner) windowOverUpdates(n parse.Node, name string) error {
	what := "the input"
	if name != "" {
		what = "\"" + name + "\""
	}
	return p.errorf(n, "use a window aggregation in place of the unbounded GROUP BY below it",
		"windows need rows that are only added, but %s changes rows that it has given out", what)
}

// groupWindow is TUMBLE(ts, size), HOP(ts, slide, size) or SESSION(ts, gap) in GROUP BY.
type groupWindow struct {
	spec windowSpec
	name string
	args string // the call's arguments as normalised SQL: TUMBLE_START must repeat them
	node parse.Node
}

var groupWindowNames = []string{"TUMBLE", "HOP", "SESSION"}

func isGroupWindow(name string) bool {
	return name == "TUMBLE" || name == "HOP" || name == "SESSION"
}

// isGroupWindowFunction reports TUMBLE and its like, and TUMBLE_START and its like.
func isGroupWindowFunction(name string) bool {
	for _, g := range groupWindowNames {
		if name == g {
			return true
		}
		if rest, ok := strings.CutPrefix(name, g+"_"); ok {
			switch rest {
			case "START", "END", "ROWTIME", "PROCTIME":
				return true
			}
		}
	}
	return false
}

func callArgs(c *parse.Call) string {
	parts := make([]string, len(c.Args))
	for i, a := range c.Args {
		parts[i] = a.Value.String()
	}
	return strings.Join(parts, ", ")
}

// bindGroupWindow binds a group window of GROUP BY.
func (b *exprBinder) bindGroupWindow(c *parse.Call) (*groupWindow, error) {
	name := c.FuncName()
	params := map[string][]string{"TUMBLE": {"SIZE"}, "HOP": {"SLIDE", "SIZE"}, "SESSION": {"GAP"}}[name]
	if n := len(c.Args); n != len(params)+1 {
		hint := ""
		if n == len(params)+2 {
			hint = "offsets are possible in the window function in FROM"
		}
		return nil, b.p.errorf(c, hint, "%s in GROUP BY takes a time attribute and %d interval(s)", name, len(params))
	}
	x, err := b.bind(c.Args[0].Value)
	if err != nil {
		return nil, err
	}
	w, err := b.p.timeAttribute(b, x, c.Args[0], b.sc.name)
	if err != nil {
		return nil, err
	}
	w.Kind = graph.WindowKind(name)
	args := map[string]parse.Expr{}
	for i, prm := range params {
		args[prm] = c.Args[i+1].Value
	}
	if err := b.p.windowSizes(b, w, c, args); err != nil {
		return nil, err
	}
	return &groupWindow{spec: *w, name: name, args: callArgs(c), node: c}, nil
}

// groupWindowColumn binds TUMBLE_START(ts, size) and its like to the window of GROUP BY.
func (b *exprBinder) groupWindowColumn(c *parse.Call, name string) (*expr.Expr, error) {
	kind, what, _ := strings.Cut(name, "_")
	if b.agg == nil || b.agg.group == nil {
		return nil, b.p.errorf(c, "group by "+kind+"("+callArgs(c)+")", "%s needs the same window in GROUP BY", name)
	}
	g := b.agg.group
	if what == "" {
		return nil, b.p.errorf(c, "select "+kind+"_START("+g.args+")", "%s can only stand in GROUP BY", name)
	}
	if g.name != kind || callArgs(c) != g.args {
		return nil, b.p.errorf(c, "write "+g.name+"_"+what+"("+g.args+")", "%s does not repeat the window of GROUP BY, %s(%s)", name, g.name, g.args)
	}
	cols := windowColumns(&g.spec)
	at := map[string]int{"START": winStart, "END": winEnd, "ROWTIME": winTime, "PROCTIME": winTime}[what]
	switch {
	case what == "ROWTIME" && g.spec.proc:
		return nil, b.p.errorf(c, "use "+kind+"_PROCTIME", "a window of processing time has no rowtime")
	case what == "PROCTIME" && !g.spec.proc:
		return nil, b.p.errorf(c, "use "+kind+"_ROWTIME", "a window of event time has no proctime")
	}
	return expr.Column(winBase+at, cols[at].name, cols[at].typ), nil
}
