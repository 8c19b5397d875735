// Package web holds the dashboard, built, and serves it. It knows nothing of jobs: what the pages show comes from the jobmanager's HTTP
// API, which is not this package's.
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

// Only compressed, since that is what browsers ask for: a third of the bytes in the binary. See build.mjs.
//
//go:embed dist/*.gz
var dist embed.FS

const (
	// contentSecurityPolicy lets the page load and call what this server has, and nothing else. Styles may be inline because the editor
	// writes its own; scripts may not.
	contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
		"connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
	// forEver is for files whose name changes with their content.
	forEver = "public, max-age=31536000, immutable"
	// askAgain is for the others; an ETag makes that cheap.
	askAgain = "no-cache"
)

// asset is a file as it is served.
type asset struct {
	compressed  []byte
	etag        string
	contentType string
	cache       string
}

// assets are the files of the dashboard by the path of their URL.
var assets = sync.OnceValues(load)

func load() (map[string]asset, error) {
	entries, err := dist.ReadDir("dist")
	if err != nil {
		return nil, fmt.Errorf("read the dashboard: %w", err)
	}
	out := map[string]asset{}
	for _, e := range entries {
		data, err := dist.ReadFile(path.Join("dist", e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read the dashboard: %w", err)
		}
		sum := sha256.Sum256(data)
		name := strings.TrimSuffix(e.Name(), ".gz")
		a := asset{compressed: data, etag: `"` + hex.EncodeToString(sum[:12]) + `"`, contentType: contentType(name), cache: forEver}
		switch name {
		case "index.html":
			a.cache = askAgain
			out["/"], out["/index.html"] = a, a
		case "icon.svg":
			a.cache = askAgain
			out["/icon.svg"] = a
		default:
			out["/assets/"+name] = a
		}
	}
	return out, nil
}

// contentType does not ask the system's tables, which differ from machine to machine.
func contentType(name string) string {
	switch ext := path.Ext(name); ext {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	default:
		return mime.TypeByExtension(ext)
	}
}

// Handler serves the dashboard: its page at / and what that loads below /assets/. Everything else is not found. It keeps no state and is
// safe for concurrent use.
func Handler() http.Handler { return http.HandlerFunc(serve) }

func serve(w http.ResponseWriter, r *http.Request) {
	files, err := assets()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	a, ok := files[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "the dashboard can only be read", http.StatusMethodNotAllowed)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("Cache-Control", a.cache)
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Vary", "Accept-Encoding")
	body, etag := a.compressed, a.etag
	if acceptsGzip(r.Header) {
		h.Set("Content-Encoding", "gzip")
	} else {
		// Hardly anybody: decompressed for each.
		if body, err = decompress(a.compressed); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		etag = strings.TrimSuffix(etag, `"`) + `-plain"`
	}
	h.Set("ETag", etag)
	if matches(r.Header.Get("If-None-Match"), etag) {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // the browser may have left
	}
}

func decompress(data []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("decompress the dashboard: %w", err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("decompress the dashboard: %w", err)
	}
	return plain, nil
}

// acceptsGzip reads Accept-Encoding: a list of names, each perhaps with a weight, where 0 is no.
func acceptsGzip(h http.Header) bool {
	for part := range strings.SplitSeq(strings.Join(h.Values("Accept-Encoding"), ","), ",") {
		name, params, _ := strings.Cut(part, ";")
		if name = strings.TrimSpace(name); !strings.EqualFold(name, "gzip") && name != "*" {
			continue
		}
		weight, found := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
		if !found {
			return true
		}
		q, err := strconv.ParseFloat(weight, 64)
		return err == nil && q > 0
	}
	return false
}

// matches compares weakly, as If-None-Match asks: intermediaries may have weakened the tag.
func matches(header, etag string) bool {
	for part := range strings.SplitSeq(header, ",") {
		part = strings.TrimSpace(part)
		if part == "*" || strings.TrimPrefix(part, "W/") == etag {
			return true
		}
	}
	return false
}
