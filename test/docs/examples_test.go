package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bramble-stream/bramble/connectors/all"
)

// TestExamplesPlan plans every example at its defaults and on several tasks.
func TestExamplesPlan(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "examples/*.sql"))
	if err != nil || len(files) < 4 {
		t.Fatalf("examples: %v %v", files, err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			p, err := planned(substituted(t, readText(t, f), nil), all.Connectors())
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Warnings) > 0 {
				t.Errorf("warnings: %v", p.Warnings)
			}
			if name := strings.TrimSuffix(filepath.Base(f), ".sql"); p.Graph.Name != name {
				t.Errorf("the job is called %q", p.Graph.Name)
			}
		})
	}
}

// TestFilesExample runs the job over files and reads what it has written.
func TestFilesExample(t *testing.T) {
	out := t.TempDir()
	text := substituted(t, readText(t, filepath.Join(root, "examples/files.sql")), map[string]string{"OUTPUT": out})
	if printed := run(t, text); printed != "" {
		t.Fatal(printed)
	}
	var got []string
	for _, room := range []string{"bath", "kitchen"} {
		parts, err := filepath.Glob(filepath.Join(out, "room="+room, "part-*"))
		if err != nil || len(parts) != 1 {
			t.Fatalf("%s: %v %v", room, parts, err)
		}
		for l := range strings.Lines(readText(t, parts[0])) {
			got = append(got, room+": "+strings.TrimSuffix(l, "\n"))
		}
	}
	want := []string{
		"bath: 2026-11-21 12:00:00.000,2026-11-21 12:00:10.000,1,23.0",
		"bath: 2026-11-21 12:00:10.000,2026-11-21 12:00:20.000,1,24.0",
		"kitchen: 2026-11-21 12:00:00.000,2026-11-21 12:00:10.000,2,20.75",
		"kitchen: 2026-11-21 12:00:10.000,2026-11-21 12:00:20.000,1,19.5",
		"kitchen: 2026-11-21 12:00:20.000,2026-11-21 12:00:30.000,1,22.0",
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	var shown []string
	for _, b := range pageOf(t, "docs/connectors/filesystem.md").blocks(t) {
		for l := range strings.Lines(b.text) {
			if strings.HasPrefix(l, "2026-") {
				shown = append(shown, "kitchen: "+strings.TrimSuffix(l, "\n"))
			}
		}
	}
	if !slices.Equal(shown, want[2:]) {
		t.Errorf("docs/connectors/filesystem.md shows\n%s", strings.Join(shown, "\n"))
	}
}

var lineComment = regexp.MustCompile(`(?m)^--.*\n`)

// TestHomeAssistantExample compares the example with the page that it comes from.
func TestHomeAssistantExample(t *testing.T) {
	plain := func(text string) string { return strings.TrimSpace(lineComment.ReplaceAllString(text, "")) }
	example := plain(readText(t, filepath.Join(root, "examples/home-assistant.sql")))
	for _, b := range pageOf(t, "docs/home-assistant.md").blocks(t) {
		if b.lang == "sql" {
			if !strings.HasSuffix(example, plain(b.text)) {
				t.Errorf("%s:%d is not what examples/home-assistant.sql has", b.page.path, b.line)
			}
			return
		}
	}
	t.Error("the page has no job")
}

func readText(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
