package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/bramble-stream/bramble/engine/rest"
)

var rewrite = flag.Bool("rewrite", false, "write the pages of bramble top into testdata/top")

// recorded are documents as a jobmanager gives them.
func recorded(t *testing.T) (*rest.Cluster, *rest.Job) {
	t.Helper()
	read := func(name string, v any) {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, v); err != nil {
			t.Fatal(err)
		}
	}
	c, j := &rest.Cluster{}, &rest.Job{}
	read("top-cluster.json", c)
	read("top-job.json", j)
	return c, j
}

// now is when they were recorded.
func topNow(c *rest.Cluster) time.Time {
	return time.UnixMilli(c.StartedAt).Add(75 * time.Minute).UTC()
}

var control = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// TestTopPages goes through the pages by keys; testdata/top has what is shown, without colours, each page with the keys before it.
func TestTopPages(t *testing.T) {
	c, j := recorded(t)
	p := &topPage{}
	p.take(c, nil, topNow(c))
	var got strings.Builder
	page := func(keys string, width, height int) {
		for _, k := range strings.Fields(keys) {
			if p.key(map[string]string{"Enter": "\r", "Down": "\x1b[B", "Up": "\x1b[A", "Esc": "\x1b"}[k] + map[bool]string{true: k}[len(k) == 1]) {
				t.Fatalf("%s ends it", k)
			}
			if p.stale {
				p.take(c, j, topNow(c))
			}
		}
		lines := p.lines(width, height)
		if len(lines) > height {
			t.Errorf("%d lines on a screen of %d", len(lines), height)
		}
		fmt.Fprintf(&got, "=== %s %dx%d\n", keys, width, height)
		for _, l := range lines {
			l = control.ReplaceAllString(l, "")
			if w := text.StringWidthWithoutEscSequences(l); w > width {
				t.Errorf("%d columns on a screen of %d: %s", w, width, l)
			}
			got.WriteString(strings.TrimRight(l, " ") + "\n")
		}
	}
	page("", 80, 24)
	page("s s s s s", 80, 12)
	page("r Down", 40, 9)
	page("Up Enter", 80, 24)
	page("Down Enter", 80, 14)
	page("Esc", 100, 10)
	page("Esc", 132, 8)
	p.fault = errors.New("no jobmanager\n at x")
	page("", 80, 7)
	path := filepath.Join("testdata", "top")
	if *rewrite {
		if err := os.WriteFile(path, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || got.String() != string(want) {
		t.Errorf("%v, got\n%s", err, got.String())
	}
	if !p.key("q") {
		t.Error("q does not end it")
	}
}

func TestTopPlain(t *testing.T) {
	c, j := recorded(t)
	var out bytes.Buffer
	asked := 0
	l := &topLoop{out: &out, count: 1, every: time.Hour, now: func() time.Time { return topNow(c) }, ask: func(_ context.Context, id string) ([]byte, error) {
		asked++
		switch id {
		case "":
			return json.Marshal(c)
		case "7c5ad4ee":
			return json.Marshal(j)
		}
		return nil, errors.New("no such job")
	}}
	if err := l.plain(t.Context(), false, 100); err != nil || asked != 1 || !strings.Contains(out.String(), "house") || strings.Contains(out.String(), "\x1b") {
		t.Errorf("%v, asked %d times:\n%s", err, asked, &out)
	}
	out.Reset()
	l.page.jobID = "7c5ad4ee"
	if err := l.plain(t.Context(), true, 100); err != nil || !json.Valid(out.Bytes()) || !strings.Contains(out.String(), `"vertices"`) {
		t.Errorf("%v:\n%s", err, &out)
	}
	l.page.jobID = "none"
	if err := l.plain(t.Context(), false, 100); err == nil {
		t.Error("a job that does not exist")
	}
}

// TestScreenSendsWhatChanged has one line change.
func TestScreenSendsWhatChanged(t *testing.T) {
	var out bytes.Buffer
	s := &screen{out: &out, width: 80, height: 24}
	if err := s.draw([]string{"one", "two"}); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out.String(), ansiClear) {
		t.Errorf("the first page %q", out.String())
	}
	out.Reset()
	if err := s.draw([]string{"one", "2"}); err != nil || out.String() != "\x1b[2;1H2"+ansiPlain+ansiRestOfLine {
		t.Errorf("the second page %q, %v", out.String(), err)
	}
	out.Reset()
	if err := s.draw([]string{"one"}); err != nil || out.String() != "\x1b[2;1H"+ansiPlain+ansiRestOfLine {
		t.Errorf("a shorter page %q, %v", out.String(), err)
	}
}

func TestShortNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.25: "0.2", 9.5: "9.5", 12.7: "13", 999: "999", 999.9: "1.0k", 1500: "1.5k", 250_000: "250k", 3e6: "3M", 1.25e9: "1.2G"} {
		if got := short(v); got != want {
			t.Errorf("%v is %s, want %s", v, got, want)
		}
	}
	for ms, want := range map[int64]string{-5: "0ms", 12: "12ms", 9_940: "9.9s", 59_000: "59s", 61_000: "1m01s", 3_700_000: "1h01m", 90_000_000: "1d01h"} {
		if got := span(ms).text; got != want {
			t.Errorf("%d ms is %s, want %s", ms, got, want)
		}
	}
}
