package app

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/connectors/all"
	"github.com/bramble-stream/bramble/engine/jobmanager"
	"github.com/bramble-stream/bramble/engine/rest"
	"github.com/bramble-stream/bramble/engine/serve"
	"github.com/bramble-stream/bramble/engine/taskmanager"
)

// httpCluster is a jobmanager with a taskmanager in this process, asked over HTTP.
type httpCluster struct {
	t    *testing.T
	base string
	c    *http.Client
}

func newHTTPCluster(t *testing.T, h jobmanager.HTTP) *httpCluster {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	jm, err := jobmanager.New(jobmanager.Config{
		BindHost: loopback, MetricsPort: serve.Off, Plan: Planner(nil), Connectors: all.Connectors(), Version: "test", Clock: Clock{}, Rand: rand.Reader,
		CheckpointDir: "file://" + t.TempDir(), HeartbeatInterval: 50 * time.Millisecond, MetricsInterval: 50 * time.Millisecond, HTTP: withLanguage(h),
	})
	if err != nil {
		t.Fatal(err)
	}
	tm, err := newTaskManager(taskmanager.Config{
		JobManager: jm.Address(), BindHost: loopback, AdvertiseHost: loopback, MetricsPort: serve.Off, Slots: 2, DataDir: t.TempDir(),
	}, all.Connectors())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 2)
	for _, run := range []func(context.Context) error{jm.Run, tm.Run} {
		go func() { done <- run(ctx) }()
	}
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Errorf("run: %v", err)
			}
		}
	})
	return &httpCluster{t, fmt.Sprintf("http://127.0.0.1:%d", jm.HTTPPort()), &http.Client{Timeout: 30 * time.Second}}
}

// call returns an answer's code and body, decoded into v unless it is nil.
func (h *httpCluster) call(method, path string, body, v any) int {
	h.t.Helper()
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			h.t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.base+path, bytes.NewReader(data))
	if err != nil {
		h.t.Fatal(err)
	}
	resp, err := h.c.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && v != nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		h.t.Fatalf("%s %s: %d %s: %v", method, path, resp.StatusCode, text, err)
	}
	return resp.StatusCode
}

// until watches a job's events until f is satisfied.
func (h *httpCluster) until(id, what string, f func(*rest.Job) bool) *rest.Job {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 25*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.base+"/api/v1/jobs/"+id+"/events", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	resp, err := h.c.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	sc := bufio.NewScanner(resp.Body)
	sc.Buffer(nil, 1<<20)
	var last string
	for sc.Scan() {
		data, ok := strings.CutPrefix(sc.Text(), "data: ")
		if !ok {
			continue
		}
		last = data
		var j rest.Job
		if err := json.Unmarshal([]byte(data), &j); err != nil {
			h.t.Fatal(err)
		}
		if f(&j) {
			return &j
		}
	}
	h.t.Fatalf("the job never %s: %v; the last: %s", what, sc.Err(), last)
	return nil
}

// done waits for a trigger and returns its path.
func (h *httpCluster) done(id, trigger string) string {
	h.t.Helper()
	for {
		var v struct{ State, Path, Error string }
		h.call("GET", "/api/v1/jobs/"+id+"/triggers/"+trigger, nil, &v)
		switch v.State {
		case "completed":
			return v.Path
		case "in_progress":
			continue // asking is what takes the time
		}
		h.t.Fatalf("trigger: %+v", v)
	}
}

const httpScript = `SET 'execution.checkpointing.interval' = '200 ms';
CREATE TABLE numbers (n BIGINT, k AS MOD(n, 7)) WITH ('connector' = 'datagen', 'rows-per-second' = '${RATE:-500}', 'fields.n.kind' = 'random', 'fields.n.min' = '0', 'fields.n.max' = '1000');
CREATE TABLE counts (k BIGINT, c BIGINT, PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'blackhole');
INSERT INTO counts SELECT k, COUNT(*) FROM numbers GROUP BY k;`

type object = map[string]any

