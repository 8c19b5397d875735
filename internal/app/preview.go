package app

import (
	"context"
	"maps"
	"strings"

	"github.com/bramble-stream/bramble/connectors/collect"
	"github.com/bramble-stream/bramble/connectors/format"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/taskmanager"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/sql/parse"
)

// withCollect adds the sink of previews. uplink is where rows go, nil for planning only.
func withCollect(connectors map[string]*op.Connector, uplink *taskmanager.Uplink) map[string]*op.Connector {
	all := maps.Clone(connectors)
	var open collect.Open
	if uplink != nil {
		open = func(ctx context.Context, job string) (collect.Stream, error) { return uplink.Collect(ctx, job) }
	}
	all[collect.Name] = collect.Connector(open)
	return all
}

// cellText writes a value of a row that somebody looks at, as previews do.
func cellText(dst []byte, c *vec.Col, i int) []byte {
	return format.AppendJSON(dst, c, i, format.TextStyle{Sep: ' '})
}

// previewed is a script of which only the query at its end runs: that of a SELECT or an INSERT, or all of a view that the script ends with. What else
// would run is blanked out, so that what stays keeps its position.
func previewed(file, script string) (string, error) {
	ast, err := parse.Parse(file, script)
	if err != nil {
		return "", err
	}
	if len(ast.Stmts) == 0 {
		return "", parse.ErrorList{parse.Errorf(file, parse.Span{Line: 1, Col: 1}, "end it with a SELECT", "the script is empty")}
	}
	var cuts []parse.Span
	more := ""
	for i, s := range ast.Stmts {
		last := i == len(ast.Stmts)-1
		switch s := s.(type) {
		case *parse.Insert:
			cut := s.Pos()
			if last { // up to its query
				cut.End = s.Query.Pos().Start
			}
			cuts = append(cuts, cut)
			if last {
				continue
			}
		case *parse.QueryStmt:
			if last {
				continue
			}
			cuts = append(cuts, s.Pos())
		case *parse.StatementSet:
			cuts = append(cuts, s.Pos())
		case *parse.CreateView:
			if last {
				more = "\n;\nSELECT * FROM " + ast.Text(s.Name)
				continue
			}
		}
		if last {
			return "", parse.ErrorList{parse.Errorf(file, s, "end it with the SELECT to show", "there is no query at the end of the script")}
		}
	}
	return blanked(script, cuts) + more, nil
}

// blanked is a script with spaces in place of the characters of some parts, which are in order and do not overlap.
func blanked(script string, cuts []parse.Span) string {
	var b strings.Builder
	at := 0
	for _, c := range cuts {
		b.WriteString(script[at:c.Start])
		for _, r := range script[c.Start:c.End] {
			if r != '\n' {
				r = ' '
			}
			b.WriteRune(r)
		}
		at = c.End
	}
	b.WriteString(script[at:])
	return b.String()
}
