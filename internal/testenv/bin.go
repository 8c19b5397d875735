package testenv

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/bramble-stream/bramble/internal/invariants"
)

// built remembers, for this test process, what each program's build came to.
var built struct {
	sync.Mutex
	byName map[string]func() (string, error)
}

// Bin builds cmd/<name> ("jobmanager", "taskmanager", "bramble"), once a test process,
// and returns the path of the binary. It checks invariants if the test does.
func Bin(t testing.TB, name string) string {
	t.Helper()
	built.Lock()
	if built.byName == nil {
		built.byName = map[string]func() (string, error){}
	}
	build := built.byName[name]
	if build == nil {
		build = sync.OnceValues(func() (string, error) { return buildProgram(name) })
		built.byName[name] = build
	}
	built.Unlock()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// buildProgram puts the binary into a directory of the user's cache that belongs to this
// source tree, so that test runs leave one file behind, not one each. Other test
// processes may be doing the same: the finished file is moved into place.
func buildProgram(name string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	tags := ""
	if invariants.Enabled {
		tags = "invariants"
	}
	key := sha256.Sum256([]byte(root + "\x00" + tags))
	dir := filepath.Join(cache, "bramble-testenv", fmt.Sprintf("%x", key[:6]))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // in the user's cache, where a rest does no harm
	out := filepath.Join(tmp, name)
	cmd := exec.Command("go", "build", "-tags", tags, "-o", out, "./cmd/"+name)
	cmd.Dir = root
	if msg, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/%s: %w\n%s", name, err, msg)
	}
	final := filepath.Join(dir, name)
	return final, os.Rename(out, final)
}

// moduleRoot is the nearest directory above the test's with a go.mod.
func moduleRoot() (string, error) {
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
