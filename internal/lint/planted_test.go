package lint

import (
	"slices"
	"strings"
	"testing"
)

// These tests plant a fault for each rule, so that a rule that stops finding anything is
// noticed.

func TestLayersFindsPlantedImports(t *testing.T) {
	for name, c := range map[string]struct {
		pkg  pkgImports
		want string // part of the fault, "" for none
	}{
		"downwards":          {pkgImports{path: "engine/op/window", imports: []string{"engine/agg", "engine/op"}}, ""},
		"invariants for all": {pkgImports{path: "engine/vec", imports: []string{"internal/invariants"}}, ""},
		"family to family":   {pkgImports{path: "engine/op/window", imports: []string{"engine/op/project"}}, "engine/op/window imports engine/op/project"},
		"upwards":            {pkgImports{path: "engine/vec", imports: []string{"engine/op"}}, "engine/vec imports engine/op"},
		"engine to sql":      {pkgImports{path: "engine/jobmanager", imports: []string{"sql/plan"}}, "engine/jobmanager imports sql/plan"},
		"proto in operators": {pkgImports{path: "engine/task", imports: []string{"proto/bramble/v1"}}, "engine/task imports proto"},
		"test helper":        {pkgImports{path: "connectors/mqtt", imports: []string{"internal/testenv"}}, "imports internal/testenv"},
		"test may":           {pkgImports{path: "connectors/mqtt", tests: []string{"internal/testenv"}}, ""},
		"engine test":        {pkgImports{path: "engine/task", tests: []string{"connectors/mqtt"}}, "a test of engine/task"},
		"unknown":            {pkgImports{path: "engine/magic"}, "not in the layer table"},
	} {
		t.Run(name, func(t *testing.T) {
			wantFault(t, checkLayers(layers, []pkgImports{c.pkg}), c.want)
		})
	}
}

// TestLawHasNoCycles lets nobody make the table say that two packages import each other.
func TestLawHasNoCycles(t *testing.T) {
	for i, a := range layers {
		for _, b := range layers[i+1:] {
			if strings.Contains(a.pattern, "engine/") && allowed(a, b.pattern) && allowed(b, a.pattern) {
				t.Errorf("%s and %s may import each other", a.pattern, b.pattern)
			}
		}
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, pkg string
		want         bool
	}{
		{"engine/op", "engine/op", true},
		{"engine/op", "engine/op/window", false},
		{"engine/op/*", "engine/op", false},
		{"engine/op/*", "engine/op/window", true},
		{"engine/op/*", "engine/op/window/deep", false},
		{"engine/op/*", "engine/operator", false},
		{"proto/...", "proto", true},
		{"proto/...", "proto/bramble/v1", true},
		{"proto/...", "protocol", false},
		{anything, "x/y", true},
	} {
		if got := matches(c.pattern, c.pkg); got != c.want {
			t.Errorf("matches(%q, %q) = %v", c.pattern, c.pkg, got)
		}
	}
}

func TestSourceRulesFindPlantedFaults(t *testing.T) {
	long := "func f() {\n" + strings.Repeat("\tg()\n", funcLinesMax+1) + "}\n"
	for name, c := range map[string]struct {
		path, src string
		check     func(source) []string
		want      string
	}{
		"long function": {"a.go", "package a\n" + long, checkLengths, "function f has 71 lines"},
		"long test":     {"a_test.go", "package a\n" + long, checkLengths, ""},
		"long file":     {"a.go", "package a\n" + strings.Repeat("\n", fileLinesMax), checkLengths, "has 801 lines"},
		"sleep":         {"a_test.go", "package a\nimport \"time\"\nfunc f() { time.Sleep(1) }", checkSleeps, "a_test.go:3: time.Sleep"},
		"sleep renamed": {"a_test.go", "package a\nimport tm \"time\"\nfunc f() { tm.Sleep(1) }", checkSleeps, "time.Sleep"},
		"sleep in bubble": {"a_test.go", "package a\nimport (\n\"time\"\n\"testing/synctest\"\n)\n" +
			"func f() { synctest.Test(t, func(t *T) { time.Sleep(1) }) }", checkSleeps, ""},
		"clock":       {"a.go", "package a\nimport \"time\"\nvar x = time.Now", checkPure, "time.Now"},
		"duration":    {"a.go", "package a\nimport \"time\"\nvar x = time.Second", checkPure, ""},
		"global rand": {"a.go", "package a\nimport \"math/rand/v2\"\nvar x = rand.IntN(3)", checkPure, "rand.IntN"},
		"seeded rand": {"a.go", "package a\nimport \"math/rand/v2\"\nvar x = rand.New(rand.NewPCG(1, 2))", checkPure, ""},
	} {
		t.Run(name, func(t *testing.T) {
			wantFault(t, c.check(mustParse(t, c.path, c.src)), c.want)
		})
	}
}

func TestPackageCommentRule(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"one":   {map[string]string{"p/a.go": "// Package p is.\npackage p", "p/b.go": "package p"}, ""},
		"none":  {map[string]string{"p/a.go": "package p"}, "no package comment"},
		"two":   {map[string]string{"p/a.go": "// Package p is.\npackage p", "p/b.go": "// Package p is.\npackage p"}, "2 package comments"},
		"wrong": {map[string]string{"p/a.go": "// It is.\npackage p"}, "does not begin"},
		"test":  {map[string]string{"p/a_test.go": "package p"}, ""},
		"main":  {map[string]string{"p/a.go": "// The p command is.\npackage main"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var files []source
			for path, src := range c.files {
				files = append(files, mustParse(t, path, src))
			}
			wantFault(t, checkPackageComments(files), c.want)
		})
	}
}

func TestHasTag(t *testing.T) {
	for src, want := range map[string]bool{
		"//go:build integration\n\npackage a":          true,
		"//go:build linux && integration\n\npackage a": true,
		"//go:build !integration\n\npackage a":         false,
		"package a":                                    false,
	} {
		if got := mustParse(t, "a_test.go", src).hasTag("integration"); got != want {
			t.Errorf("%q: %v", src, got)
		}
	}
}

func mustParse(t *testing.T, path, src string) source {
	t.Helper()
	s, err := parse(path, path, src)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wantFault(t *testing.T, faults []string, want string) {
	t.Helper()
	if want == "" {
		if len(faults) > 0 {
			t.Errorf("faults %q, want none", faults)
		}
		return
	}
	if !slices.ContainsFunc(faults, func(f string) bool { return strings.Contains(f, want) }) {
		t.Errorf("faults %q, want %q among them", faults, want)
	}
}