// TestHTTP runs a job as the dashboard and Flink's tools would.
func TestHTTP(t *testing.T) {
	h := newHTTPCluster(t, jobmanager.HTTP{})
	var checked struct {
		Diagnostics []rest.Diagnostic
		Plan        *rest.ScriptPlan
	}
	h.call("POST", "/api/v1/sql/validate", object{"script": strings.Replace(httpScript, "SELECT k", "SELECT kk", 1)}, &checked)
	if len(checked.Diagnostics) == 0 || checked.Diagnostics[0].Line != 4 || checked.Diagnostics[0].EndColumn-checked.Diagnostics[0].Column != 2 {
		t.Errorf("a typo: %+v", checked.Diagnostics)
	}
	h.call("POST", "/api/v1/sql/validate", object{"script": httpScript}, &checked)
	if len(checked.Diagnostics) != 0 || checked.Plan == nil || len(checked.Plan.Vertices) < 2 || len(checked.Plan.Edges) < 1 {
		t.Errorf("a good script: %+v", checked)
	}
	var completion rest.Completion
	h.call("POST", "/api/v1/sql/complete", object{"script": httpScript + "\nSELECT k FROM num", "line": 5, "column": 18}, &completion)
	if completion.From != (rest.Position{Line: 5, Column: 15}) || len(completion.Items) == 0 || completion.Items[0].Label != "numbers" {
		t.Errorf("completion: %+v", completion)
	}
	for {
		var c rest.Cluster
		if h.call("GET", "/api/v1/cluster", nil, &c); c.SlotsTotal == 2 {
			break
		}
	}
	var submitted struct{ JobID string }
	if code := h.call("POST", "/api/v1/jobs", object{"script": httpScript, "name": "numbers", "settings": object{"RATE": "300"}}, &submitted); code != 200 {
		t.Fatalf("submit: %d", code)
	}
	id := submitted.JobID
	j := h.until(id, "got going", func(j *rest.Job) bool {
		return j.State == "RUNNING" && j.RecordsInPerSecond != nil && *j.RecordsInPerSecond > 50 && j.Checkpoints.Counts.Completed > 1
	})
	if *j.RecordsInPerSecond > 900 || j.Vertices[0].BusyRatio == nil || j.Edges[0].RecordsPerSecond == nil || j.LastCheckpointAt == nil {
		t.Errorf("job: %+v", j.JobSummary)
	}
	var trigger struct{ TriggerID string }
	h.call("POST", "/api/v1/jobs/"+id+"/savepoints", nil, &trigger)
	path := h.done(id, trigger.TriggerID)
	if _, err := os.Stat(strings.TrimPrefix(path, "file://")); err != nil {
		t.Errorf("the savepoint: %v", err)
	}
	h.call("POST", "/api/v1/jobs/"+id+"/rescale", object{"parallelism": 2}, &trigger)
	h.done(id, trigger.TriggerID)
	if j = h.until(id, "ran with two tasks", func(j *rest.Job) bool { return j.State == "RUNNING" && j.Parallelism == 2 }); j.Restarts != 1 {
		t.Errorf("rescaled: %+v", j.JobSummary)
	}
	h.look()
	h.flinkStop(id)
	h.until(id, "stopped", func(j *rest.Job) bool { return j.State == "FINISHED" })
	h.call("POST", "/api/v1/jobs", object{"script": httpScript, "fromSavepoint": path}, &submitted)
	j = h.until(submitted.JobID, "went on", func(j *rest.Job) bool { return j.State == "RUNNING" })
	if j.Checkpoints.RestoredID == nil || j.Checkpoints.Counts.Restored != 1 {
		t.Errorf("from a savepoint: %+v", j.Checkpoints)
	}
	h.call("POST", "/api/v1/jobs/"+submitted.JobID+"/cancel", nil, &trigger)
	h.until(submitted.JobID, "was cancelled", func(j *rest.Job) bool { return j.State == "CANCELED" })
}

// flinkStop looks at a job and stops it, in Flink's words.
func (h *httpCluster) flinkStop(id string) {
	h.t.Helper()
	var job struct {
		State    string
		Vertices []struct {
			ID      string
			Metrics map[string]any
		}
		Plan struct{ Nodes []object }
	}
	h.call("GET", "/v1/jobs/"+id, nil, &job)
	if job.State != "RUNNING" || len(job.Vertices) < 2 || len(job.Plan.Nodes) != len(job.Vertices) || len(job.Vertices[0].ID) != 32 {
		h.t.Errorf("Flink's job: %+v", job)
	}
	var level object
	if h.call("GET", "/jobs/"+id+"/vertices/"+job.Vertices[0].ID+"/backpressure", nil, &level); level["subtasks"] == nil {
		h.t.Errorf("back-pressure: %v", level)
	}
	var asked object
	if code := h.call("POST", "/v1/jobs/"+id+"/stop", object{"drain": false}, &asked); code != http.StatusAccepted {
		h.t.Fatalf("stop: %d %v", code, asked)
	}
	for {
		var state struct {
			Status    struct{ ID string }
			Operation struct{ Location string }
		}
		h.call("GET", fmt.Sprintf("/v1/jobs/%s/savepoints/%s", id, asked["request-id"]), nil, &state)
		if state.Status.ID == "COMPLETED" {
			if state.Operation.Location == "" {
				h.t.Errorf("stopped: %+v", state)
			}
			return
		}
	}
}

