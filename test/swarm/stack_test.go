//go:build swarm

package swarm

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// override is for what this machine lacks: a kernel without IPVS has no virtual IPs, so names resolve to the replicas themselves, and ports are
// those of the node. Redis and Prometheus are published so that the test sees into them. A container counts as started once it has been found
// healthy, so these look often. There is no image of Grafana: test/deploy checks what it would show.
const override = `version: "3.8"
services:
  jobmanager:
    ports: [{target: 6123, published: 6123, mode: host}, {target: 8081, published: 8081, mode: host}]
    deploy: {endpoint_mode: dnsrr, update_config: {monitor: 5s}}
  taskmanager:
    deploy: {endpoint_mode: dnsrr, update_config: {delay: 3s, monitor: 5s}}
  mosquitto:
    ports: [{target: 1883, published: 1883, mode: host}]
    healthcheck: {interval: 3s}
    deploy: {endpoint_mode: dnsrr}
  redis:
    ports: [{target: 6379, published: 6379, mode: host}]
    healthcheck: {interval: 3s}
    deploy: {endpoint_mode: dnsrr}
  prometheus:
    ports: [{target: 9090, published: 9090, mode: host}]
    healthcheck: {interval: 3s}
    deploy: {endpoint_mode: dnsrr}
  grafana:
    ports: [{target: 3000, published: 3000, mode: host}]
    deploy: {endpoint_mode: dnsrr, replicas: 0}
`

// stack is deploy/stack.yml, deployed.
type stack struct {
	t       *testing.T
	nodes   []*node
	manager *node
	dir     string
	// bramble is the command line's program.
	bramble string
	// fixed, unless "", is where all ports are published.
	fixed string
	// files are deployed with stack.yml, env is for them.
	files, env []string
}

// newStack makes a swarm of so many nodes that have the images of deploy/stack.yml.
func newStack(t *testing.T, count int, more ...foreign) *stack {
	t.Helper()
	bin, err := filepath.Abs("../../dist/linux_" + runtime.GOARCH + "/bramble")
	if err != nil {
		t.Fatal(err)
	}
	s := &stack{t: t, dir: walkable(t), bramble: bin}
	s.nodes = startNodes(t, count)
	s.manager = s.nodes[0]
	var archives []string
	for _, f := range slices.Concat(foreigners, more) {
		archives = append(archives, f.build(t, s.dir))
	}
	load(s.nodes, archives...)
	joinAll(s.nodes)
	t.Cleanup(s.report) // before the nodes' own
	return s
}

// walkable is a temporary directory in which users of containers find their way.
func walkable(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != "/tmp"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil { //nolint:gosec // nothing in it is secret
			t.Fatal(err)
		}
	}
	return dir
}

// deploy deploys, or deploys again with another version.
func (s *stack) deploy(version string) {
	s.t.Helper()
	if out, err := s.tryDeploy(version); err != nil {
		s.t.Fatalf("docker stack deploy: %v\n%s", err, out)
	}
}

func (s *stack) tryDeploy(version string) (string, error) {
	s.t.Helper()
	file := filepath.Join(s.dir, "override.yml")
	if err := os.WriteFile(file, []byte(override), 0o600); err != nil {
		s.t.Fatal(err)
	}
	args := []string{"-H", s.manager.host(), "stack", "deploy", "--resolve-image", "never", "-c", "../../deploy/stack.yml", "-c", file}
	for _, f := range s.files {
		args = append(args, "-c", f)
	}
	cmd := exec.Command("docker", append(args, "bramble")...)
	cmd.Env = append(os.Environ(), "BRAMBLE_VERSION="+version, "BRAMBLE_CHECKPOINTS="+filepath.Join(s.dir, "checkpoints"),
		"MOSQUITTO_IMAGE=test/mosquitto", "REDIS_IMAGE=test/redis", "PROMETHEUS_IMAGE=test/prometheus")
	cmd.Env = append(cmd.Env, s.env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// tasks are the containers of a service that run and are to run: node and image of each.
func (s *stack) tasks(service string) (nodes, images []string) {
	out, err := try(s.t, "docker", "-H", s.manager.host(), "service", "ps", "bramble_"+service, "--filter", "desired-state=running",
		"--format", "{{.Node}} {{.Image}} {{.CurrentState}}")
	if err != nil {
		return nil, nil
	}
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "Running" {
			nodes, images = append(nodes, f[0]), append(images, f[1])
		}
	}
	return nodes, images
}

// runs waits until a service has so many containers, all of an image if that is given.
func (s *stack) runs(service string, replicas int, image string) {
	s.t.Helper()
	await(s.t, fmt.Sprintf("%d of %s %s", replicas, service, image), func() bool {
		nodes, images := s.tasks(service)
		for _, i := range images {
			if image != "" && i != image {
				return false
			}
		}
		return len(nodes) == replicas
	})
}

func (s *stack) node(name string) *node {
	for _, n := range s.nodes {
		if n.name == name {
			return n
		}
	}
	return nil
}

// address is where a port of a service with one replica is published, "" while it runs nowhere.
func (s *stack) address(service string, port int) string {
	if s.fixed != "" {
		return s.fixed + ":" + strconv.Itoa(port)
	}
	nodes, _ := s.tasks(service)
	if len(nodes) == 0 || s.node(nodes[0]) == nil {
		return ""
	}
	return s.node(nodes[0]).address + ":" + strconv.Itoa(port)
}

// cli runs bramble against the published port.
func (s *stack) cli(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.bramble, args...)
	cmd.Env = append(os.Environ(), "BRAMBLE_JOBMANAGER="+s.address("jobmanager", 6123))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// query asks Prometheus for the value of an expression; several series make their sum.
func (s *stack) query(expr string) (float64, int) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address("prometheus", 9090)+"/api/v1/query?query="+url.QueryEscape(expr), nil)
	if err != nil {
		return 0, 0
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, 0
	}
	defer resp.Body.Close()
	var answer struct {
		Data struct{ Result []struct{ Value [2]any } }
	}
	if json.NewDecoder(resp.Body).Decode(&answer) != nil {
		return 0, 0
	}
	sum := 0.0
	for _, r := range answer.Data.Result {
		text, _ := r.Value[1].(string)
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return 0, 0
		}
		sum += v
	}
	return sum, len(answer.Data.Result)
}

// report shows what the swarm thinks, when the test has failed.
func (s *stack) report() {
	if !s.t.Failed() {
		return
	}
	for _, args := range [][]string{
		{"node", "ls"},
		{"stack", "ps", "--no-trunc", "--format", "{{.Name}} {{.Node}} {{.DesiredState}} {{.CurrentState}} {{.Error}}", "bramble"},
		{"service", "logs", "--tail", "30", "bramble_jobmanager"},
		{"service", "logs", "--tail", "15", "bramble_taskmanager"},
		{"service", "logs", "--tail", "15", "bramble_mosquitto"},
	} {
		out, _ := try(s.t, "docker", append([]string{"-H", s.manager.host()}, args...)...)
		s.t.Logf("--- docker %s\n%s", strings.Join(args, " "), out)
	}
}
