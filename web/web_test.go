package web

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// compressedMax is what the whole dashboard may weigh on the wire.
const compressedMax = 300_000

// answered is an answer of the handler.
type answered struct {
	status int
	header http.Header
	body   []byte
}

func get(t *testing.T, path string, header ...string) answered {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	return answered{w.Code, w.Header(), w.Body.Bytes()}
}

// text is the body, decompressed.
func (a answered) text(t *testing.T) string {
	t.Helper()
	if a.header.Get("Content-Encoding") != "gzip" {
		return string(a.body)
	}
	z, err := gzip.NewReader(bytes.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestThePageLoadsOnlyWhatIsThere(t *testing.T) {
	page := get(t, "/", "Accept-Encoding", "gzip").text(t)
	refs := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(refs) < 4 {
		t.Fatalf("the page names %d files:\n%s", len(refs), page)
	}
	for _, ref := range refs {
		r := get(t, "/"+ref[1], "Accept-Encoding", "gzip")
		if r.status != http.StatusOK || r.header.Get("Content-Type") == "" || r.text(t) == "" {
			t.Errorf("%s: %d, %q", ref[1], r.status, r.header.Get("Content-Type"))
		}
	}
	if strings.Contains(page, "://") || regexp.MustCompile(`<script[^>]*>[^<]`).MatchString(page) || strings.Contains(page, " on") && strings.Contains(page, "onload=") {
		t.Errorf("the page loads from elsewhere or has a script inline:\n%s", page)
	}
}

func TestWithAndWithoutCompression(t *testing.T) {
	zipped, plain := get(t, "/", "Accept-Encoding", "br, gzip;q=0.5"), get(t, "/", "Accept-Encoding", "gzip;q=0, identity")
	if zipped.header.Get("Content-Encoding") != "gzip" || plain.header.Get("Content-Encoding") != "" {
		t.Fatalf("encodings %q and %q", zipped.header.Get("Content-Encoding"), plain.header.Get("Content-Encoding"))
	}
	if zipped.header.Get("ETag") == plain.header.Get("ETag") {
		t.Error("two representations share a tag")
	}
	if a, b := zipped.text(t), plain.text(t); a != b || !strings.Contains(a, "<!doctype html>") {
		t.Errorf("they differ:\n%s\n%s", a, b)
	}
}

func TestCaching(t *testing.T) {
	first := get(t, "/")
	again := get(t, "/", "If-None-Match", `"other", W/`+first.header.Get("ETag"))
	if again.status != http.StatusNotModified || len(again.body) != 0 {
		t.Errorf("the same page again: %d with %d bytes", again.status, len(again.body))
	}
	if got := first.header.Get("Cache-Control"); got != askAgain {
		t.Errorf("the page is kept: %s", got)
	}
	files, err := assets()
	if err != nil {
		t.Fatal(err)
	}
	for name, a := range files {
		if strings.HasPrefix(name, "/assets/") && (a.cache != forEver || !regexp.MustCompile(`-[0-9A-Z]{8}\.`).MatchString(name)) {
			t.Errorf("%s: %s, although its name does not tell its content, or it is not kept", name, a.cache)
		}
	}
}

func TestRefuses(t *testing.T) {
	for _, path := range []string{"/assets/", "/dist/index.html.gz", "/index.html.gz", "/jobs", "/assets/../web.go"} {
		if r := get(t, path); r.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, r.status)
		}
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader("x")))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
		t.Errorf("POST: %d", w.Code)
	}
	if p := get(t, "/").header.Get("Content-Security-Policy"); !strings.Contains(p, "script-src 'self';") {
		t.Errorf("policy %q", p)
	}
}

func TestSizeAndHeaders(t *testing.T) {
	files, err := assets()
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for name, a := range files {
		if name != "/index.html" {
			total += len(a.compressed)
		}
		// Bytes 4 to 9 of gzip hold the time and the system: a build elsewhere must give the same.
		if head := a.compressed[:10]; !bytes.Equal(head[4:8], make([]byte, 4)) || head[9] != 255 {
			t.Errorf("%s: header % x", name, head)
		}
	}
	if total > compressedMax {
		t.Errorf("%d bytes, want at most %d", total, compressedMax)
	}
}
