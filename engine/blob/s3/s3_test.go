package s3_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/blob/blobtest"
	"github.com/bramble-stream/bramble/engine/blob/s3"
)

// fake is an S3 server in this process, reached without a socket.
type fake struct {
	mu      sync.Mutex
	handler http.Handler
	// unconditional makes it ignore If-None-Match, as old servers do.
	unconditional bool
	// refusing makes it refuse requests with If-None-Match as a thing it does not know, as other servers do.
	refusing bool
}

func newFake(t *testing.T) *fake {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("bucket"); err != nil {
		t.Fatal(err)
	}
	return &fake{handler: gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()}
}

// RoundTrip implements http.RoundTripper. One request at a time: the fake checks conditions and writes in two steps.
func (f *fake) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		if err := r.Body.Close(); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	in := r.Clone(r.Context())
	in.Body = io.NopCloser(bytes.NewReader(body))
	in.RequestURI, in.Host = r.URL.RequestURI(), r.URL.Host
	in.Header.Set("Content-Length", strconv.FormatInt(r.ContentLength, 10)) // as a server finds it
	if f.unconditional {
		in.Header.Del("If-None-Match")
	}
	w := httptest.NewRecorder()
	if f.refusing && in.Header.Get("If-None-Match") != "" {
		w.WriteHeader(http.StatusNotImplemented)
		_, _ = w.WriteString(`<Error><Code>NotImplemented</Code><Message>A header implies functionality that is not implemented</Message></Error>`)
		return w.Result(), nil
	}
	f.handler.ServeHTTP(w, in)
	return w.Result(), nil
}

func open(t *testing.T, f *fake, prefix string) *s3.Store {
	t.Helper()
	s, err := s3.New(s3.Config{
		Endpoint: "http://fake.invalid", Bucket: "bucket", Prefix: prefix, AccessKey: "key", SecretKey: "secret", Transport: f,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestFake(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return open(t, newFake(t), "some/prefix") })
}

// TestFakeUnconditional is against a server that ignores conditions.
func TestFakeUnconditional(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store {
		f := newFake(t)
		f.unconditional = true
		return open(t, f, "")
	})
}

// TestFakeRefusing is against a server that refuses conditions.
func TestFakeRefusing(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store {
		f := newFake(t)
		f.refusing = true
		return open(t, f, "")
	})
}

func TestOpenSettings(t *testing.T) {
	env := map[string]string{"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "geheim", "AWS_ENDPOINT_URL": "http://nas:9000"}
	for _, c := range []struct {
		uri    string
		values map[string]string
		want   string
	}{
		{"s3://b/p/q/", nil, ""},
		{"s3://b?endpoint=http://x:1&region=r&path-style=true", nil, ""},
		{"s3:///p", nil, "no bucket"},
		{"s3://b/p?secret-key=geheim", nil, `parameter "secret-key"`},
		{"s3://b/p?endpoint=nas", nil, "http(s)://host"},
		{"s3://b/p", map[string]string{"s3.secret-key": "${file:/nowhere/geheim.key}"}, "s3.secret-key"},
		{"s3://b/p", map[string]string{"s3.secret-key": ""}, "secret key is missing"},
	} {
		u, err := url.Parse(c.uri)
		if err != nil {
			t.Fatal(err)
		}
		s, err := s3.Open(t.Context(), u, blob.Options{Values: c.values, Env: func(n string) string { return env[n] }})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.uri, err)
		}
		if err == nil && strings.Contains(fmt.Sprint(s), "geheim") {
			t.Errorf("%s prints its secret: %v", c.uri, s)
		}
	}
}

// TestErrorsKeepSecrets: what the server refuses names neither key.
func TestErrorsKeepSecrets(t *testing.T) {
	f := newFake(t)
	s, err := s3.New(s3.Config{Endpoint: "http://fake.invalid", Bucket: "nobucket", AccessKey: "AKIAX", SecretKey: "geheim", Transport: f})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Put(t.Context(), "x", blob.Bytes([]byte("1")))
	if err == nil || strings.Contains(err.Error(), "geheim") || strings.Contains(err.Error(), "AKIAX") {
		t.Error(err)
	}
}
