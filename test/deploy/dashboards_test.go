//go:build integration

package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"gopkg.in/yaml.v3"

	"github.com/bramble-stream/bramble/internal/child"
	"github.com/bramble-stream/bramble/internal/testenv"
)

// patience bounds every wait.
const patience = 60 * time.Second

// start runs a program until the test ends.
func start(t *testing.T, path string, args ...string) {
	t.Helper()
	log := filepath.Join(t.TempDir(), filepath.Base(path)+".log")
	p, err := child.StartInto(log, exec.Command(path, args...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.End(syscall.SIGTERM, 20*time.Second)
		if text, err := os.ReadFile(log); err == nil && t.Failed() {
			t.Logf("--- %s\n%s", path, text[max(0, len(text)-3000):])
		}
	})
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for begin := time.Now(); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Since(begin) > patience {
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// scene is a cluster that works and a Prometheus that looks at it.
type scene struct {
	t          *testing.T
	prometheus string
	ports      map[string][]int
}

// optional are the exporters that may not be installed: the panels and rules of their metrics are left out then.
var optional = map[string]string{"node": "prometheus-node-exporter", "redis": "prometheus-redis-exporter"}

func (s *scene) port(job string) string {
	p := testenv.FreePort(s.t)
	s.ports[job] = append(s.ports[job], p)
	return strconv.Itoa(p)
}

// pi is what a Pi's /sys and firmware say.
func (s *scene) pi() (sys, textfiles string) {
	sys, textfiles = s.t.TempDir(), s.t.TempDir()
	zone := filepath.Join(sys, "class/thermal/thermal_zone0")
	if err := os.MkdirAll(zone, 0o750); err != nil {
		s.t.Fatal(err)
	}
	for name, text := range map[string]string{"type": "cpu-thermal", "temp": "48312", "policy": "step_wise"} {
		if err := os.WriteFile(filepath.Join(zone, name), []byte(text+"\n"), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	bits := filepath.Join(sys, "get_throttled")
	if err := os.WriteFile(bits, []byte("50005\n"), 0o600); err != nil { // now: voltage too low, throttled; both since the start, too
		s.t.Fatal(err)
	}
	cmd := exec.Command(dir + "node-exporter/pi-throttled")
	cmd.Env = append(os.Environ(), "THROTTLED_FILE="+bits, "TEXTFILE_DIR="+textfiles)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("pi-throttled: %v\n%s", err, out)
	}
	return sys, textfiles
}

// cluster starts everything that the scrape configuration names, and a job.
func (s *scene) cluster() {
	t := s.t
	mosquitto, redis := testenv.Mosquitto(t, testenv.Config("sys_interval 1")), testenv.Redis(t, testenv.Config("maxmemory 64mb"))
	rpc := "127.0.0.1:" + strconv.Itoa(testenv.FreePort(t))
	_, rpcPort, _ := strings.Cut(rpc, ":")
	checkpoints := "file://" + t.TempDir()
	start(t, testenv.Bin(t, "jobmanager"), "--bind-host", "127.0.0.1", "--rpc-port", rpcPort, "--http-port", "-1", "--metrics-port", s.port("jobmanager"),
		"--checkpoint-dir", checkpoints, "--metrics-flink-names")
	for range 2 {
		start(t, testenv.Bin(t, "taskmanager"), "--jobmanager", rpc, "--bind-host", "127.0.0.1", "--data-port", "0", "--slots", "2",
			"--metrics-port", s.port("taskmanager"), "--metrics-flink-names")
	}
	start(t, testenv.Bin(t, "bramble"), "mosquitto-metrics", "--url", mosquitto.URL(), "--metrics-port", s.port("mosquitto"))
	if path, err := exec.LookPath(optional["redis"]); err == nil {
		start(t, path, "--redis.addr", redis.URL(), "--web.listen-address", "127.0.0.1:"+s.port("redis"))
	}
	if path, err := exec.LookPath(optional["node"]); err == nil {
		sys, textfiles := s.pi()
		start(t, path, "--web.listen-address", "127.0.0.1:"+s.port("node"), "--path.sysfs", sys, "--collector.textfile.directory", textfiles)
	}
	await(t, "the job to be submitted", func() bool {
		code, _ := run(t, "bramble", "submit", "../../examples/sensors.sql", "--jobmanager", rpc, "-p", "2", "-D", "MQTT_URL="+mosquitto.URL(), "-D", "REDIS_URL="+redis.URL(),
			"-D", "WINDOW_SECONDS=1", "-D", "LATENESS_SECONDS=0", "-D", "execution.checkpointing.interval=1 s")
		return code == 0
	})
	s.publish(mosquitto.URL())
}

// publish sends readings, late ones and broken ones among them, until the test ends.
func (s *scene) publish(broker string) {
	c := paho.NewClient(paho.NewClientOptions().AddBroker(broker).SetClientID("house"))
	if tok := c.Connect(); !tok.WaitTimeout(patience) || tok.Error() != nil {
		s.t.Fatal(tok.Error())
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ctx.Err() == nil; n++ {
			ts := time.Now()
			if n%50 == 49 {
				ts = ts.Add(-time.Minute)
			}
			text := fmt.Sprintf(`{"sensor":"s%d","kind":"temperature","value":21,"ts":"%s"}`, n%5, ts.UTC().Format("2006-01-02 15:04:05.000Z"))
			if n%100 == 99 {
				text = "broken"
			}
			c.Publish("home/x", 1, false, text).WaitTimeout(time.Second)
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
		c.Disconnect(100)
	}()
	s.t.Cleanup(func() { cancel(); <-done })
}

// watch starts Prometheus with the stack's configuration: what a swarm's DNS would answer stands in it, and time goes faster.
func (s *scene) watch() {
	t := s.t
	path, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatal("prometheus is not installed: run scripts/test-deps")
	}
	text, err := os.ReadFile(dir + "prometheus/prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	listen := testenv.FreePort(t)
	config["global"] = map[string]any{"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "1s"}
	rules, err := filepath.Abs(dir + "prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	config["rule_files"] = []string{rules}
	for _, c := range config["scrape_configs"].([]any) {
		job := c.(map[string]any)
		name := job["job_name"].(string)
		var targets []string
		for _, p := range s.ports[name] {
			targets = append(targets, fmt.Sprintf("127.0.0.1:%d", p))
		}
		if name == "prometheus" {
			targets = []string{fmt.Sprintf("127.0.0.1:%d", listen)}
		} else if job["dns_sd_configs"] == nil {
			t.Errorf("prometheus.yml: %s is not found by DNS", name)
		}
		delete(job, "dns_sd_configs")
		job["static_configs"] = []any{map[string]any{"targets": targets}}
		delete(s.ports, name)
	}
	for job := range s.ports {
		t.Errorf("prometheus.yml does not scrape %s", job)
	}
	out, err := yaml.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "prometheus.yml")
	if err := os.WriteFile(file, out, 0o600); err != nil {
		t.Fatal(err)
	}
	s.prometheus = fmt.Sprintf("http://127.0.0.1:%d", listen)
	start(t, path, "--config.file", file, "--storage.tsdb.path", t.TempDir(), "--web.listen-address", fmt.Sprintf("127.0.0.1:%d", listen), "--query.lookback-delta", "15s")
	await(t, "prometheus", func() bool { _, err := s.get("/-/ready", nil); return err == nil })
}

// get asks Prometheus and decodes the answer's data.
func (s *scene) get(path string, data any) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.prometheus+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return string(body), fmt.Errorf("%s: %w %s", resp.Status, err, body)
	}
	if data == nil {
		return string(body), nil
	}
	answer := struct{ Data any }{data}
	return string(body), json.Unmarshal(body, &answer)
}

// variables of Grafana, as it fills them in.
var variables = strings.NewReplacer("$__rate_interval", "30s", "$job", ".*")

type panel struct {
	Title   string
	Targets []struct{ Expr string }
}

func panels(t *testing.T, file string) []panel {
	t.Helper()
	text, err := os.ReadFile(dir + file)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		UID    string
		Title  string
		Panels []panel
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if d.UID == "" || d.Title == "" || len(d.Panels) == 0 {
		t.Fatalf("%s is no dashboard", file)
	}
	return d.Panels
}

// mayBeEmpty are expressions that have nothing to show where all is well, or on this machine.
func mayBeEmpty(expr string) bool {
	for job, program := range optional {
		if _, err := exec.LookPath(program); err != nil && (strings.Contains(expr, job+"_") || strings.Contains(expr, "raspberry_pi_")) {
			return true
		}
	}
	return false
}

// TestDashboardsShowData asks for every panel while a job runs: each expression must parse and find something.
func TestDashboardsShowData(t *testing.T) {
	s := &scene{t: t, ports: map[string][]int{}}
	s.cluster()
	s.watch()
	empty := func() (left []string) {
		for _, f := range files(t, "grafana/dashboards/*.json") {
			for _, p := range panels(t, f) {
				for _, target := range p.Targets {
					var data struct{ Result []struct{ Value [2]any } }
					body, err := s.get("/api/v1/query?query="+url.QueryEscape(variables.Replace(target.Expr)), &data)
					if err != nil {
						t.Fatalf("%s: %s: %s\n%v %s", f, p.Title, target.Expr, err, body)
					}
					numbers := 0
					for _, r := range data.Result {
						if r.Value[1] != "NaN" {
							numbers++
						}
					}
					if numbers == 0 && !mayBeEmpty(target.Expr) {
						left = append(left, fmt.Sprintf("%s: %s: %s", f, p.Title, target.Expr))
					}
				}
			}
		}
		return left
	}
	var left []string
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(time.Second) {
		if left = empty(); len(left) == 0 {
			break
		}
	}
	for _, l := range left {
		t.Errorf("no data: %s", l)
	}
	var rules struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	if _, err := s.get("/api/v1/rules", &rules); err != nil || len(rules.Groups) == 0 {
		t.Errorf("rules: %v", err)
	}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			if r.Health != "ok" {
				t.Errorf("alert %s: %s %s", r.Name, r.Health, r.LastError)
			}
		}
	}
}

// TestAlerts plays what the rules are for: promtool has the series come and looks which alerts there are.
func TestAlerts(t *testing.T) {
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatal("promtool is not installed: run scripts/test-deps")
	}
	for _, args := range [][]string{{"check", "config", dir + "prometheus/prometheus.yml"}, {"test", "rules", "testdata/alerts.yml"}} {
		if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}
