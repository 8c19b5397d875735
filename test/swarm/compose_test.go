//go:build swarm

package swarm

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// published is for the test, which looks into Redis and Prometheus.
const published = `services:
  redis: {ports: ["6379:6379"]}
  prometheus: {ports: ["9090:9090"]}
`

// composer is a compose program and what it was given: the client's plugin, or the program that Debian has.
type composer struct {
	t    *testing.T
	argv []string
	env  []string
}

func newComposer(t *testing.T, n *node, files ...string) *composer {
	t.Helper()
	c := &composer{t: t, argv: []string{"docker-compose"}, env: append(os.Environ(), "DOCKER_HOST="+n.host())}
	if _, err := try(t, "docker", "compose", "version"); err == nil {
		c.argv = []string{"docker", "compose"}
	}
	if p := os.Getenv("BRAMBLE_TEST_COMPOSE"); p != "" {
		c.argv = []string{p}
	}
	t.Logf("%s: %s", strings.Join(c.argv, " "), c.run("version"))
	for _, f := range files {
		c.argv = append(c.argv, "-f", f)
	}
	return c
}

func (c *composer) run(args ...string) string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.argv[0], append(c.argv[1:len(c.argv):len(c.argv)], args...)...)
	cmd.Env = c.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("%s %s: %v\n%s", strings.Join(c.argv, " "), strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestCompose starts deploy/compose.yml on one machine, runs a job in it, and kills and restarts what a person would.
func TestCompose(t *testing.T) {
	nodes := startNodes(t, 1)
	bin, err := filepath.Abs("../../dist/linux_" + runtime.GOARCH + "/bramble")
	if err != nil {
		t.Fatal(err)
	}
	s := &stack{t: t, nodes: nodes, manager: nodes[0], dir: walkable(t), bramble: bin, fixed: nodes[0].address}
	var archives []string
	for _, f := range foreigners {
		archives = append(archives, f.build(t, s.dir))
	}
	load(nodes, archives...)

	deploy := filepath.Join(s.dir, "deploy") // passwords come beside the file
	command(t, "cp", "-r", "../../deploy", deploy)
	_ = os.RemoveAll(filepath.Join(deploy, ".secrets")) // a person's own
	command(t, filepath.Join(deploy, "secrets"), "--files")
	more := filepath.Join(s.dir, "published.yml")
	if err := os.WriteFile(more, []byte(published), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newComposer(t, nodes[0], filepath.Join(deploy, "compose.yml"), more)
	c.env = append(c.env, "MOSQUITTO_IMAGE=test/mosquitto", "REDIS_IMAGE=test/redis", "PROMETHEUS_IMAGE=test/prometheus")
	// There is no image of Grafana here.
	c.run("up", "-d", "jobmanager", "taskmanager", "mosquitto", "redis", "prometheus", "mosquitto-exporter")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s\n%s", c.run("ps"), c.run("logs", "--tail", "20"))
		}
	})
	t.Log("\n" + c.run("ps"))
	s.registered(1)

	secret := func(name string) string {
		data, err := os.ReadFile(filepath.Join(deploy, ".secrets", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	rdb := redis.NewClient(&redis.Options{Addr: s.address("redis", 6379), Password: secret("redis_password")})
	defer rdb.Close()
	job := s.submit()
	h := openHouse(t, s.address("mosquitto", 1883), secret("mqtt_password"))
	h.subscribed(rdb)
	h.begin()
	s.goesOn(rdb, "the job")
	s.protected(job, secret("http_token"))
	await(t, "Prometheus to see all", func() bool {
		_, up := s.query(`up{job=~"jobmanager|taskmanager|mosquitto"} == 1`)
		_, busy := s.query(`rate(bramble_task_records_in_total[1m]) > 0`)
		return up == 3 && busy > 0
	})
	// Not by docker kill: what a person ends stays ended.
	id := c.run("ps", "-q", "taskmanager")
	command(t, "kill", "-KILL", nodes[0].docker("inspect", "-f", "{{.State.Pid}}", id))
	await(t, "its restart", func() bool {
		return nodes[0].docker("inspect", "-f", "{{.RestartCount}} {{.State.Running}}", id) == "1 true"
	})
	s.registered(1)
	s.goesOn(rdb, "the taskmanager killed")
	c.run("restart", "jobmanager")
	s.registered(1)
	s.goesOn(rdb, "the jobmanager restarted")
	h.complete(rdb)
	s.stop(job)
	c.run("down", "-t", "20")
}
