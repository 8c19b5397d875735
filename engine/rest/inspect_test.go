package rest

import (
	"net/http"
	"strings"
	"testing"
)

func TestInspect(t *testing.T) {
	s, _ := newFake(t, Access{})
	for path, want := range map[string]string{
		"/api/v1/taskmanagers/jobmanager/logs":                     "logs 500 of jobmanager\nurl=tcp://me:******@host",
		"/api/v1/taskmanagers/10.0.0.2:6124-abc/logs?lines=7":      "logs 7 of 10.0.0.2:6124-abc\nurl=tcp://me:******@host",
		"/api/v1/taskmanagers/10.0.0.2:6124-abc/goroutines":        "goroutines 0 of 10.0.0.2:6124-abc\nurl=tcp://me:******@host",
		"/api/v1/taskmanagers/10.0.0.2:6124-abc/profile?seconds=9": "profile 9 of 10.0.0.2:6124-abc\nurl=tcp://me:hush@host",
		"/jobmanager/log": "logs 500 of jobmanager\nurl=tcp://me:******@host",
		"/v1/taskmanagers/10.0.0.2:6124-abc/logs/bramble.log": "logs 500 of 10.0.0.2:6124-abc\nurl=tcp://me:******@host",
	} {
		if w := call(t, s, "GET", path, ""); w.Code != http.StatusOK || w.Body.String() != want {
			t.Errorf("GET %s: %d %s", path, w.Code, w.Body)
		}
	}
	for path, code := range map[string]int{
		"/api/v1/taskmanagers/x/logs": 404, "/api/v1/taskmanagers/jobmanager/logs?lines=0": 400, "/api/v1/taskmanagers/jobmanager/profile?seconds=99": 400,
		"/api/v1/taskmanagers/jobmanager/flamegraph": 500, "/taskmanagers/x/thread-dump": 404,
	} {
		if w := call(t, s, "GET", path, ""); w.Code != code {
			t.Errorf("GET %s: %d %s", path, w.Code, w.Body)
		}
	}
}

// TestStrangers: over a network without a token nobody sees logs and profiles.
func TestStrangers(t *testing.T) {
	s, _ := newFake(t, Access{ReadOnly: true, Strangers: true, Reason: "because"})
	for _, path := range []string{
		"/api/v1/taskmanagers/jobmanager/logs", "/api/v1/taskmanagers/jobmanager/goroutines", "/api/v1/taskmanagers/jobmanager/profile",
		"/api/v1/taskmanagers/jobmanager/flamegraph", "/jobmanager/log", "/jobmanager/logs", "/jobmanager/thread-dump",
	} {
		if w := call(t, s, "GET", path, ""); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "--http-token-file") {
			t.Errorf("GET %s: %d %s", path, w.Code, w.Body)
		}
	}
}
