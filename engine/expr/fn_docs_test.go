package expr

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The page of functions names each function that a script can call, in the first column of a table.
func TestEveryFunctionIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/sql/functions.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	word := regexp.MustCompile(`[A-Z][A-Z0-9_]*`)
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.ReplaceAll(line, `\|`, ""), "|")
		if len(cells) < 4 || !strings.Contains(cells[1], "`") {
			continue
		}
		for _, w := range word.FindAllString(cells[1], -1) {
			known[w] = true
		}
	}
	for _, name := range Functions() {
		if !known[name] {
			t.Errorf("docs/sql/functions.md does not say what %s does", name)
		}
	}
}
