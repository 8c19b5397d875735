package lint

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
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

// forbiddenWords are strings that tie the repository to the machine it was written on.
// Hosts of registries belong to the configuration of whoever builds.
var forbiddenWords = []string{
	"/work/", "proxy.golang.org", "sum.golang.org", "registry.npmjs.org", "registry-1.docker.io",
	"deb.debian.org", "pypi.org",
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
		if !s.isTest() || s.hasTag("integration") {
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

func TestForbiddenWords(t *testing.T) {
	dir := repository(t)
	// Tracked and new files alike, so that the fault shows before the commit.
	cmd := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("not a git checkout: %v", err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		if name == "internal/lint/lint_test.go" {
			continue // where the words are listed
		}
		b, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted, not committed yet
		} else if err != nil {
			t.Fatal(err)
		}
		if bytes.IndexByte(b[:min(len(b), 8000)], 0) >= 0 {
			continue // binary, by the rule git uses
		}
		for _, w := range forbiddenWords {
			if before, _, found := bytes.Cut(b, []byte(w)); found {
				t.Errorf("%s:%d: contains %q", name, 1+bytes.Count(before, []byte("\n")), w)
			}
		}
	}
}
