package rest

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestReadSide(t *testing.T) {
	s, f := newFake(t, Access{})
	c := get(t, s, "/api/v1/cluster")
	if c["slotsTotal"] != 4.0 || len(c["jobs"].([]any)) != 2 { //nolint:forcetypeassert // a test
		t.Errorf("cluster: %v", c)
	}
	before := f.asked
	for range 10 {
		get(t, s, "/api/v1/cluster")
	}
	if f.asked != before {
		t.Errorf("%d documents were made for ten who asked at once", f.asked-before)
	}
	j := get(t, s, "/api/v1/jobs/"+jobID[:6])
	if j["id"] != jobID || j["restarts"] != 1.0 || j["busyRatio"] != 0.25 {
		t.Errorf("job: %v", j)
	}
	if w := call(t, s, "GET", "/api/v1/jobs/"+jobID+"/series", ""); w.Body.String() != `{"stepMs":10000,"times":[0,10000],"series":{"recordsIn":[null,12.346]}}` {
		t.Errorf("series: %s", w.Body)
	}
	for path, code := range map[string]int{
		"/api/v1/jobs/77": 404, "/api/v1/nothing": 404, "/api/v1/jobs/77/series": 404, "/api/v1/jobs/77/events": 404, "/nothing": 404,
		"/api/v1/openapi.yaml": 200, "/api/v1/examples": 200, "/": 200,
	} {
		if w := call(t, s, "GET", path, ""); w.Code != code || code != 200 && !strings.Contains(w.Body.String(), `{"errors":["`) {
			t.Errorf("GET %s: %d %s", path, w.Code, w.Body)
		}
	}
}

// sse is a client of an event stream that keeps what came.
type sse struct {
	*httptest.ResponseRecorder
	cancel context.CancelFunc
	done   chan struct{}
}

func watch(t *testing.T, s *Server, path string) *sse {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &sse{httptest.NewRecorder(), cancel, make(chan struct{})}
	go func() {
		defer close(c.done)
		s.Handler().ServeHTTP(c, httptest.NewRequestWithContext(ctx, http.MethodGet, "http://pi"+path, nil))
	}()
	return c
}

func (c *sse) names() []string {
	var names []string
	for sc := bufio.NewScanner(strings.NewReader(c.Body.String())); sc.Scan(); {
		if name, ok := strings.CutPrefix(sc.Text(), "event: "); ok {
			names = append(names, name)
		}
	}
	return names
}

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newFake(t, Access{})
		ctx, stop := context.WithCancel(t.Context())
		s.cfg.Context = ctx //nolint:fatcontext // the server has its own
		c := watch(t, s, "/api/v1/events")
		time.Sleep(10500 * time.Millisecond)
		synctest.Wait()
		// At once, and since nothing changes only every five seconds after.
		if got := c.names(); len(got) != 3 || got[0] != "cluster" || c.Header().Get("Content-Type") != "text/event-stream; charset=utf-8" {
			t.Errorf("events in 10 s: %v", got)
		}
		gone := watch(t, s, "/api/v1/jobs/"+jobID+"/events")
		synctest.Wait()
		gone.cancel()
		<-gone.done
		if got := gone.names(); len(got) != 1 || got[0] != "job" {
			t.Errorf("events of a job: %v", got)
		}
		stop()
		<-c.done
		if got := c.names(); got[len(got)-1] != "end" {
			t.Errorf("the last event: %v", got)
		}
	})
}

func TestStreamsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newFake(t, Access{})
		var all []*sse
		for range streamsMax {
			all = append(all, watch(t, s, "/api/v1/events"))
		}
		synctest.Wait()
		if w := call(t, s, "GET", "/api/v1/events", ""); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
			t.Errorf("one stream too many: %d", w.Code)
		}
		for _, c := range all {
			c.cancel()
			<-c.done
		}
		c := watch(t, s, "/api/v1/events")
		synctest.Wait()
		if c.Code != http.StatusOK {
			t.Errorf("after the others: %d", c.Code)
		}
		c.cancel()
		<-c.done
	})
}

func TestSecretsAreMasked(t *testing.T) {
	for in, want := range map[string]string{
		"CREATE TABLE a (x INT) WITH ('url' = 'tcp://me:hush@host:1883', 'password'='it''s', 'topic'='x')": "CREATE TABLE a (x INT) WITH ('url' = 'tcp://me:******@host:1883', 'password'='******', 'topic'='x')",
		"-- it's a comment\nSET 'mqtt.token' = 'hush';":                                                    "-- it's a comment\nSET 'mqtt.token' = '******';",
		"'password' = '${file:/run/secrets/x}'":                                                            "'password' = '${file:/run/secrets/x}'",
		"see redis://:a@b@host/0":                                                                          "see redis://:******@host/0",
		"SELECT 'password', 'a' = 'b'":                                                                     "SELECT 'password', 'a' = 'b'",
	} {
		if got := RedactScript(in); got != want {
			t.Errorf("%s\nbecomes %s\nwant    %s", in, got, want)
		}
	}
}

func TestValidate(t *testing.T) {
	s, _ := newFake(t, Access{ReadOnly: true, Reason: "test"})
	var v struct {
		Diagnostics []Diagnostic
		Plan        *ScriptPlan
		Explain     *string
	}
	ask := func(body string) {
		t.Helper()
		v.Plan, v.Explain = nil, nil
		w := call(t, s, "POST", "/api/v1/sql/validate", body)
		if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || w.Code != 200 {
			t.Fatalf("%d %s %v", w.Code, w.Body, err)
		}
	}
	ask(`{"script":"SELECT 1;\nSELECT tmep FROM a"}`)
	if len(v.Diagnostics) != 1 || v.Diagnostics[0] != (Diagnostic{2, 8, 2, 12, `column "tmep" does not exist`}) || v.Plan != nil {
		t.Errorf("a typo: %+v", v)
	}
	ask(`{"script":"SELECT 1"}`)
	if len(v.Diagnostics) != 0 || v.Plan == nil || len(v.Plan.Vertices) != 1 || *v.Explain != "plan" {
		t.Errorf("a good one: %+v", v)
	}
}

func TestColumns(t *testing.T) {
	for _, c := range []struct {
		planned, written string
		column, want     int
	}{
		{"a b c", "a b c", 3, 3},
		{"x 12345 tmep", "x ${N} tmep", 9, 8},
		{"x 12345 tmep", "x ${N} tmep", 4, 3},
		{"x 1 y", "x ${NAME} y", 1, 1},
		{"x 1 y", "x ${NAME} y", 5, 11},
	} {
		if got := columnBefore(c.planned, c.written, c.column); got != c.want {
			t.Errorf("column %d of %q is %d of %q, want %d", c.column, c.planned, got, c.written, c.want)
		}
	}
	for _, c := range []struct {
		line         string
		column, want int
	}{{"SELECT tmep, x", 8, 12}, {"'a b' x", 1, 6}, {"'open", 1, 6}, {"( x", 1, 2}, {"ab", 9, 10}, {"größe x", 1, 6}} {
		if got := wordEnd(c.line, c.column); got != c.want {
			t.Errorf("the word at %d of %q ends at %d, want %d", c.column, c.line, got, c.want)
		}
	}
}