// look looks into the processes, which are this one.
func (h *httpCluster) look() {
	h.t.Helper()
	var c rest.Cluster
	h.call("GET", "/api/v1/cluster", nil, &c)
	for _, id := range []string{"jobmanager", c.TaskManagers[0].ID} {
		var flame struct {
			Name     string
			Children []object
		}
		if code := h.call("GET", "/api/v1/taskmanagers/"+id+"/flamegraph?seconds=1", nil, &flame); code != 200 || flame.Name != "all" {
			h.t.Errorf("flame graph of %s: %d %+v", id, code, flame)
		}
		var dump struct {
			ThreadInfos []struct{ StringifiedThreadInfo string }
		}
		path := "/taskmanagers/" + id
		if id == "jobmanager" {
			path = "/jobmanager"
		}
		if h.call("GET", path+"/thread-dump", nil, &dump); len(dump.ThreadInfos) < 10 || !strings.Contains(fmt.Sprint(dump), "jobmanager.(*JobManager).loop") {
			h.t.Errorf("%d threads of %s", len(dump.ThreadInfos), id)
		}
	}
	if code := h.call("GET", "/api/v1/taskmanagers/nobody/logs", nil, nil); code != http.StatusNotFound {
		h.t.Errorf("the log of nobody: %d", code)
	}
}

// certificateFiles makes a certificate for 127.0.0.1.
func certificateFiles(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(cert, certPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600); err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return cert, key, pool
}

func TestHTTPS(t *testing.T) {
	cert, key, pool := certificateFiles(t)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("a-long-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := newHTTPCluster(t, jobmanager.HTTP{TLSCert: cert, TLSKey: key, TokenFile: token})
	h.base = strings.Replace(h.base, "http:", "https:", 1)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	h.c.Transport = transport
	defer transport.CloseIdleConnections()
	var f struct{ Errors []string }
	for h.call("GET", "/readyz", nil, nil) != http.StatusOK {
	}
	if code := h.call("GET", "/overview", nil, &f); code != http.StatusUnauthorized || len(f.Errors) != 1 {
		t.Errorf("without a token: %d %v", code, f)
	}
	resp, err := h.c.Post(h.base+"/api/v1/login", "application/json", strings.NewReader(`{"token":"a-long-token"}`)) //nolint:noctx // the client has a limit
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close() //nolint:errcheck // empty
	if c := resp.Cookies(); resp.StatusCode != http.StatusNoContent || len(c) != 1 || !c[0].Secure || resp.Proto != "HTTP/2.0" {
		t.Errorf("login: %s %s %v", resp.Status, resp.Proto, c)
	}
	for _, wrong := range []jobmanager.HTTP{{TLSCert: cert}, {TLSCert: cert, TLSKey: cert}, {TokenFile: filepath.Join(t.TempDir(), "none")}} {
		if _, err := jobmanager.New(jobmanager.Config{BindHost: loopback, MetricsPort: serve.Off, Clock: Clock{}, Rand: rand.Reader, HTTP: wrong}); err == nil {
			t.Errorf("%+v is accepted", wrong)
		}
	}
}

// TestHTTPTellsNoSecrets asks for everything about a job that has passwords.
func TestHTTPTellsNoSecrets(t *testing.T) {
	h := newHTTPCluster(t, jobmanager.HTTP{})
	for h.call("GET", "/readyz", nil, nil) != http.StatusOK {
	}
	const text = `SET 'pipeline.name' = 'secretive';
CREATE TABLE a (x INT) WITH ('connector' = 'mqtt', 'url' = 'tcp://me:hushhush@127.0.0.1:1', 'topic' = 't', 'username' = 'me', 'password' = 'hush''hush', 'format' = 'json');
CREATE TABLE b (x INT) WITH ('connector' = 'redis-stream', 'url' = 'redis://:hushhush@127.0.0.1:1', 'stream' = 's');
INSERT INTO b SELECT x FROM a WHERE x > ${LEAST};`
	var submitted struct{ JobID string }
	if code := h.call("POST", "/api/v1/jobs", object{"script": text, "settings": object{"LEAST": "1", "restart-strategy.type": "none"}}, &submitted); code != 200 {
		t.Fatalf("submit: %d", code)
	}
	j := h.until(submitted.JobID, "began", func(j *rest.Job) bool { return len(j.Vertices) > 0 })
	if j.Script == nil || !strings.Contains(*j.Script, "'password' = '******'") || !strings.Contains(*j.Script, "tcp://me:******@127.0.0.1:1") || !strings.Contains(*j.Script, "x > 1") {
		t.Errorf("script: %s", *j.Script)
	}
	id := submitted.JobID
	for _, path := range []string{
		"/api/v1/jobs/" + id, "/api/v1/cluster", "/jobs/" + id, "/jobs/" + id + "/config", "/jobs/" + id + "/plan", "/jobs/" + id + "/exceptions", "/jobs/overview",
		"/jobs/" + id + "/vertices/" + j.Vertices[0].ID, "/jobmanager/config",
	} {
		var body json.RawMessage
		if code := h.call("GET", path, nil, &body); code != 200 || strings.Contains(string(body), "hush") {
			t.Errorf("GET %s: %d %s", path, code, body)
		}
	}
	var checked json.RawMessage
	h.call("POST", "/api/v1/sql/validate", object{"script": text, "settings": object{"LEAST": "1"}}, &checked)
	if !strings.Contains(string(checked), `"diagnostics":[]`) || strings.Contains(string(checked), "hush") {
		t.Errorf("validate: %s", checked)
	}
}
