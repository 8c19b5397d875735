package app

import (
	"github.com/bramble-stream/bramble/connectors/all"
	"github.com/bramble-stream/bramble/connectors/collect"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/jobmanager"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/sql/plan"
)

// Planner plans SQL scripts for the built-in connectors. preview takes the rows of a bare SELECT; nil leaves it to the planner.
func Planner(preview *graph.TableSpec) jobmanager.Planner { return planner(all.Connectors(), preview) }

func planner(connectors map[string]*op.Connector, preview *graph.TableSpec) jobmanager.Planner {
	return func(req jobmanager.PlanRequest) (*jobmanager.Planned, error) {
		o := plan.Options{
			File: req.File, Config: req.Config, Parallelism: req.Parallelism, Name: req.Name,
			Connectors: connectors, PreviewSink: preview,
		}
		if req.Preview {
			script, err := previewed(req.File, req.Script)
			if err != nil {
				return nil, err
			}
			req.Script = script
			o.Connectors, o.PreviewSink = withCollect(connectors, nil), &graph.TableSpec{Name: "preview", Connector: collect.Name}
		}
		r, err := plan.Plan(req.Script, o)
		if err != nil {
			return nil, err
		}
		return &jobmanager.Planned{Graph: r.Graph, Logical: r.Logical, Physical: r.Physical, Warnings: r.Warnings}, nil
	}
}
