// Package lint checks what no general linter knows about this repository: which package
// may import which, that every package says what it is, how long files and functions may
// be, where clocks and chance may be used, and words that must not be checked in. It is
// tests only; it is no part of any program and fixes nothing.
//
// The tests ask `go list` and read files that are none of theirs, which Go's test cache
// does not see. Run them with -count=1, as `make layers` does:
//
//	go test -count=1 ./internal/lint
package lint

import (
	"errors"
	"os"
	"path/filepath"
)

// Module is the path of the repository's module. Nested modules (tools) are not checked.
const Module = "github.com/bramble-stream/bramble"

// root returns the directory of the repository's go.mod.
func root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no go.mod above the working directory")
		}
		dir = up
	}
}
