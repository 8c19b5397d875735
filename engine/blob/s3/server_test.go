//go:build integration

package s3_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/blob/blobtest"
	"github.com/bramble-stream/bramble/engine/blob/s3"
)

// versitygw builds the server that tools/versitygw pins (two minutes the first time), into the user's cache, and returns its path. It is
// BRAMBLE_TEST_VERSITYGW if that is set.
var versitygw = sync.OnceValues(func() (string, error) {
	if p := os.Getenv("BRAMBLE_TEST_VERSITYGW"); p != "" {
		return p, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	out := filepath.Join(cache, "bramble-testenv", "versitygw")
	cmd := exec.Command("go", "build", "-o", out, "github.com/versity/versitygw/cmd/versitygw")
	cmd.Dir = filepath.Join("..", "..", "..", "tools", "versitygw")
	if msg, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build versitygw: %w\n%s", err, msg)
	}
	return out, nil
})

// TestServer is against a real server: Versity's gateway over a directory.
func TestServer(t *testing.T) {
	program, err := versitygw()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, d := range []string{"data", "meta"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// The sidecar keeps metadata in files, as not every temporary directory has extended attributes.
	cmd := exec.Command(program, "--quiet", "--port", addr, "posix", "--sidecar", filepath.Join(dir, "meta"), filepath.Join(dir, "data"))
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY_ID=key", "ROOT_SECRET_ACCESS_KEY=secretsecret")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // its data are temporary
		_ = cmd.Wait()
	})
	await(t, addr)
	// A directory below its root is a bucket.
	n := 0
	blobtest.Run(t, func(t *testing.T) blob.Store {
		n++
		bucket := fmt.Sprintf("bucket-%d", n)
		if err := makeBucket(t, addr, bucket); err != nil {
			t.Fatal(err)
		}
		s, err := s3.New(s3.Config{Endpoint: "http://" + addr, Bucket: bucket, Prefix: "p", AccessKey: "key", SecretKey: "secretsecret"})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

// await returns once the server answers.
func await(t *testing.T, addr string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func makeBucket(t *testing.T, addr, bucket string) error {
	t.Helper()
	c, err := minio.New(addr, &minio.Options{Creds: credentials.NewStaticV4("key", "secretsecret", ""), Transport: http.DefaultTransport})
	if err != nil {
		return err
	}
	return c.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{})
}
