package lint

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// sleepAllowed are test files whose sleeps have a reason: file → why.
var sleepAllowed = map[string]string{}

// purePackages take time and chance as arguments.
var purePackages = []string{
	"engine/vec", "engine/expr", "engine/stream", "engine/graph", "engine/agg", "engine/table",
	"engine/op", "engine/op/*", "engine/checkpoint", "engine/schedule", "engine/job",
}

func repository(t *testing.T) string {
	t.Helper()
	dir, err := root()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func repositorySources(t *testing.T) []source {
	t.Helper()
	files, err := sources(repository(t))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func report(t *testing.T, faults []string) {
	t.Helper()
	for _, f := range faults {
		t.Error(f)
	}
}

func TestLayers(t *testing.T) { report(t, checkLayers(layers, listPackages(t))) }

// listPackages asks go list twice, so that the twins of a build tag are both seen.
func listPackages(t *testing.T) []pkgImports {
	t.Helper()
	byPath := map[string]*pkgImports{}
	for _, tags := range []string{"", "integration,invariants"} {
		cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", "-tags", tags, "./...")
		cmd.Dir = repository(t)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		for dec := json.NewDecoder(bytes.NewReader(out)); ; {
			var p struct {
				ImportPath                         string
				Imports, TestImports, XTestImports []string
			}
			if err := dec.Decode(&p); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			path := strings.TrimPrefix(p.ImportPath, Module+"/")
			have := byPath[path]
			if have == nil {
				have = &pkgImports{path: path}
				byPath[path] = have
			}
			have.imports = addOurs(have.imports, p.Imports)
			have.tests = addOurs(addOurs(have.tests, p.TestImports), p.XTestImports)
		}
	}
	var all []pkgImports
	for _, p := range byPath {
		all = append(all, *p)
	}
	slices.SortFunc(all, func(a, b pkgImports) int { return strings.Compare(a.path, b.path) })
	if len(all) == 0 {
		t.Fatal("go list found no packages")
	}
	return all
}

// addOurs adds those paths that are below the module, each once.
func addOurs(have, paths []string) []string {
	for _, p := range paths {
		if rel, ok := strings.CutPrefix(p, Module+"/"); ok && !slices.Contains(have, rel) {
			have = append(have, rel)
		}
	}
	return have
}

func TestEveryPackageHasOneComment(t *testing.T) {
	report(t, checkPackageComments(repositorySources(t)))
}

func TestLengths(t *testing.T) {
	for _, s := range repositorySources(t) {
		report(t, checkLengths(s))
	}
}

func TestUnitTestsDoNotSleep(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range repositorySources(t) {
		if !s.isTest() || s.hasTag("integration") || s.hasTag("swarm") {
			continue
		}
		faults := checkSleeps(s)
		if sleepAllowed[s.path] != "" {
			seen[s.path] = len(faults) > 0
			continue
		}
		report(t, faults)
	}
	for path := range sleepAllowed {
		if !seen[path] {
			t.Errorf("%s does not sleep (any more): take it out of sleepAllowed", path)
		}
	}
}

func TestPurePackagesTakeTimeAndChance(t *testing.T) {
	for _, s := range repositorySources(t) {
		pure := slices.ContainsFunc(purePackages, func(p string) bool { return matches(p, s.dir()) })
		if pure && !s.isTest() {
			report(t, checkPure(s))
		}
	}
}
