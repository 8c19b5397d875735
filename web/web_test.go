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

func get(t *testing.T, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	return w.Result()
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	defer r.Body.Close()
	var from io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		from = z
	}
	b, err := io.ReadAll(from)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestThePageLoadsOnlyWhatIsThere(t *testing.T) {
	page := text(t, get(t, "/", "Accept-Encoding", "gzip"))
	refs := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(refs) < 4 {
		t.Fatalf("the page names %d files:\n%s", len(refs), page)
	}
	for _, ref := range refs {
		r := get(t, "/"+ref[1], "Accept-Encoding", "gzip")
		if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") == "" {
			t.Errorf("%s: %s, %q", ref[1], r.Status, r.Header.Get("Content-Type"))
		}
		text(t, r)
	}
	if strings.Contains(page, "://") || regexp.MustCompile(`<script[^>]*>[^<]`).MatchString(page) || strings.Contains(page, " on") && strings.Contains(page, "onload=") {
		t.Errorf("the page loads from elsewhere or has a script inline:\n%s", page)
	}
}

func TestWithAndWithoutCompression(t *testing.T) {
	zipped, plain := get(t, "/", "Accept-Encoding", "br, gzip;q=0.5"), get(t, "/", "Accept-Encoding", "gzip;q=0, identity")
	if zipped.Header.Get("Content-Encoding") != "gzip" || plain.Header.Get("Content-Encoding") != "" {
		t.Fatalf("encodings %q and %q", zipped.Header.Get("Content-Encoding"), plain.Header.Get("Content-Encoding"))
	}
	if zipped.Header.Get("ETag") == plain.Header.Get("ETag") {
		t.Error("two representations share a tag")
	}
	if a, b := text(t, zipped), text(t, plain); a != b || !strings.Contains(a, "<!doctype html>") {
		t.Errorf("they differ:\n%s\n%s", a, b)
	}
}

func TestCaching(t *testing.T) {
	first := get(t, "/")
	text(t, first)
	again := get(t, "/", "If-None-Match", `"other", W/`+first.Header.Get("ETag"))
	if body := text(t, again); again.StatusCode != http.StatusNotModified || body != "" {
		t.Errorf("the same page again: %s with %d bytes", again.Status, len(body))
	}
	if got := first.Header.Get("Cache-Control"); got != askAgain {
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
		if r := get(t, path); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, r.Status)
		}
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader("x")))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
		t.Errorf("POST: %d", w.Code)
	}
	if p := get(t, "/").Header.Get("Content-Security-Policy"); !strings.Contains(p, "script-src 'self';") {
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
