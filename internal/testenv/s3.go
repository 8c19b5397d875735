package testenv

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// S3AccessKey and S3SecretKey are the one user that S3 lets in.
const (
	S3AccessKey = "key"
	S3SecretKey = "secretsecret"
)

// versitygw builds the server that tools/versitygw pins (two minutes the first time), into the user's cache, and returns its path. It is
// BRAMBLE_TEST_VERSITYGW if that is set.
var versitygw = sync.OnceValues(func() (string, error) {
	if p := os.Getenv("BRAMBLE_TEST_VERSITYGW"); p != "" {
		return p, nil
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	out := filepath.Join(cache, "bramble-testenv", "versitygw")
	cmd := exec.Command("go", "build", "-o", out, "github.com/versity/versitygw/cmd/versitygw")
	cmd.Dir = filepath.Join(root, "tools", "versitygw")
	if msg, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build versitygw: %w\n%s", err, msg)
	}
	return out, nil
})

// VersityGW returns the path of the server that S3 starts.
func VersityGW(t testing.TB) string {
	t.Helper()
	path, err := versitygw()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// S3 starts a server of S3's protocol without buckets: Versity's gateway over a directory. Data survive Restart in any case, and Kill.
func S3(t testing.TB, opts ...Option) *Server {
	t.Helper()
	path := VersityGW(t)
	s := &Server{
		t: t, kind: "versitygw", opts: collect(opts),
		schemes: [2]string{"http", "https"},
		ready:   s3Ready,
		command: func(s *Server) (string, []string) {
			for _, d := range []string{"data", "meta"} {
				if err := os.MkdirAll(filepath.Join(s.dir, d), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			// The sidecar keeps metadata in files, as not every temporary directory has extended attributes.
			return path, []string{
				"--quiet", "--access", S3AccessKey, "--secret", S3SecretKey, "--port", s.Addr(),
				"posix", "--sidecar", filepath.Join(s.dir, "meta"), filepath.Join(s.dir, "data"),
			}
		},
	}
	s.start()
	return s
}

// s3Ready takes any answer: the server refuses whoever asks without a signature.
func s3Ready(s *Server) error {
	c := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get(s.URL())
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
