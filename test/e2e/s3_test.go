//go:build integration

package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/bramble-stream/bramble/internal/testenv"
)

// s3Bucket is the bucket of these tests, s3Prefix where in it the checkpoint directory is.
const s3Bucket, s3Prefix = "bramble", "a/b/"

// bucket is a bucket on a real server, as its owner sees it: with what Bramble's own listing hides.
type bucket struct {
	t      *testing.T
	client *minio.Client
}

func newBucket(t *testing.T, server *testenv.Server) *bucket {
	t.Helper()
	c, err := minio.New(server.Addr(), &minio.Options{Creds: credentials.NewStaticV4(testenv.S3AccessKey, testenv.S3SecretKey, "")})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.MakeBucket(t.Context(), s3Bucket, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	return &bucket{t, c}
}

// names lists every object, and every upload that was begun and not ended.
func (b *bucket) names() []string {
	b.t.Helper()
	var names []string
	for o := range b.client.ListObjects(b.t.Context(), s3Bucket, minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			b.t.Fatal(o.Err)
		}
		names = append(names, o.Key)
	}
	for u := range b.client.ListIncompleteUploads(b.t.Context(), s3Bucket, "", true) {
		if u.Err != nil {
			b.t.Fatal(u.Err)
		}
		names = append(names, "unfinished upload of "+u.Key)
	}
	return names
}

// besides waits until only leader records and what has one of the prefixes is there, and returns the latter.
func (b *bucket) besides(prefixes ...string) []string {
	b.t.Helper()
	var kept, left []string
	await(b.t, "the bucket to be tidy", func() bool {
		kept, left = nil, nil
		for _, n := range b.names() {
			in := func(p string) bool { return strings.HasPrefix(n, s3Prefix+p) }
			switch {
			case slices.ContainsFunc(prefixes, in):
				kept = append(kept, n)
			case !in("leader/"):
				left = append(left, n)
			}
		}
		if len(left) > 0 {
			b.t.Logf("left: %q", left)
		}
		return len(left) == 0
	})
	return kept
}

// credentialsByFile has programs that are started from now on find server and keys by files that the environment names.
func credentialsByFile(t *testing.T, endpoint string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("AWS_ENDPOINT_URL_S3", endpoint)
	for name, secret := range map[string]string{"AWS_ACCESS_KEY_ID": testenv.S3AccessKey, "AWS_SECRET_ACCESS_KEY": testenv.S3SecretKey} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv(name, "${file:"+file+"}")
	}
}

// credentialsByEnvironment has programs that are started from now on find the keys in the environment.
func credentialsByEnvironment(t *testing.T, endpoint string) {
	t.Helper()
	t.Setenv("AWS_ENDPOINT_URL_S3", endpoint)
	t.Setenv("AWS_ACCESS_KEY_ID", testenv.S3AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", testenv.S3SecretKey)
}

// startOverS3 starts a jobmanager with its keys in files, and taskmanagers with theirs in the environment; so has a jobmanager that is started later.
func startOverS3(t *testing.T, endpoint string, taskmanagers, slots int) *checkpointed {
	t.Helper()
	credentialsByFile(t, endpoint)
	location := "s3://" + s3Bucket + "/" + strings.TrimSuffix(s3Prefix, "/")
	return startWithStorage(t, location, func() { credentialsByEnvironment(t, endpoint) }, taskmanagers, slots)
}

// TestJobOverS3 has a job with its checkpoints in a bucket live through the loss of a taskmanager, of the jobmanager, and of the S3 server.
// The results are those of one run, and the bucket holds nothing but what was asked for.
func TestJobOverS3(t *testing.T) {
	server := testenv.S3(t)
	store := newBucket(t, server)
	c := startOverS3(t, server.URL(), 2, 2)
	c.livesThrough(func() {
		server.Kill()
		await(t, "the outage to be noticed", func() bool { return strings.Contains(c.jobmanager.out.String(), "lease not renewed") })
		server.Restart()
	}, store.besides)
}

// unconditional is a server before server that knows no conditional writes, and says so, as some do. It counts how often it did.
func unconditional(t *testing.T, server *testenv.Server, refused *atomic.Int64) string {
	t.Helper()
	target, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // it is signed
	}}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") == "" {
			forward.ServeHTTP(w, r)
			return
		}
		refused.Add(1)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusNotImplemented)
		fmt.Fprint(w, `<Error><Code>NotImplemented</Code><Message>A header you provided implies functionality that is not implemented.</Message></Error>`)
	}))
	t.Cleanup(front.Close)
	return front.URL
}

