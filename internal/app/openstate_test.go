package app

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bramble-stream/bramble/engine/op"
)

// TestOpenStateFails: what is no store has to be nil, or whoever asks closes it.
func TestOpenStateFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := OpenState(file, op.TaskInfo{}, 0, nil); err == nil || s != nil {
		t.Errorf("%v, %v", s, err)
	}
}
