package main

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestMaterialize(t *testing.T) {
	rows, changes, err := materialize(strings.NewReader("+I[a, 1]\n2> +I[b, 1]\n-U[a, 1]\n+U[a, 2]\n12> +I[b, 1]\n+I[c, x > y]\n-D[c, x > y]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if changes != 7 || rows.total() != 3 || rows["a, 2"] != 1 || rows["b, 1"] != 2 {
		t.Fatalf("%d changes leave %v", changes, rows)
	}
	for _, bad := range []string{"Exception in thread\n", "-D[a]\n", "+X[a]\n", "+I[a\n"} {
		if _, _, err := materialize(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestDigestKnowsRowsAndNotTheirOrder(t *testing.T) {
	a, _, err1 := materialize(strings.NewReader("+I[a]\n+I[b]\n+I[b]\n"))
	b, _, err2 := materialize(strings.NewReader("+I[b]\n+I[a]\n+I[b]\n"))
	c, _, err3 := materialize(strings.NewReader("+I[a]\n+I[a]\n+I[b]\n"))
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	if a.digest() != b.digest() || a.digest() == c.digest() {
		t.Fatalf("digests are %s, %s, %s", a.digest(), b.digest(), c.digest())
	}
}

func TestSumOfWindows(t *testing.T) {
	rows, err := sumOfWindows(rowSet{"7, 2, x, y": 1, "7, 3, y, z": 1, "8, 1, x, y": 1})
	if err != nil || rows["7, 5"] != 1 || rows["8, 1"] != 1 || len(rows) != 2 {
		t.Fatalf("%v, %v", rows, err)
	}
	if _, err := sumOfWindows(rowSet{"7, x": 1}); err == nil {
		t.Fatal("no error")
	}
}

// TestQueriesAreComplete: what is in the directory is what the runners know.
func TestQueriesAreComplete(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "nexmark", "q*.sql"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".sql"))
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "'connector' = '${SINK:-blackhole}'") {
			t.Errorf("%s has no sink to choose", f)
		}
	}
	want := slices.Clone(allQueries)
	slices.Sort(names)
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Fatalf("queries are %v, the runner has %v", names, want)
	}
}

func TestReading(t *testing.T) {
	if got := string(reading(nil, 99, 1795289579123)); len(got) != 95 || !json.Valid([]byte(got)) || !strings.Contains(got, `"temp":34.99,`) || !passes(99) {
		t.Fatalf("reading 99 is %d bytes: %s", len(got), got)
	}
	packet := appendPublish(nil, "s/1", make([]byte, 200))
	if packet[1] != 0x80|(205&0x7f) || packet[2] != 1 || len(packet) != 3+205 {
		t.Fatalf("packet begins %x and has %d bytes", packet[:5], len(packet))
	}
}

func TestChecker(t *testing.T) {
	c := &checker{job: "tumble", ended: 20_000}
	for _, payload := range []string{
		`{"sensor":"s0001","window_end":10000,"n":3,"s":90}`,
		`[{"sensor":"s0001","n":2,"s":60},{"sensor":"end","n":1,"s":0}]`,
		`{"sensor":"s0001","window_end":30000,"n":1,"s":30}`,
	} {
		if err := c.take([]byte(payload), 11_050); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.take([]byte("{"), 0); err == nil {
		t.Fatal("no error")
	}
	r := loadReport{WantCounted: 6, WantSum: 180}
	if err := c.await(&r, time.Minute); err != nil {
		t.Fatal(err)
	}
	// The window that ended after the last reading has no latency.
	if r.Counted != 6 || r.Sum != 180 || r.Timed != 2 || r.P50 != 1050 {
		t.Fatalf("%+v", r)
	}
	f := mqttFigure{Rate: 10, loadReport: r}
	f.Sent = 6
	if !f.clean() {
		t.Fatal("not clean")
	}
	if f.LateMS = 1000; f.clean() {
		t.Fatal("clean although the publisher was late")
	}
	if f.LateMS, f.Counted = 0, 5; f.clean() || !strings.Contains(f.row(), "lost") {
		t.Fatal("clean although one is lost")
	}
}

func testReport() *report {
	return &report{When: "2026-11-22 01:00 UTC", Comparisons: []comparison{
		{Query: "q0", Bramble: figure{Events: 800, Seconds: 1, CPUSeconds: 1}, Flink: figure{Events: 100, Seconds: 1, CPUSeconds: 1}},
		{Query: "q1", Bramble: figure{Events: 100, Seconds: 1, CPUSeconds: 2}, Flink: figure{Events: 100, Seconds: 1, CPUSeconds: 1}},
		{Query: "q3", Bramble: figure{Trouble: "not planned: joins"}},
	}}
}

func TestReport(t *testing.T) {
	r := testReport()
	if mean, worst, n := r.geometric(); math.Abs(mean-2) > 1e-9 || worst.Query != "q1" || n != 2 {
		t.Fatalf("mean %g, worst %s, %d queries", mean, worst.Query, n)
	}
	page := r.markdown("plot.svg")
	for _, want := range []string{"over 2 queries: 2.0", "Worst: q1, 0.5", "**8.0**", "* q3, Bramble: not planned: joins"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	d := xml.NewDecoder(strings.NewReader(r.svg()))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "nexmark-2026-11-22.json"))
	if err != nil {
		t.Fatal(err)
	}
	var again report
	if err := json.Unmarshal(text, &again); err != nil || again.markdown("plot.svg") != page {
		t.Fatalf("the figures do not give the page again: %v", err)
	}
}

func TestEarlierFiguresAreLabelled(t *testing.T) {
	text, err := earlierFigures()
	if err != nil || !strings.Contains(text, "eKuiper was not run") || strings.Count(text, "21 November 2026") < 2 {
		t.Fatalf("%v\n%s", err, text)
	}
}

// TestKuiperIsAskedForARule stands in for eKuiper's REST API.
func TestKuiperIsAskedForARule(t *testing.T) {
	asked := map[string]string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked[r.URL.Path] = string(body)
		if r.URL.Path == "/rules" && strings.Contains(string(body), "nonsense") {
			http.Error(w, "no such thing", http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusCreated)
	}))
	defer server.Close()
	port, err := strconv.Atoi(server.URL[strings.LastIndexByte(server.URL, ':')+1:])
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := (&kuiper{}).setUp(ctx, port, "tcp://127.0.0.1:1", "tumble", map[string]any{"qos": 0}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(asked["/streams"], "CREATE STREAM readings") || !strings.Contains(asked["/rules"], "TUMBLINGWINDOW(ss, 10)") {
		t.Fatalf("asked for %v", asked)
	}
	if err := (&kuiper{}).setUp(ctx, port, "tcp://127.0.0.1:1", "tumble", map[string]any{"nonsense": 1}); err == nil || !strings.Contains(err.Error(), "no such thing") {
		t.Fatalf("error is %v", err)
	}
}

func TestChosen(t *testing.T) {
	if q, err := chosen("q5,q0"); err != nil || !slices.Equal(q, []string{"q5", "q0"}) {
		t.Fatalf("%v, %v", q, err)
	}
	if _, err := chosen("q6"); err == nil {
		t.Fatal("no error")
	}
	if q, err := chosen(""); err != nil || len(q) != len(allQueries) {
		t.Fatalf("%v, %v", q, err)
	}
}