// TestStandbyOverS3 has two jobmanagers over a bucket, on a server with conditional writes and on one without. The server's outage ends neither and changes
// nothing; when the leader is killed, the other one leads, once.
func TestStandbyOverS3(t *testing.T) {
	for name, conditional := range map[string]bool{"conditional writes": true, "no conditional writes": false} {
		t.Run(name, func(t *testing.T) {
			server := testenv.S3(t)
			store := newBucket(t, server)
			endpoint := server.URL()
			var refused atomic.Int64
			if !conditional {
				endpoint = unconditional(t, server, &refused)
			}
			p := pairOverS3(t, endpoint)
			id := jobID(t, p.mustBramble("submit", p.script("SET 'execution.checkpointing.interval' = '500 ms';\n"+endless), "-p", "1"))
			p.completed(2)
			if !conditional && refused.Load() == 0 {
				t.Error("nobody tried a conditional write")
			}

			server.Kill()
			await(t, "both to notice", func() bool {
				return strings.Contains(p.jms[0].out.String(), "lease not renewed") && strings.Contains(p.jms[1].out.String(), "does not answer")
			})
			server.Restart()
			await(t, "the standby to see storage", func() bool { return strings.Contains(p.jms[1].out.String(), "answers again") })
			before := p.completedBy(id)
			await(t, "checkpoints after the outage", func() bool { return p.completedBy(id) >= before+2 })

			p.jms[0].Signal(syscall.SIGKILL)
			if took := p.leads(1); took > standbyMax {
				t.Errorf("the standby took %s", took)
			}
			p.registered(1)
			await(t, "the job to run", func() bool { return strings.Contains(p.status(id), "State      RUNNING") })
			p.completed(2)
			p.mustBramble("cancel", id)
			for _, n := range store.besides() {
				t.Errorf("left: %s", n)
			}
			epochs := 0
			for _, n := range store.names() {
				if _, err := strconv.ParseUint(strings.TrimPrefix(n, s3Prefix+"leader/"), 10, 64); err == nil {
					epochs++
				}
			}
			if epochs != 2 {
				t.Errorf("%d leader epochs were taken, want 2: %q", epochs, store.names())
			}
		})
	}
}

// pairOverS3 is startPair with checkpoints in a bucket, and one taskmanager.
func pairOverS3(t *testing.T, endpoint string) *pair {
	t.Helper()
	credentialsByEnvironment(t, endpoint)
	p := &pair{}
	for i := range p.jms {
		rpc, metrics := testenv.FreePort(t), testenv.FreePort(t)
		p.rpc[i], p.stats[i] = fmt.Sprintf("127.0.0.1:%d", rpc), fmt.Sprintf("http://127.0.0.1:%d/metrics", metrics)
		p.args[i] = []string{
			"--bind-host", "127.0.0.1", "--rpc-port", strconv.Itoa(rpc), "--http-port", "0", "--metrics-port", strconv.Itoa(metrics),
			"--checkpoint-dir", "s3://" + s3Bucket + "/" + strings.TrimSuffix(s3Prefix, "/"),
		}
	}
	p.checkpointed = &checkpointed{&cluster{t: t, addr: p.rpc[0] + "," + p.rpc[1], jmMetrics: p.stats[0]}, "", nil}
	p.startOne(0)
	p.leads(0)
	p.startOne(1)
	await(t, "the second to stand by", func() bool { return strings.Contains(p.jms[1].out.String(), "standing by") })
	p.addTaskManager(1)
	p.registered(1)
	return p
}

// TestWrongS3Settings: what is wrong with storage is said at once, without the secret.
func TestWrongS3Settings(t *testing.T) {
	server := testenv.S3(t)
	newBucket(t, server)
	for name, c := range map[string]struct{ dir, access, secret, want string }{
		"secret":    {"s3://" + s3Bucket, testenv.S3AccessKey, "wrongsecret", "signature we calculated does not match"},
		"bucket":    {"s3://nothing-here", testenv.S3AccessKey, testenv.S3SecretKey, "bucket does not exist"},
		"half":      {"s3://" + s3Bucket, testenv.S3AccessKey, "", "one of access key and secret key is missing"},
		"no file":   {"s3://" + s3Bucket, testenv.S3AccessKey, "${file:/nothing/here}", "/nothing/here: no such file"},
		"parameter": {"s3://" + s3Bucket + "?endpont=x", testenv.S3AccessKey, testenv.S3SecretKey, `parameter "endpont"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AWS_ENDPOINT_URL_S3", server.URL())
			t.Setenv("AWS_ACCESS_KEY_ID", c.access)
			t.Setenv("AWS_SECRET_ACCESS_KEY", c.secret)
			began := time.Now()
			p := start(t, "jobmanager", "--bind-host", "127.0.0.1", "--rpc-port", "0", "--http-port", "0", "--metrics-port", "0", "--checkpoint-dir", c.dir)
			if code := p.ended(); code == 0 {
				t.Error("it ended without an error")
			}
			contains(t, p.out.String(), c.want)
			for _, secret := range []string{"wrongsecret", testenv.S3SecretKey} {
				if strings.Contains(p.out.String(), secret) {
					t.Errorf("it printed the secret:\n%s", p.out)
				}
			}
			t.Logf("after %s: %s", time.Since(began).Round(time.Millisecond), strings.TrimSpace(p.out.String()))
		})
	}
}
