package rest

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// field decodes an answer and returns one of its fields.
func field(t *testing.T, body, name string) any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return v[name]
}

func TestActions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := newFake(t, Access{})
		for _, a := range []struct{ path, body, want, location string }{
			{"cancel", "", "cancel " + jobID, ""},
			{"stop", `{"savepointPath":"file:///x"}`, "stop " + jobID + " file:///x", "file:///sp/stop"},
			{"savepoints", `{"path":"file:///y"}`, "savepoint " + jobID + " file:///y", "s3://key:******@host/sp/1"},
			{"savepoints", ``, "savepoint " + jobID + " ", "s3://key:******@host/sp/1"},
			{"rescale", `{"parallelism":3}`, "rescale " + jobID + " 3", ""},
		} {
			w := call(t, s, "POST", "/api/v1/jobs/"+jobID[:8]+"/"+a.path, a.body)
			if w.Code != http.StatusAccepted {
				t.Fatalf("%s: %d %s", a.path, w.Code, w.Body)
			}
			synctest.Wait()
			if got := f.calls(); got[len(got)-1] != a.want {
				t.Errorf("%s: %q", a.path, got)
			}
			id, _ := field(t, w.Body.String(), "triggerId").(string)
			state := call(t, s, "GET", "/api/v1/jobs/"+jobID+"/triggers/"+id, "").Body.String()
			if field(t, state, "state") != "completed" || a.location != "" && field(t, state, "path") != a.location {
				t.Errorf("%s: %s", a.path, state)
			}
		}
	})
}

func TestTriggerThatRunsAndFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := newFake(t, Access{})
		f.hold, f.fail = make(chan struct{}), status.Error(codes.FailedPrecondition, "tcp://a:hush@b is away")
		id, _ := field(t, call(t, s, "POST", "/api/v1/jobs/"+jobID+"/savepoints", "").Body.String(), "triggerId").(string)
		own, flink := "/api/v1/jobs/"+jobID+"/triggers/"+id, "/jobs/"+jobID+"/savepoints/"+id
		synctest.Wait()
		if got := call(t, s, "GET", own, "").Body.String(); field(t, got, "state") != "in_progress" || field(t, got, "endedAt") != nil {
			t.Errorf("while it runs: %s", got)
		}
		if got := call(t, s, "GET", flink, "").Body.String(); got != `{"operation":null,"status":{"id":"IN_PROGRESS"}}` {
			t.Errorf("Flink's, while it runs: %s", got)
		}
		close(f.hold)
		synctest.Wait()
		if got := call(t, s, "GET", own, "").Body.String(); field(t, got, "state") != "failed" || field(t, got, "error") != "tcp://a:******@b is away" {
			t.Errorf("after it failed: %s", got)
		}
		if got := call(t, s, "GET", flink, "").Body.String(); !strings.Contains(got, `"id":"COMPLETED"`) || !strings.Contains(got, `"failure-cause":{"class"`) {
			t.Errorf("Flink's, after it failed: %s", got)
		}
		for _, path := range []string{"/api/v1/jobs/" + doneID + "/triggers/" + id, "/api/v1/jobs/" + jobID + "/triggers/7", "/jobs/" + jobID + "/rescaling/" + id} {
			if w := call(t, s, "GET", path, ""); w.Code != http.StatusNotFound {
				t.Errorf("GET %s: %d", path, w.Code)
			}
		}
	})
}

func TestTriggersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := newFake(t, Access{})
		f.hold = make(chan struct{})
		for range triggersMax {
			if w := call(t, s, "POST", "/api/v1/jobs/"+jobID+"/savepoints", ""); w.Code != http.StatusAccepted {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
		}
		if w := call(t, s, "POST", "/api/v1/jobs/"+jobID+"/savepoints", ""); w.Code != http.StatusTooManyRequests {
			t.Errorf("one too many: %d", w.Code)
		}
		close(f.hold)
		synctest.Wait()
		f.hold = nil
		for range 2 * triggersKept {
			call(t, s, "POST", "/api/v1/jobs/"+jobID+"/savepoints", "")
			synctest.Wait()
		}
		if n := len(s.triggers.all); n > triggersKept || n != len(s.triggers.order) {
			t.Errorf("%d triggers are kept, %d in order", n, len(s.triggers.order))
		}
		time.Sleep(triggersAge + time.Second)
		call(t, s, "POST", "/api/v1/jobs/"+jobID+"/savepoints", "")
		synctest.Wait()
		if n := len(s.triggers.all); n != 1 {
			t.Errorf("%d triggers are kept after an hour", n)
		}
	})
}

