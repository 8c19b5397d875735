//go:build integration

package e2e

import (
	"bufio"
	"context"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectpb "google.golang.org/grpc/reflection/grpc_reflection_v1"

	"github.com/bramble-stream/bramble/internal/testenv"
)

// logged waits until the program has logged key=value, and returns the value.
func (p *process) logged(key string) string {
	p.t.Helper()
	re, value := regexp.MustCompile(`\b`+key+`=(\S+)`), ""
	await(p.t, p.name+" to log "+key, func() bool {
		if m := re.FindStringSubmatch(p.out.String()); m != nil {
			value = m[1]
		}
		return value != ""
	})
	return value
}

// get returns a page and its status code, 0 for one that does not answer.
func get(t *testing.T, url string) (string, int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", 0
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body), resp.StatusCode
}

// Ports of 0 are free ones that the log names; what answers there says how it is.
func TestPortsHealthAndReflection(t *testing.T) {
	jobPort := testenv.FreePort(t)
	addr := "127.0.0.1:" + strconv.Itoa(jobPort)
	tm := start(t, "taskmanager", "--jobmanager", addr, "--bind-host", "127.0.0.1", "--data-port", "0", "--metrics-port", "0", "--data-dir", t.TempDir())
	tmPage := "http://127.0.0.1:" + tm.logged("metrics_port")
	// It lives, but is of no use yet.
	if _, code := get(t, tmPage+"/healthz"); code != http.StatusOK {
		t.Errorf("/healthz of a taskmanager without a jobmanager: %d", code)
	}
	if body, code := get(t, tmPage+"/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("/readyz of a taskmanager without a jobmanager: %d %s", code, body)
	}
	jm := start(t, "jobmanager", "--bind-host", "127.0.0.1", "--rpc-port", strconv.Itoa(jobPort), "--http-port", "0", "--metrics-port", "0", "--log-format", "text")
	await(t, "the taskmanager to be ready", func() bool { _, code := get(t, tmPage+"/readyz"); return code == http.StatusOK })
	for _, page := range []string{tmPage, "http://127.0.0.1:" + jm.logged("http_port"), "http://127.0.0.1:" + jm.logged("metrics_port")} {
		for _, path := range []string{"/healthz", "/readyz"} {
			if body, code := get(t, page+path); code != http.StatusOK || !strings.HasPrefix(body, "ok") {
				t.Errorf("%s%s: %d %q", page, path, code, body)
			}
		}
	}
	if got := jm.logged("rpc_port"); got != strconv.Itoa(jobPort) {
		t.Errorf("the jobmanager says its port is %s", got)
	}
	services := map[string][]string{
		addr:                                  {"bramble.v1.JobService", "grpc.health.v1.Health"},
		"127.0.0.1:" + tm.logged("data_port"): {"bramble.v1.", "grpc.health.v1.Health"},
	}
	for at, want := range services {
		checkServices(t, at, want)
	}
}

