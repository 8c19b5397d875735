package lint

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Limits of STYLE: what is longer does not fit a reader's head.
const (
	fileLinesMax     = 800
	funcLinesMax     = 70
	testFuncLinesMax = 120
)

// source is a parsed Go file.
type source struct {
	path string // with slashes, below the root
	file *ast.File
	fset *token.FileSet
	// lines is the number of lines of the file.
	lines int
}

func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }
func (s source) dir() string  { return filepath.ToSlash(filepath.Dir(s.path)) }

// hasTag says whether the file is only built with the tag.
func (s source) hasTag(tag string) bool {
	for _, g := range s.file.Comments {
		for _, c := range g.List {
			if expr, ok := strings.CutPrefix(c.Text, "//go:build "); ok {
				return strings.Contains(expr, tag) && !strings.Contains(expr, "!"+tag)
			}
		}
	}
	return false
}

// sources parses all hand-written Go files of the module below dir: no nested modules,
// testdata or hidden directories, no files with the standard header of generated code.
func sources(dir string) ([]source, error) {
	var all []source
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != dir && skipDir(path, d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		s, err := parse(filepath.ToSlash(rel), path, nil)
		if err != nil {
			return err
		}
		if !ast.IsGenerated(s.file) {
			all = append(all, s)
		}
		return nil
	})
	return all, err
}

func skipDir(path, name string) bool {
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") ||
		slices.Contains([]string{"testdata", "vendor", "node_modules", "dist", "bin"}, name) {
		return true
	}
	nested, err := filepath.Glob(filepath.Join(path, "go.mod"))
	return err == nil && len(nested) > 0
}

// parse reads a file, or src if that is not nil.
func parse(rel, path string, src any) (source, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return source{}, err
	}
	return source{path: rel, file: f, fset: fset, lines: fset.File(f.FileStart).LineCount()}, nil
}

func (s source) line(p token.Pos) int { return s.fset.Position(p).Line }

// checkLengths returns files and functions that are too long.
func checkLengths(s source) []string {
	var faults []string
	if s.lines > fileLinesMax {
		faults = append(faults, fmt.Sprintf("%s has %d lines, at most %d are allowed",
			s.path, s.lines, fileLinesMax))
	}
	limit := funcLinesMax
	if s.isTest() {
		limit = testFuncLinesMax
	}
	for _, d := range s.file.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		if n := s.line(fn.Body.Rbrace) - s.line(fn.Body.Lbrace) - 1; n > limit {
			faults = append(faults, fmt.Sprintf("%s:%d: function %s has %d lines, at most %d are allowed",
				s.path, s.line(fn.Pos()), fn.Name.Name, n, limit))
		}
	}
	return faults
}

// checkPackageComments returns packages that have no package comment, several, or one
// that does not begin as godoc wants.
func checkPackageComments(files []source) []string {
	names := map[string]string{}
	found := map[string][]source{}
	for _, s := range files {
		if s.isTest() {
			continue
		}
		names[s.dir()] = s.file.Name.Name
		if s.file.Doc != nil {
			found[s.dir()] = append(found[s.dir()], s)
		}
	}
	var faults []string
	for dir, name := range names {
		docs := found[dir]
		switch {
		case len(docs) == 0:
			faults = append(faults, fmt.Sprintf("package %s has no package comment", dir))
		case len(docs) > 1:
			faults = append(faults, fmt.Sprintf("package %s has %d package comments, in %s and %s",
				dir, len(docs), docs[0].path, docs[1].path))
		case name != "main" && !strings.HasPrefix(docs[0].file.Doc.Text(), "Package "+name+" "):
			faults = append(faults, fmt.Sprintf("%s: the package comment does not begin with \"Package %s\"",
				docs[0].path, name))
		}
	}
	slices.Sort(faults)
	return faults
}

// imported returns the name under which the file uses a package, "" if it does not.
func (s source) imported(path string) string {
	for _, imp := range s.file.Imports {
		p, err := strconv.Unquote(imp.Path.Value)
		if err != nil || p != path {
			continue
		}
		if imp.Name != nil {
			return imp.Name.Name
		}
		if path == "math/rand/v2" {
			return "rand"
		}
		return path[strings.LastIndexByte(path, '/')+1:]
	}
	return ""
}

// uses calls found for each use of a function or variable of the package, and does not
// look into the arguments of a call of which skip says so.
func (s source) uses(path string, skip func(*ast.CallExpr) bool, found func(sel *ast.SelectorExpr)) {
	name := s.imported(path)
	if name == "" {
		return
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			return skip == nil || !skip(n)
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == name {
				found(n)
			}
		}
		return true
	})
}

// checkSleeps returns the sleeps of a unit test. Inside testing/synctest's bubble a sleep
// costs nothing and is exact, so it may stay.
func checkSleeps(s source) []string {
	bubble := s.imported("testing/synctest")
	inBubble := func(c *ast.CallExpr) bool {
		sel, ok := c.Fun.(*ast.SelectorExpr)
		if !ok || bubble == "" {
			return false
		}
		x, ok := sel.X.(*ast.Ident)
		return ok && x.Name == bubble && sel.Sel.Name == "Test"
	}
	var faults []string
	s.uses("time", inBubble, func(sel *ast.SelectorExpr) {
		if sel.Sel.Name == "Sleep" {
			faults = append(faults, fmt.Sprintf("%s:%d: time.Sleep in a unit test: wait for the event, or "+
				"use testing/synctest (a helper that only runs in its bubble goes into sleepAllowed)",
				s.path, s.line(sel.Pos())))
		}
	})
	return faults
}

// clockNames are what of package time depends on when the program runs.
var clockNames = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer"}

// seededNames are what of math/rand leads to chance that a seed repeats.
var seededNames = []string{"New", "NewSource", "NewPCG", "NewChaCha8", "NewZipf", "Rand", "Source", "Source64", "PCG", "ChaCha8", "Zipf"}

// checkPure returns uses of the clock and of unseeded chance.
func checkPure(s source) []string {
	var faults []string
	s.uses("time", nil, func(sel *ast.SelectorExpr) {
		if slices.Contains(clockNames, sel.Sel.Name) {
			faults = append(faults, fmt.Sprintf("%s:%d: time.%s: time is an argument here, so that tests and "+
				"replays decide what time it is", s.path, s.line(sel.Pos()), sel.Sel.Name))
		}
	})
	for _, path := range []string{"math/rand", "math/rand/v2"} {
		s.uses(path, nil, func(sel *ast.SelectorExpr) {
			if !slices.Contains(seededNames, sel.Sel.Name) {
				faults = append(faults, fmt.Sprintf("%s:%d: rand.%s: take a *rand.Rand, so that a seed repeats the run",
					s.path, s.line(sel.Pos()), sel.Sel.Name))
			}
		})
	}
	return faults
}
