package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// root is the root of the repository.
var root = func() string {
	dir, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	return dir
}()

// page is a Markdown file.
type page struct {
	// path is relative to the root, with slashes.
	path  string
	lines []string
}

// block is a fenced block of a page.
type block struct {
	page *page
	// line is that of the fence, from 1.
	line       int
	lang, text string
	notes      map[string]string
}

// pages returns all Markdown files of the repository below the given paths.
func pages(t *testing.T, below ...string) []*page {
	t.Helper()
	var out []*page
	for _, b := range below {
		err := filepath.WalkDir(filepath.Join(root, b), func(p string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules" || d.Name() == "bin" || len(d.Name()) > 1 && d.Name()[0] == '.' && d.Name() != ".."):
				return fs.SkipDir
			case d.IsDir() || filepath.Ext(p) != ".md":
				return nil
			}
			text, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, p)
			out = append(out, &page{path: filepath.ToSlash(rel), lines: strings.Split(string(text), "\n")})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(out) == 0 {
		t.Fatalf("no Markdown below %v", below)
	}
	return out
}

func pageOf(t *testing.T, path string) *page {
	t.Helper()
	return pages(t, path)[0]
}

var comment = regexp.MustCompile(`^<!--\s*(.*?)\s*-->$`)

// blocks returns the fenced blocks in their order.
func (p *page) blocks(t *testing.T) []*block {
	t.Helper()
	var out []*block
	notes := map[string]string{}
	for i := 0; i < len(p.lines); i++ {
		line := strings.TrimSpace(p.lines[i])
		if m := comment.FindStringSubmatch(line); m != nil {
			for n := range strings.SplitSeq(m[1], ";") {
				key, value, _ := strings.Cut(strings.TrimSpace(n), ":")
				notes[key] = strings.TrimSpace(value)
			}
			continue
		}
		lang, ok := strings.CutPrefix(line, "```")
		if !ok {
			if line != "" {
				notes = map[string]string{}
			}
			continue
		}
		b := &block{page: p, line: i + 1, lang: lang, notes: notes}
		notes = map[string]string{}
		for i++; i < len(p.lines) && strings.TrimSpace(p.lines[i]) != "```"; i++ {
			b.text += p.lines[i] + "\n"
		}
		if i == len(p.lines) {
			t.Errorf("%s:%d: the block is not closed", p.path, b.line)
		}
		out = append(out, b)
	}
	return out
}

// prose are the lines outside of fenced blocks, with empty lines in place of the blocks.
func (p *page) prose() []string {
	out := slices.Clone(p.lines)
	inside := false
	for i, l := range out {
		fence := strings.HasPrefix(strings.TrimSpace(l), "```")
		if fence || inside {
			out[i] = ""
		}
		inside = inside != fence
	}
	return out
}

// section is the part of the page below the heading of the second level that reads so; the whole page when it has none.
func (p *page) section(heading string) *page {
	from := slices.Index(p.lines, "## "+heading)
	if from < 0 {
		return p
	}
	to := len(p.lines)
	for i := from + 1; i < to; i++ {
		if strings.HasPrefix(p.lines[i], "## ") {
			to = i
		}
	}
	return &page{path: p.path, lines: p.lines[from:to]}
}

// row is one of a table, by the names of its columns.
type row map[string]string

// tables returns the rows of all tables whose first column is named so.
func (p *page) tables(first string) []row {
	var out []row
	var header []string
	for _, l := range p.prose() {
		cells, ok := cellsOf(l)
		switch {
		case !ok:
			header = nil
		case header == nil:
			header = cells
		case header[0] == first && !strings.HasPrefix(cells[0], "--"):
			r := row{}
			for i, c := range cells {
				if i < len(header) {
					r[header[i]] = c
				}
			}
			out = append(out, r)
		}
	}
	return out
}

func cellsOf(line string) ([]string, bool) {
	line, ok := strings.CutPrefix(strings.TrimSpace(line), "|")
	if !ok {
		return nil, false
	}
	line = strings.ReplaceAll(strings.TrimSuffix(line, "|"), `\|`, "\x00")
	cells := strings.Split(line, "|")
	for i, c := range cells {
		cells[i] = strings.TrimSpace(strings.ReplaceAll(c, "\x00", "|"))
	}
	return cells, true
}

var span = regexp.MustCompile("`([^`]+)`")

// code returns what stands between backquotes.
func code(text string) []string {
	var out []string
	for _, m := range span.FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return out
}