func checkServices(t *testing.T, addr string, want []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	h, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
	if err != nil || h.Status != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("health of %s: %v, %v", addr, h, err)
	}
	s, err := reflectpb.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(&reflectpb.ServerReflectionRequest{MessageRequest: &reflectpb.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	resp, err := s.Recv()
	if err != nil {
		t.Fatal(err)
	}
	all := ""
	for _, service := range resp.GetListServicesResponse().GetService() {
		all += service.Name + "\n"
	}
	contains(t, all, want...)
}

// Every metric that docs/operations.md promises, with its labels.
var (
	jobManagerMetrics = map[string]string{
		"bramble_jobmanager_taskmanagers":    "",
		"bramble_jobmanager_slots_total":     "",
		"bramble_jobmanager_slots_available": "",
		"bramble_jobmanager_jobs":            "state",
		"bramble_job_uptime_seconds":         "job_id job_name",
		"bramble_job_restarts_total":         "job_id job_name",
		"go_goroutines":                      "",
		"process_resident_memory_bytes":      "",
	}
	taskMetrics = []string{
		"bramble_task_records_in_total", "bramble_task_records_out_total", "bramble_task_bytes_in_total", "bramble_task_bytes_out_total",
		"bramble_task_busy_seconds_total", "bramble_task_idle_seconds_total", "bramble_task_backpressured_seconds_total",
		"bramble_task_watermark_seconds", "bramble_task_late_records_total", "bramble_task_bad_records_total",
		"bramble_task_latency_seconds_bucket", "bramble_task_latency_seconds_sum", "bramble_task_latency_seconds_count",
		"bramble_state_bytes", "bramble_state_keys",
	}
	flinkNames = []string{
		"flink_jobmanager_numRegisteredTaskManagers", "flink_jobmanager_taskSlotsTotal", "flink_jobmanager_taskSlotsAvailable",
		"flink_jobmanager_numRunningJobs", "flink_jobmanager_job_uptime", "flink_jobmanager_job_numRestarts",
	}
)

// series is the labels of each name on a metrics page, in order, and "" for none.
func series(t *testing.T, url string) map[string][]map[string]string {
	t.Helper()
	body, _ := get(t, url)
	all := map[string][]map[string]string{}
	label := regexp.MustCompile(`(\w+)="((?:[^"\\]|\\.)*)"`)
	for sc := bufio.NewScanner(strings.NewReader(body)); sc.Scan(); {
		line := sc.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		end := strings.IndexAny(line, "{ ")
		labels := map[string]string{}
		for _, m := range label.FindAllStringSubmatch(line[end:], -1) {
			labels[m[1]] = m[2]
		}
		all[line[:end]] = append(all[line[:end]], labels)
	}
	return all
}

func TestMetrics(t *testing.T) {
	c := startCluster(t, 2, 1)
	c.addTaskManager(1, "--metrics-flink-names")
	c.awaitMetric("bramble_jobmanager_slots_available", 3)
	id := c.submit(`
CREATE TABLE events (bid ROW<auction BIGINT, price BIGINT>, ts AS CAST(LOCALTIMESTAMP AS TIMESTAMP(3)), WATERMARK FOR ts AS ts)
  WITH ('connector' = 'nexmark', 'events.num' = '0', 'first-event.rate' = '2000');
CREATE TABLE nowhere (auction BIGINT, w TIMESTAMP(3), n BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO nowhere SELECT bid.auction, window_start, COUNT(*) FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '1' SECOND))
GROUP BY bid.auction, window_start, window_end;
`, "-p", "3", "--name", "metrics")

	jm := series(t, c.jmMetrics)
	for name, want := range jobManagerMetrics {
		if len(jm[name]) == 0 {
			t.Errorf("the jobmanager has no %s", name)
		} else if got := strings.Join(slices.Sorted(maps.Keys(jm[name][0])), " "); got != want {
			t.Errorf("%s has the labels %q, want %q", name, got, want)
		}
	}
	if l := jm["bramble_job_uptime_seconds"]; len(l) != 1 || l[0]["job_id"] != id || l[0]["job_name"] != "metrics" {
		t.Errorf("labels of the job: %v", l)
	}

	for i, page := range c.tmMetrics {
		var missing []string
		await(t, "every metric of a taskmanager", func() bool {
			got := series(t, page)
			missing = missing[:0]
			for _, name := range taskMetrics {
				if len(got[name]) == 0 {
					missing = append(missing, name)
				}
			}
			if len(missing) == 0 {
				checkLabels(t, got, id)
			}
			if i == 2 && len(missing) == 0 && !slices.ContainsFunc(slices.Collect(maps.Keys(got)), func(n string) bool { return strings.HasPrefix(n, "flink_taskmanager_job_task_") }) {
				missing = append(missing, "flink_taskmanager_job_task_…")
			}
			return len(missing) == 0
		})
	}
	// What is counted is right: rows leave the sources as fast as they should, and times add up to the wall's.
	await(t, "records to flow", func() bool { return c.sum("bramble_task_records_in_total") > 1000 })
	c.mustBramble("cancel", id)
	await(t, "the job's series to go", func() bool { return len(series(t, c.tmMetrics[0])["bramble_task_records_in_total"]) == 0 })
}

func checkLabels(t *testing.T, got map[string][]map[string]string, id string) {
	t.Helper()
	perTask := map[string]bool{"bramble_task_busy_seconds_total": true, "bramble_task_idle_seconds_total": true, "bramble_task_backpressured_seconds_total": true}
	for _, name := range taskMetrics {
		for _, labels := range got[name] {
			for _, l := range []string{"job_name", "task", "taskmanager", "operator"} {
				if labels[l] == "" && (l != "operator" || !perTask[name]) {
					t.Errorf("%s lacks the label %s: %v", name, l, labels)
				}
			}
			if labels["job_id"] != id {
				t.Errorf("%s has the job %q", name, labels["job_id"])
			}
		}
	}
}

func TestFlinkNamesOfTheJobManager(t *testing.T) {
	jm := start(t, "jobmanager", "--bind-host", "127.0.0.1", "--rpc-port", "0", "--http-port", "0", "--metrics-port", "0", "--metrics-flink-names")
	addr, page := "127.0.0.1:"+jm.logged("rpc_port"), "http://127.0.0.1:"+jm.logged("metrics_port")+"/metrics"
	c := &cluster{t: t, addr: addr, jmMetrics: page, jobmanager: jm}
	c.addTaskManager(1)
	c.submit(endless)
	got := series(t, page)
	for _, name := range flinkNames {
		if len(got[name]) == 0 {
			t.Errorf("no %s", name)
		}
	}
	// In JSON, logs are a line an event with time, level and message.
	logs := start(t, "jobmanager", "--bind-host", "127.0.0.1", "--rpc-port", "0", "--http-port", "-1", "--metrics-port", "-1", "--log-format", "json")
	await(t, "a log line", func() bool {
		return regexp.MustCompile(`(?m)^\{"time":"[^"]+","level":"INFO","msg":"jobmanager started".*"rpc_port":\d+`).MatchString(logs.out.String())
	})
}
