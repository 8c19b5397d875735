package rest

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestRejectedHasNoSecrets(t *testing.T) {
	s, _ := newFake(t, Access{})
	w := call(t, s, http.MethodGet, "/api/v1/jobs/"+jobID+"/rejected", "")
	want := `{"late":[{"at":5,"operator":"b1","row":{"sensor":"a\u003cb","wifi_password":"******","at":1.50,"o":{"token":"******"}},"reason":"too late"}],` +
		`"bad":[{"at":4,"operator":"b1","payload":"{\"url\":\"tcp://me:******@host\",\"Password\" : \"******\",\"n\":1,\"secret\":\"******\"",` +
		`"reason":"from tcp://me:******@host: no JSON"}],"lateTotal":7,"badTotal":8}`
	if got := w.Body.String(); w.Code != http.StatusOK || got != want {
		t.Errorf("%d %s\nwant %s", w.Code, got, want)
	}
	if w := call(t, s, http.MethodGet, "/api/v1/jobs/77/rejected", ""); w.Code != http.StatusNotFound {
		t.Errorf("of no job: %d %s", w.Code, w.Body)
	}
}

func TestTail(t *testing.T) {
	s, f := newFake(t, Access{})
	rows := ": no rows\n\nevent: rows\n" + `data: {"columns":[{"name":"n","type":"BIGINT"}],"rows":[["<a>"]],"kinds":["+I"],"seen":9,"sampled":true}` + "\n\n"
	path := "/api/v1/jobs/" + jobID + "/vertices/v/tail?operator="
	for _, c := range []struct {
		fail       error
		code       int
		path, want string
	}{
		{nil, 200, path, rows + "event: end\ndata: {\"reason\":\"the job has ended\"}\n\n"},
		{status.Error(codes.Unavailable, "gone: tcp://me:hush@host"), 200, path, rows + "event: end\ndata: {\"reason\":\"gone: tcp://me:******@host\"}\n\n"},
		{nil, 404, strings.Replace(path, "/v/", "/w/", 1), `{"errors":["the job has no vertex \"w\""]}`},
	} {
		f.fail = c.fail
		if w := call(t, s, http.MethodGet, c.path, ""); w.Code != c.code || w.Body.String() != c.want {
			t.Errorf("%s: %d %s\nwant %d %s", c.path, w.Code, w.Body, c.code, c.want)
		}
	}
	if len(s.streams) != 0 {
		t.Error("streams are still counted")
	}
	for range streamsMax {
		s.streams <- struct{}{}
	}
	if w := call(t, s, http.MethodGet, path, ""); w.Code != http.StatusTooManyRequests {
		t.Errorf("one stream too many: %d %s", w.Code, w.Body)
	}
}

func TestTailEndsWithTheJobManager(t *testing.T) {
	s, _ := newFake(t, Access{})
	ended, stop := context.WithCancel(t.Context())
	stop()
	s.cfg.Context = ended //nolint:fatcontext // the configuration has one
	w := call(t, s, http.MethodGet, "/api/v1/jobs/"+jobID+"/vertices/v/tail?operator=waits", "")
	if want := "event: end\ndata: {\"reason\":\"the jobmanager is stopping\"}\n\n"; !strings.HasSuffix(w.Body.String(), want) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestStrangersSeeNoRows: over a network without a token.
func TestStrangersSeeNoRows(t *testing.T) {
	s, _ := newFake(t, Access{ReadOnly: true, Strangers: true, Reason: "because"})
	for _, path := range []string{"/rejected", "/vertices/v/tail"} {
		if w := call(t, s, http.MethodGet, "/api/v1/jobs/"+jobID+path, ""); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "--http-token-file") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}
