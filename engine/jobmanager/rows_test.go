package jobmanager_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/rest"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// fetch asks the jobmanager's HTTP server. Body has to be closed.
func (c *cluster) fetch(path string) *http.Response {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.context(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", c.jm.HTTPPort(), path), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return resp
}

// rejected is what the job tells, once it is as many bad records as wanted.
func (c *cluster) rejected(id string, bad int) rest.Rejected {
	c.t.Helper()
	var d rest.Rejected
	until(c.t, "the rejected records are told", func() bool {
		resp := c.fetch("/api/v1/jobs/" + id + "/rejected")
		defer resp.Body.Close()
		d = rest.Rejected{}
		return json.NewDecoder(resp.Body).Decode(&d) == nil && len(d.Bad) == bad && d.BadTotal == int64(bad)
	})
	return d
}

// TestRowsAreShown looks at the rows of a job on two taskmanagers until it is cancelled, and at what it has rejected before and after that.
func TestRowsAreShown(t *testing.T) {
	c := newCluster(t)
	c.taskManager(1, 0)
	c.taskManager(1, 0)
	c.untilMembers(2)
	id := c.submit(script{Source: 2, Sink: 2, Rows: -1, Partition: graph.Rebalance, Drip: true, Reject: `{"password":"hush"`})
	c.untilState(id, pb.JobState_JOB_STATE_RUNNING)
	d := c.rejected(id, 2)
	if b := d.Bad[0]; b.Payload != `{"password":"******"` || b.Reason != "drawer 7: illegible" || b.Operator != "00000000000000b1" || b.At == 0 {
		t.Errorf("%+v", b)
	}
	resp := c.fetch("/api/v1/jobs/" + id + "/vertices/00000000000000a2/tail?operator=00000000000000b2")
	defer resp.Body.Close()
	shown, canceled, end := 0, false, ""
	lines := bufio.NewScanner(resp.Body)
	for name := ""; lines.Scan(); {
		if event, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			name = event
		}
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		switch {
		case !ok:
		case name == "end":
			end = data
		default:
			var r rest.TailRows
			if err := json.Unmarshal([]byte(data), &r); err != nil || len(r.Kinds) != len(r.Rows) || r.Seen < int64(len(r.Rows)) {
				t.Fatalf("%v: %s", err, data)
			}
			if shown += len(r.Rows); shown > 4 && !canceled {
				canceled = true
				if len(r.Columns) != 1 || r.Columns[0].Name != "n" || r.Kinds[0] != "+I" || r.Rows[0][0] != '[' {
					t.Errorf("%s", data)
				}
				if _, _, err := c.client.Cancel(c.context(), id); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if end != `{"reason":"the job has ended"}` {
		t.Errorf("after %d rows it ended with %q, %v", shown, end, lines.Err())
	}
	if d := c.rejected(id, 2); d.Bad[0].Reason != "drawer 7: illegible" {
		t.Errorf("when it has ended: %+v", d)
	}
	for path, code := range map[string]int{
		"/vertices/00000000000000a2/tail": http.StatusOK, "/vertices/nix/tail": http.StatusNotFound, "/vertices/00000000000000a2/tail?operator=b1": http.StatusNotFound,
	} {
		resp := c.fetch("/api/v1/jobs/" + id + path)
		if resp.Body.Close(); resp.StatusCode != code { //nolint:errcheck // not read
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
}
