package main

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// rankings are the queries of ROW_NUMBER over an order that leaves ties, bids of one price or one moment. Who comes first among those is who arrives first, and
// that is only given with one source.
var rankings = []string{"q9", "q18", "q19"}

// TestResultsAreFlinks runs the queries of Nexmark over 50,000 events and compares with what was recorded of Flink.
func TestResultsAreFlinks(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs the program")
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	s := &settings{recorded: true, events: 50_000, rate: 10_000, root: root, dir: t.TempDir()}
	s.bin = s.dir
	build := exec.CommandContext(t.Context(), "go", "build", "-o", s.bin+"/", "./cmd/bramble")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	all, err := s.readExpected()
	if err != nil {
		t.Fatal(err)
	}
	want := all["50000"]
	for _, q := range allQueries {
		t.Run(q, func(t *testing.T) {
			if want[q].Rows == 0 {
				t.Fatal("nothing is recorded")
			}
			s.parallelism = 2
			if slices.Contains(rankings, q) {
				s.parallelism = 1
			}
			verdict, err := s.conform(t.Context(), q, want)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(verdict, "DIFFERENT") {
				t.Fatal(verdict)
			}
			if verdict == "" {
				t.Skip("not planned")
			}
		})
	}
}
