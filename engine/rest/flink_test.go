package rest

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
)

// check compares a document with a shape: a type's name ("?" behind it allows null), "enum:A|B", a list of one shape, or an object, whose
// keys may end with "?" for optional ones, or be "*" for any. It returns what differs.
func check(at string, shape, doc any) []string {
	switch shape := shape.(type) {
	case string:
		return checkScalar(at, shape, doc)
	case []any:
		list, ok := doc.([]any)
		if !ok {
			return []string{fmt.Sprintf("%s: %v is no list", at, doc)}
		}
		var faults []string
		for i, e := range list {
			faults = append(faults, check(fmt.Sprintf("%s[%d]", at, i), shape[0], e)...)
		}
		return faults
	case map[string]any:
		o, ok := doc.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s: %v is no object", at, doc)}
		}
		return checkObject(at, shape, o)
	}
	return []string{at + ": not a shape"}
}

func checkScalar(at, shape string, doc any) []string {
	kind, nullable := strings.CutSuffix(shape, "?")
	var ok bool
	switch v := doc.(type) {
	case nil:
		ok = nullable || kind == "any"
	case string:
		values, enum := strings.CutPrefix(kind, "enum:")
		ok = kind == "string" || kind == "any" || enum && slices.Contains(strings.Split(values, "|"), v)
	case float64:
		ok = kind == "number" || kind == "any" || kind == "integer" && v == math.Trunc(v)
	case bool:
		ok = kind == "boolean" || kind == "any"
	default:
		ok = kind == "any"
	}
	if !ok {
		return []string{fmt.Sprintf("%s: %v, want %s", at, doc, shape)}
	}
	return nil
}

func checkObject(at string, shape, doc map[string]any) []string {
	var faults []string
	rest, open := shape["*"]
	for key, value := range doc {
		s, ok := shape[key]
		if !ok {
			s, ok = shape[key+"?"]
		}
		if !ok && open {
			s, ok = rest, true
		}
		if !ok {
			faults = append(faults, at+"."+key+" is not in the shape")
			continue
		}
		faults = append(faults, check(at+"."+key, s, value)...)
	}
	for key := range shape {
		if _, ok := doc[key]; !ok && key != "*" && !strings.HasSuffix(key, "?") {
			faults = append(faults, at+"."+key+" is missing")
		}
	}
	return faults
}

// TestFlinkShapes compares every document with the shape that Flink's documentation gives it.
func TestFlinkShapes(t *testing.T) {
	data, err := os.ReadFile("testdata/flink-shapes.json")
	if err != nil {
		t.Fatal(err)
	}
	var shapes map[string]any
	if err := json.Unmarshal(data, &shapes); err != nil {
		t.Fatal(err)
	}
	s, _ := newFake(t, Access{})
	for path, shape := range shapes {
		for _, prefix := range []string{"", "/v1"} {
			w := call(t, s, "GET", prefix+path, "")
			var doc any
			if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || w.Code != http.StatusOK {
				t.Errorf("GET %s%s: %d %s", prefix, path, w.Code, w.Body)
				continue
			}
			for _, f := range check("", shape, doc) {
				t.Errorf("GET %s%s: %s", prefix, path, f)
			}
			if list, ok := doc.([]any); ok && len(list) == 0 {
				t.Errorf("GET %s%s says nothing", prefix, path)
			}
		}
	}
	if len(shapes) < 40 {
		t.Errorf("only %d shapes", len(shapes))
	}
}

// TestShapesFail makes sure that the comparison can fail.
func TestShapesFail(t *testing.T) {
	shape := map[string]any{"a": "integer", "b?": "string", "c": []any{"enum:X|Y"}}
	for _, doc := range []string{`{"a":1.5,"c":[]}`, `{"c":[]}`, `{"a":1,"c":["Z"]}`, `{"a":1,"c":[],"d":1}`, `{"a":null,"c":[]}`, `[]`} {
		var v any
		if err := json.Unmarshal([]byte(doc), &v); err != nil {
			t.Fatal(err)
		}
		if len(check("", shape, v)) == 0 {
			t.Errorf("%s passes", doc)
		}
	}
	if f := check("", shape, map[string]any{"a": 1.0, "c": []any{"X"}}); len(f) > 0 {
		t.Error(f)
	}
}

func TestFlinkNumbers(t *testing.T) {
	s, _ := newFake(t, Access{})
	job := "/jobs/" + jobID
	for path, want := range map[string]string{
		job + "/vertices/00000000000000a1/metrics?get=0.numRecordsIn":                `[{"id":"0.numRecordsIn","value":"100"}]`,
		job + "/vertices/00000000000000a1/subtasks/metrics?get=numRecordsIn&agg=sum": `[{"id":"numRecordsIn","sum":200}]`,
		job + "/vertices/00000000000000a1/watermarks":                                `[{"id":"0.currentInputWatermark","value":"9000"},{"id":"1.currentInputWatermark","value":"9000"}]`,
		job + "/metrics?get=lastCheckpointExternalPath,lastCheckpointDuration":       `[{"id":"lastCheckpointDuration","value":"50"},{"id":"lastCheckpointExternalPath","value":"file:///state/4"}]`,
		"/jobmanager/metrics?get=taskSlotsTotal":                                     `[{"id":"taskSlotsTotal","value":"4"}]`,
		"/jobs":                                                                      `{"jobs":[{"id":"` + jobID + `","status":"RUNNING"},{"id":"` + doneID + `","status":"FAILED"}]}`,
		job + "/status":                                                              `{"status":"RUNNING"}`,
		"/jobmanager/config":                                                         `[{"key":"rest.port","value":"8081"},{"key":"s3.secret-key","value":"******"}]`,
	} {
		if got := strings.TrimSpace(call(t, s, "GET", path, "").Body.String()); got != want {
			t.Errorf("GET %s:\n%s, want\n%s", path, got, want)
		}
	}
	o := get(t, s, "/overview")
	if o["jobs-running"] != 1.0 || o["jobs-failed"] != 1.0 || o["slots-available"] != 2.0 {
		t.Errorf("overview: %v", o)
	}
}

// TestFlinkMissing: what Flink has and Bramble has not answers 404, with a reason.
func TestFlinkMissing(t *testing.T) {
	s, _ := newFake(t, Access{})
	job := "/jobs/" + jobID
	for _, request := range []string{
		"GET /jars", "POST /jars/upload", "POST /jars/x/run", "DELETE /cluster", "GET /datasets", "GET /jobmanager/stdout", "GET /jobmanager/logs/other.log",
		"GET /jobmanager/environment", "GET /taskmanagers/x/logs", "GET /taskmanagers/x/thread-dump", "GET /taskmanagers/x", "POST /jobs",
		"GET " + job + "/vertices/00000000000000a1/flamegraph?type=OFF_CPU", "GET " + job + "/vertices/77", "GET " + job + "/vertices/00000000000000a1/subtasks/9",
		"GET " + job + "/vertices/00000000000000a1/subtasks/0/attempts/0", "GET " + job + "/checkpoints/details/77", "GET /jobs/77", "GET " + job + "/rescales/overview",
		"GET /jobs/" + doneID + "/checkpoints", "GET " + job + "/yarn-cancel", "GET /something",
	} {
		method, path, _ := strings.Cut(request, " ")
		w := call(t, s, method, "/v1"+path, "")
		var f failure
		if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil || w.Code != http.StatusNotFound || len(f.Errors) == 0 || len(f.Errors[0]) < 5 {
			t.Errorf("%s: %d %s", request, w.Code, w.Body)
		}
	}
}
