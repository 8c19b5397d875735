package taskmanager

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// TestNoteAddress: the first address is no change, and neither is the same one again.
func TestNoteAddress(t *testing.T) {
	var out bytes.Buffer
	tm := &TaskManager{cfg: Config{Log: slog.New(slog.NewTextHandler(&out, nil))}}
	for _, step := range []struct{ address, want string }{
		{"10.0.0.1:6124", ""},
		{"10.0.0.1:6124", ""},
		{"10.0.0.2:6124", `msg="the address of this taskmanager has changed" was=10.0.0.1:6124 is=10.0.0.2:6124`},
		{"10.0.0.2:6124", ""},
	} {
		out.Reset()
		tm.noteAddress(step.address)
		if got := out.String(); step.want == "" && got != "" || !strings.Contains(got, step.want) {
			t.Errorf("%s: %q, want %q", step.address, got, step.want)
		}
	}
}