func TestFlinkActions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := newFake(t, Access{})
		const chosen = "000102030405060708090a0b0c0d0e0f"
		vertices := `{"000000000000000000000000000000a1":{"parallelism":{"lowerBound":1,"upperBound":4}},"000000000000000000000000000000a2":{"parallelism":{"lowerBound":1,"upperBound":1}}}`
		for _, a := range []struct {
			request, body string
			code          int
			want, status  string
		}{
			{"PATCH /jobs/" + jobID + "?mode=cancel", "", 202, "cancel " + jobID, ""},
			{"PATCH /jobs/" + jobID, "", 202, "cancel " + jobID, ""},
			{"PATCH /jobs/" + jobID + "?mode=stop", "", 400, "", ""},
			{"PATCH /jobs/" + doneID + "?mode=cancel", "", 409, "", ""},
			{"POST /jobs/" + jobID + "/savepoints", `{"target-directory":"s3://b/x","cancel-job":false}`, 202, "savepoint " + jobID + " s3://b/x", "/jobs/" + jobID + "/savepoints/"},
			{"POST /jobs/" + jobID + "/savepoints", `{"target-directory":"s3://b/x","cancel-job":true,"formatType":"CANONICAL"}`, 202, "stop " + jobID + " s3://b/x", "/jobs/" + jobID + "/savepoints/"},
			{"POST /jobs/" + jobID + "/savepoints", `{"triggerId":"` + chosen + `"}`, 202, "savepoint " + jobID + " ", "/jobs/" + jobID + "/savepoints/"},
			{"POST /jobs/" + jobID + "/savepoints", `{"triggerId":"zz"}`, 400, "", ""},
			{"POST /jobs/" + jobID + "/stop", `{"targetDirectory":"s3://b/y","drain":false}`, 202, "stop " + jobID + " s3://b/y", "/jobs/" + jobID + "/savepoints/"},
			{"POST /jobs/" + jobID + "/stop", `{"targetDirectory":"s3://b/z","drain":true}`, 202, "drain " + jobID + " s3://b/z", "/jobs/" + jobID + "/savepoints/"},
			{"PATCH /jobs/" + jobID + "/rescaling?parallelism=3", "", 200, "rescale " + jobID + " 3", "/jobs/" + jobID + "/rescaling/"},
			{"PATCH /jobs/" + jobID + "/rescaling?parallelism=x", "", 400, "", ""},
			{"PUT /jobs/" + jobID + "/resource-requirements", vertices, 200, "rescale " + jobID + " 4", ""},
			{"PUT /jobs/" + jobID + "/resource-requirements", `{}`, 400, "", ""},
			{"POST /savepoint-disposal", `{"savepoint-path":"s3://b/old"}`, 200, "dispose s3://b/old", "/savepoint-disposal/"},
			{"POST /savepoint-disposal", `{}`, 400, "", ""},
			{"POST /jobs/77/stop", `{}`, 404, "", ""},
		} {
			before := len(f.calls())
			method, path, _ := strings.Cut(a.request, " ")
			w := call(t, s, method, "/v1"+path, a.body)
			synctest.Wait()
			calls := f.calls()[before:]
			if w.Code != a.code || a.want != "" && !slices.Equal(calls, []string{a.want}) || a.want == "" && len(calls) > 0 {
				t.Errorf("%s: %d %s, calls %q", a.request, w.Code, w.Body, calls)
				continue
			}
			if a.status == "" {
				continue
			}
			id, _ := field(t, w.Body.String(), "request-id").(string)
			if got := call(t, s, "GET", a.status+id, "").Body.String(); !strings.Contains(got, `"status":{"id":"COMPLETED"}`) {
				t.Errorf("%s: %s", a.request, got)
			}
		}
		before := len(f.calls())
		if w := call(t, s, "POST", "/jobs/"+jobID+"/savepoints", `{"triggerId":"`+chosen+`"}`); w.Code != 202 || len(f.calls()) != before {
			t.Errorf("the same trigger again: %d %s", w.Code, w.Body)
		}
	})
}

func TestSubmit(t *testing.T) {
	s, f := newFake(t, Access{})
	w := call(t, s, "POST", "/api/v1/jobs", `{"script":"INSERT ${X}","name":"n","fromSavepoint":"sp","settings":{"X":"1","parallelism.default":"2"}}`)
	if w.Body.String() != `{"jobId":"`+jobID+`","warnings":["careful"]}` || f.calls()[0] != `submit | INSERT 1 | n | sp | {"parallelism.default":"2"}` {
		t.Errorf("%d %s, %q", w.Code, w.Body, f.calls())
	}
	w = call(t, s, "POST", "/api/v1/jobs", `{"script":"INSERT 1;\nSELECT tmep"}`)
	if w.Code != 400 || !strings.Contains(w.Body.String(), `"diagnostics":[{"line":2,"column":8,"endLine":2,"endColumn":12,`) {
		t.Errorf("a typo: %d %s", w.Code, w.Body)
	}
	for body, code := range map[string]int{`{`: 400, `{"script":1}`: 400, `{"script":"x","parallelism":-1}`: 400, `{"script":"` + strings.Repeat("x", bodyMax) + `"}`: 413} {
		if w := call(t, s, "POST", "/api/v1/jobs", body); w.Code != code || len(f.calls()) != 1 {
			t.Errorf("a body of %d bytes: %d %s", len(body), w.Code, w.Body)
		}
	}
	f.fail = errors.New("storage is away")
	if w := call(t, s, "POST", "/api/v1/jobs", `{"script":"INSERT 1"}`); w.Code != 500 {
		t.Errorf("a failure of ours: %d %s", w.Code, w.Body)
	}
}
