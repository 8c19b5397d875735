package lint

import (
	"fmt"
	"slices"
	"strings"
)

// layer is a row of the law: packages and what they may import of this module. The
// standard library and other modules are free, and the leaves are for all.
type layer struct {
	// pattern is a package path below the module: "engine/op" itself, "engine/op/*" each
	// package directly below it, "engine/op/..." it and all below it.
	pattern string
	// imports are patterns of what it may import, nil for nothing.
	imports []string
}

const anything = "..."

// leaves are packages that import nothing of ours and that every package may import.
var leaves = []string{"internal/invariants", "internal/civil", "internal/duration", "internal/sorting"}

// columns are the packages that know values but neither state nor operators.
var columns = []string{"engine/vec", "engine/stream", "engine/expr", "engine/agg"}

// contracts are the packages below the operator families, whose interfaces these meet.
var contracts = join(columns, "engine/state/enc", "engine/state", "engine/graph", "engine/table", "engine/rows", "engine/sample", "engine/op")

// parts are what a process is put together from.
var parts = join(contracts, "engine/state/*", "engine/op/*", "engine/exchange", "engine/exchange/remote",
	"engine/checkpoint", "engine/checkpoint/ckptstore", "engine/blob", "engine/blob/s3", "engine/task", "engine/schedule", "engine/job", "engine/serve", "engine/inspect", "engine/preview", "engine/rest", "engine/locate", "proto/...")

// layers is the law: imports run downwards only. The first row whose pattern matches a
// package counts. Adding a row for a new package is routine; adding an import to a row is
// a decision, to be explained where it is made.
var layers = []layer{
	{"engine/vec", nil},
	// Apart, so that a program that does not speak Arrow does not carry it.
	{"engine/vec/vecarrow", []string{"engine/vec"}},
	{"engine/stream", []string{"engine/vec"}},
	{"engine/expr", []string{"engine/vec", "engine/stream"}},
	// The bytes of a value in state: accumulators write themselves with it.
	{"engine/state/enc", []string{"engine/vec"}},
	{"engine/agg", []string{"engine/vec", "engine/stream", "engine/expr", "engine/state/enc"}},
	{"engine/state", []string{"engine/vec", "engine/stream"}},
	{"engine/state/*", []string{"engine/vec", "engine/stream", "engine/state", "engine/state/enc"}},
	// A spilled table merges encoded accumulators, and its groups are theirs.
	{"engine/table", []string{"engine/vec", "engine/stream", "engine/agg", "engine/state", "engine/state/enc"}},
	// Whole rows by the keys of a table, which go to a store as it does.
	{"engine/rows", []string{"engine/vec", "engine/stream", "engine/state", "engine/state/enc", "engine/table"}},
	// A job graph carries compiled-away expressions and aggregate calls as data.
	{"engine/graph", columns},
	// A few rows for people to look at.
	{"engine/sample", []string{"engine/vec", "engine/stream"}},
	{"engine/op", join(columns, "engine/state", "engine/graph", "engine/sample")},
	{"engine/op/optest", join(contracts, "engine/state/*")},
	// Operator families never import each other.
	{"engine/op/*", contracts},
	{"engine/exchange", []string{"engine/vec", "engine/stream", "engine/state", "engine/graph"}},
	// Its connections notice silence as all of ours do.
	{"engine/exchange/remote", []string{
		"engine/vec", "engine/stream", "engine/state", "engine/graph", "engine/exchange", "engine/serve", "proto/...",
	}},
	{"engine/checkpoint", []string{"engine/stream", "engine/state"}},
	{"engine/checkpoint/ckptstore", []string{"engine/stream", "engine/checkpoint", "engine/blob"}},
	{"engine/blob", nil},
	{"engine/blob/*", []string{"engine/blob"}},
	{"engine/task", join(contracts, "engine/exchange", "engine/checkpoint")},
	{"engine/schedule", []string{"engine/stream", "engine/graph", "engine/checkpoint"}},
	{"engine/job", []string{"engine/stream", "engine/graph", "engine/checkpoint"}},
	// What every process serves beside its work: listening, gRPC settings, health, metrics, profiles.
	{"engine/serve", nil},
	// Who leads: asked by clients and taskmanagers, answered by jobmanagers that do not.
	{"engine/locate", []string{"engine/serve", "proto/..."}},
	// Rows on their way to who looks at them.
	{"engine/preview", nil},
	// HTTP knows the jobmanager by what it asks and tells.
	{"engine/rest", []string{"proto/...", "engine/inspect"}},
	// A look into the own process.
	{"engine/inspect", nil},
	// The only place where the parts meet.
	{"engine/jobmanager", parts},
	{"engine/taskmanager", parts},
	{"engine/client", []string{"engine/stream", "engine/vec", "engine/graph", "engine/serve", "engine/locate", "proto/..."}},

	{"connectors/all", []string{"connectors/...", "engine/op"}},
	{"connectors/format", []string{"engine/vec", "engine/stream", "engine/graph", "engine/op"}},
	{"connectors/format/*", []string{"engine/vec", "engine/stream", "engine/graph", "engine/op", "connectors/format"}},
	{"connectors/conformance", join(contracts, "connectors/format")},
	{"connectors/*", []string{
		"engine/vec", "engine/stream", "engine/state", "engine/graph", "engine/op",
		"connectors/format", "connectors/format/*",
	}},

	// The dashboard, built; the API it calls is not its own.
	{"web", nil},

	{"sql/parse", nil},
	// It reads scripts that are not whole yet, without a syntax tree.
	{"sql/complete", []string{"engine/op", "engine/graph"}},
	{"sql/plan", join(columns, "engine/graph", "engine/op", "sql/parse")},

	{"proto/...", []string{"proto/..."}},
	// The dashboard: files.
	{"web", nil},

	{"internal/invariants", nil},
	{"internal/civil", nil},
	{"internal/duration", nil},
	{"internal/sorting", nil},
	{"internal/lint", nil},
	{"internal/testenv", []string{"internal/child"}},
	// Programs that end with who starts them.
	{"internal/child", nil},
	// A network in memory, for whole processes in virtual time.
	{"internal/memnet", nil},
	// What the demo plays around a cluster: a house, a broker, a view of the results.
	{"internal/demo", nil},
	{"internal/datatest", nil},
	{"internal/sim", []string{anything}},
	{"internal/metamorphic", []string{anything}},
	// What `bramble bench` measures: whole clusters.
	{"internal/bench", []string{anything}},
	// Container images as archives, for scripts/images.
	{"internal/image", nil},
	// Flags and configuration for the commands, which stay a page each.
	{"internal/app", []string{anything}},
	{"internal/app/...", []string{anything}},

	{"cmd/*", []string{"internal/app", "internal/app/..."}},
	{"benchmarks/...", []string{anything}},
	{"test/...", []string{anything}},
	{"examples/...", []string{anything}},
	{"scripts/*", []string{"internal/image"}},
}

