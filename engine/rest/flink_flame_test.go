package rest

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// profiled gives profiles without samples.
type profiled struct {
	*fakeCluster
	asked []string
}

func (p *profiled) Inspect(_ context.Context, id, what string, amount int) ([]byte, error) {
	p.asked = append(p.asked, fmt.Sprint(id, " ", what, " ", amount))
	var b bytes.Buffer
	err := gzip.NewWriter(&b).Close()
	return b.Bytes(), err
}

func TestFlinkFlameGraph(t *testing.T) {
	s, f := newFake(t, Access{})
	p := &profiled{fakeCluster: f}
	s.cfg.Views = p
	at := "/v1/jobs/" + jobID + "/vertices/00000000000000a1/flamegraph"
	v := ask(t, s, http.StatusOK, "GET", at+"?type=on_cpu&subtaskindex=1&seconds=3", "")
	if got := fmt.Sprint(v["data"]); got != "map[children:[] name:root value:0]" || v["endTimestamp"] == nil {
		t.Errorf("got %v", v)
	}
	if got := strings.Join(p.asked, ","); got != "10.0.0.2:6124-abc profile 3" {
		t.Errorf("asked %s", got)
	}
	for query, code := range map[string]int{"?type=OFF_CPU": 404, "?type=x": 400, "?subtaskindex=2": 404, "?seconds=x": 400} {
		ask(t, s, code, "GET", at+query, "")
	}
	s.cfg.Access.Strangers = true
	ask(t, s, 403, "GET", at, "")
}

func TestFlinkCheckpointNow(t *testing.T) {
	s, f := newFake(t, Access{})
	at := "/v1/jobs/" + jobID + "/checkpoints"
	trigger := strings.Repeat("ab", 16)
	if v := ask(t, s, http.StatusAccepted, "POST", at, `{"checkpointType":"CONFIGURED","triggerId":"`+trigger+`"}`); v["request-id"] != trigger {
		t.Errorf("got %v", v)
	}
	s.Wait()
	if v := ask(t, s, http.StatusOK, "GET", at+"/"+trigger, ""); fmt.Sprint(v) != "map[operation:map[checkpointId:8] status:map[id:COMPLETED]]" {
		t.Errorf("got %v", v)
	}
	if calls := f.calls(); len(calls) != 1 || calls[0] != "checkpoint "+jobID {
		t.Errorf("did %v", calls)
	}
	ask(t, s, http.StatusBadRequest, "POST", at, `{"checkpointType":"FULL"}`)
	ask(t, s, http.StatusBadRequest, "POST", at, `{"checkpointType":"x"}`)
	ask(t, s, http.StatusNotFound, "GET", at+"/"+strings.Repeat("cd", 16), "")
	ask(t, s, http.StatusConflict, "POST", "/v1/jobs/"+doneID+"/checkpoints", "")
}
