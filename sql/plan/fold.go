package plan

import (
	"time"

	"github.com/bramble-stream/bramble/engine/expr"
)

// fold computes what is constant in e. What fails is left as it is: it may never be evaluated.
func fold(e *expr.Expr) *expr.Expr { return foldIn(e, time.UTC) }

func foldIn(e *expr.Expr, zone *time.Location) *expr.Expr {
	f, err := expr.Fold(e, &expr.Env{Location: zone})
	if err != nil {
		return e
	}
	return f
}

// zone is table.local-time-zone.
func (p *planner) zone() *time.Location {
	if z, err := time.LoadLocation(p.conf.value("table.local-time-zone")); err == nil {
		return z
	}
	return time.UTC
}