func join(a []string, more ...string) []string { return append(slices.Clone(a), more...) }

// matches says whether the package path pkg (below the module) is one of pattern's.
func matches(pattern, pkg string) bool {
	if pattern == anything {
		return true
	}
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return pkg == base || strings.HasPrefix(pkg, base+"/")
	}
	if base, ok := strings.CutSuffix(pattern, "/*"); ok {
		rest, below := strings.CutPrefix(pkg, base+"/")
		return below && !strings.Contains(rest, "/")
	}
	return pkg == pattern
}

// pkgImports is a package with what it imports of this module, both below the module.
type pkgImports struct {
	path string
	// imports are those of its programs; tests those of its test files.
	imports, tests []string
}

// checkLayers returns what breaks the law, a line each.
func checkLayers(law []layer, pkgs []pkgImports) []string {
	var faults []string
	for _, p := range pkgs {
		i := slices.IndexFunc(law, func(l layer) bool { return matches(l.pattern, p.path) })
		if i < 0 {
			faults = append(faults, fmt.Sprintf("%s is not in the layer table: add a row "+
				"{%q, []string{…what it may import…}} to internal/lint/layers.go, above every "+
				"wider pattern, between what it imports and what imports it", p.path, p.path))
			continue
		}
		for _, imp := range p.imports {
			if !slices.Contains(leaves, imp) && !allowed(law[i], imp) {
				faults = append(faults, fmt.Sprintf("%s imports %s, but row %q of the layer table "+
					"(internal/lint/layers.go) allows only: %s",
					p.path, imp, law[i].pattern, strings.Join(law[i].imports, ", ")))
			}
		}
		faults = append(faults, checkTestImports(p)...)
	}
	return faults
}

func allowed(l layer, imp string) bool {
	return slices.ContainsFunc(l.imports, func(pattern string) bool { return matches(pattern, imp) })
}

// checkTestImports leaves tests free, but for the one direction that keeps the engine a
// library: its own tests, too, do without SQL and connectors.
func checkTestImports(p pkgImports) []string {
	if !matches("engine/...", p.path) {
		return nil
	}
	var faults []string
	for _, imp := range p.tests {
		if matches("sql/...", imp) || matches("connectors/...", imp) {
			faults = append(faults, fmt.Sprintf("a test of %s imports %s: the engine is tested without "+
				"SQL and connectors; put the test into test/ or into that package", p.path, imp))
		}
	}
	return faults
}
