//go:build swarm

package swarm

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/redis/go-redis/v9"
)

const (
	windowSeconds = 5
	// sensors send every interval, each on its topic.
	sensors  = 8
	interval = 100 * time.Millisecond
)

// house publishes readings until it is told to stop, and knows which windows they make.
type house struct {
	t      *testing.T
	client paho.Client
	mu     sync.Mutex
	// windows are readings by sensor and start of window, totals by sensor.
	windows, totals map[string]int
	stop            chan struct{}
	done            chan struct{}
}

func openHouse(t *testing.T, broker, password string) *house {
	t.Helper()
	h := &house{t: t, windows: map[string]int{}, totals: map[string]int{}, stop: make(chan struct{}), done: make(chan struct{})}
	h.client = paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + broker).SetClientID("house").
		SetUsername("bramble").SetPassword(password).SetCleanSession(false).SetMessageChannelDepth(10000))
	if tok := h.client.Connect(); !tok.WaitTimeout(20*time.Second) || tok.Error() != nil {
		t.Fatalf("mosquitto at %s: %v", broker, tok.Error())
	}
	return h
}

// subscribed waits until the job gets what is published: before it has a session nobody keeps it.
func (h *house) subscribed(rdb *redis.Client) {
	h.t.Helper()
	await(h.t, "the first reading to come through", func() bool {
		tok := h.client.Publish("home/first", 1, false, fmt.Sprintf(`{"sensor":"first","kind":"none","value":0,"ts":"%s"}`, time.Now().UTC().Format("2006-01-02 15:04:05.000Z")))
		if !tok.WaitTimeout(20*time.Second) || tok.Error() != nil {
			h.t.Fatalf("publish: %v", tok.Error())
		}
		n, err := rdb.Exists(h.t.Context(), "sensor:first").Result()
		return err == nil && n == 1
	})
}

// begin publishes at every interval.
func (h *house) begin() {
	go func() {
		defer close(h.done)
		for tick := time.NewTicker(interval); ; {
			select {
			case <-h.stop:
				tick.Stop()
				return
			case now := <-tick.C:
				h.publish(now)
			}
		}
	}()
}

// publish sends a reading of each sensor and waits until the broker has them.
func (h *house) publish(now time.Time) {
	var toks []paho.Token
	now = now.UTC().Truncate(time.Millisecond)
	for i := range sensors {
		sensor := fmt.Sprintf("s%d", i)
		h.mu.Lock()
		h.windows[sensor+" "+now.Truncate(windowSeconds*time.Second).Format("15:04:05")]++
		h.totals[sensor]++
		n := h.totals[sensor]
		h.mu.Unlock()
		payload := fmt.Sprintf(`{"sensor":"%s","kind":"temperature","value":%g,"ts":"%s"}`, sensor, 20+float64(n%8)/4, now.Format("2006-01-02 15:04:05.000Z"))
		toks = append(toks, h.client.Publish("home/"+sensor, 1, false, payload))
	}
	for _, tok := range toks {
		if !tok.WaitTimeout(time.Minute) || tok.Error() != nil {
			h.t.Errorf("publish: %v", tok.Error())
		}
	}
}

// complete ends the readings and compares the windows, and the latest values, with them.
func (h *house) complete(rdb *redis.Client) {
	t := h.t
	t.Helper()
	want := h.close()
	await(t, "the last window", func() bool {
		got, _ := result(t, rdb)
		for k := range want {
			if got[k] == 0 {
				return false
			}
		}
		return true
	})
	got, rows := result(t, rdb)
	for k, n := range want {
		if got[k] != n {
			t.Errorf("window %s has %d readings, want %d", k, got[k], n)
		}
	}
	for sensor, n := range h.totals {
		text, err := rdb.HGet(t.Context(), "sensor:"+sensor, "readings").Result()
		if err != nil || text != strconv.Itoa(n) {
			t.Errorf("%s: latest says %s readings (%v), want %d", sensor, text, err, n)
		}
	}
	t.Logf("%d readings in %d windows, in %d rows; all as they should be: %v", sensors*h.totals["s0"], len(want), rows, !t.Failed())
}

// close ends with readings a minute later, which close the windows before.
func (h *house) close() map[string]int {
	close(h.stop)
	<-h.done
	h.mu.Lock()
	want := maps.Clone(h.windows)
	h.mu.Unlock()
	h.publish(time.Now().Add(time.Minute))
	h.client.Disconnect(1000)
	return want
}

// result are the windows in Redis. A restart may write a window again, never a different one.
func result(t *testing.T, rdb *redis.Client) (got map[string]int, rows int) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	entries, err := rdb.XRange(ctx, "sensor-windows", "-", "+").Result()
	if err != nil {
		t.Logf("redis: %v", err)
		return nil, 0
	}
	got = map[string]int{}
	for _, e := range entries {
		start, _ := e.Values["window_start"].(string)
		text, _ := e.Values["readings"].(string)
		n, err := strconv.Atoi(text)
		if err != nil || len(start) < 19 {
			t.Fatalf("row %v", e.Values)
		}
		key := fmt.Sprint(e.Values["sensor"], " ", start[11:19])
		if before, twice := got[key]; twice && before != n {
			t.Errorf("window %s was written with %d readings and with %d", key, before, n)
		}
		got[key] = n
	}
	return got, len(entries)
}

// TestSwarm deploys the stack on three nodes and gives it trouble. After all of it every reading has been counted once.
func TestSwarm(t *testing.T) {
	s := newStack(t, 3)
	loadMore(s.nodes)
	s.label(map[string][]string{
		"pi1": {"jobmanager", "taskmanager"}, "pi2": {"jobmanager", "taskmanager", "observability"}, "pi3": {"taskmanager", "broker"},
	})
	passwords := s.secrets()
	s.deploy("latest")
	s.up()
	if spread, _ := s.tasks("taskmanager"); len(spread) != 3 || spread[0] == spread[1] || spread[1] == spread[2] || spread[0] == spread[2] {
		t.Errorf("the taskmanagers are on %v, not on a node each", spread)
	}

	rdb := redis.NewClient(&redis.Options{Addr: s.address("redis", 6379), Password: passwords["bramble_redis_password"]})
	defer rdb.Close()
	job := s.submit()
	h := openHouse(t, s.address("mosquitto", 1883), passwords["bramble_mqtt_password"])
	h.subscribed(rdb)
	h.begin()
	s.goesOn(rdb, "the job as deployed")
	s.protected(job, passwords["bramble_http_token"])
	s.seenByPrometheus()
	for _, trouble := range []struct {
		name string
		f    func()
	}{
		{"a taskmanager's container killed", s.killTaskManager},
		{"scaled to 5", func() { s.scale(5) }},
		{"scaled to 2", func() { s.scale(2) }},
		{"scaled to 3", func() { s.scale(3) }},
		{"another version", s.update},
		{"the jobmanager's node drained", s.drain},
		{"taskmanagers for arm/v7", func() { s.emulated("qemu-arm", "armv7") }},
		{"taskmanagers for arm64", func() { s.emulated("qemu-aarch64", "arm64") }},
	} {
		t.Logf("--- %s", trouble.name)
		trouble.f()
		s.goesOn(rdb, trouble.name)
	}

	h.complete(rdb)
	s.bench()
	s.stop(job)
}

// up waits until everything runs that deploy started.
func (s *stack) up() {
	s.t.Helper()
	for _, service := range []string{"mosquitto", "redis", "prometheus", "jobmanager"} {
		s.runs(service, 1, "")
	}
	s.runs("taskmanager", 3, "")
	s.registered(3)
}

func (s *stack) stop(job string) {
	s.t.Helper()
	if out, err := s.cli("stop", job); err != nil || !strings.Contains(out, "Savepoint completed") {
		s.t.Errorf("bramble stop: %v\n%s", err, out)
	}
}

func (s *stack) label(labels map[string][]string) {
	for n, ls := range labels {
		args := []string{"-H", s.manager.host(), "node", "update"}
		for _, l := range ls {
			args = append(args, "--label-add", "bramble."+l+"=true")
		}
		// The manager may be writing about that node just then: "update out of sequence".
		await(s.t, "labels of "+n, func() bool { _, err := try(s.t, "docker", append(args, n)...); return err == nil })
	}
}

// secrets runs deploy/secrets, which says what it made.
func (s *stack) secrets() map[string]string {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Join(s.dir, "checkpoints"), 0o750); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(s.dir, "checkpoints"), 65532, 65532); err != nil {
		s.t.Fatal(err)
	}
	out := command(s.t, "env", "DOCKER_HOST="+s.manager.host(), "../../deploy/secrets")
	made := map[string]string{}
	for line := range strings.Lines(out) {
		name, password, _ := strings.Cut(strings.TrimSpace(line), ": ")
		made[name] = password
	}
	if len(made) != 4 || len(made["bramble_mqtt_password"]) != 24 {
		s.t.Fatalf("deploy/secrets printed\n%s", out)
	}
	if again := command(s.t, "env", "DOCKER_HOST="+s.manager.host(), "../../deploy/secrets"); strings.Count(again, "is there") != 4 {
		s.t.Errorf("deploy/secrets, run again, printed\n%s", again)
	}
	return made
}

// registered waits until so many taskmanagers are with the jobmanager.
func (s *stack) registered(want int) {
	s.t.Helper()
	await(s.t, fmt.Sprintf("%d taskmanagers registered", want), func() bool {
		out, err := s.cli("taskmanagers")
		return err == nil && strings.Count(out, "linux/") == want
	})
}

func (s *stack) submit() string {
	s.t.Helper()
	out, err := s.cli("submit", "../../deploy/sensors.sql", "-p", "2",
		"-D", fmt.Sprint("WINDOW_SECONDS=", windowSeconds), "-D", "execution.checkpointing.interval=5 s")
	_, id, ok := strings.Cut(out, "Job has been submitted with JobID ")
	if err != nil || !ok || len(id) < 32 {
		s.t.Fatalf("bramble submit: %v\n%s", err, out)
	}
	return id[:32]
}

// goesOn waits until windows come that had not begun before.
func (s *stack) goesOn(rdb *redis.Client, what string) {
	s.t.Helper()
	after := time.Now().UTC().Format("15:04:05")
	await(s.t, "new windows: "+what, func() bool {
		got, _ := result(s.t, rdb)
		for k := range got {
			if _, start, _ := strings.Cut(k, " "); start > after {
				return true
			}
		}
		return false
	})
}

// seenByPrometheus looks whether every replica is scraped by itself.
func (s *stack) seenByPrometheus() {
	s.t.Helper()
	await(s.t, "Prometheus to see three taskmanagers and their work", func() bool {
		up, targets := s.query(`up{job="taskmanager"}`)
		_, jm := s.query(`up{job="jobmanager"} == 1`)
		_, busy := s.query(`sum by (instance) (rate(bramble_task_records_in_total[1m])) > 0`)
		return up == 3 && targets == 3 && jm == 1 && busy > 0
	})
}

func (s *stack) killTaskManager() {
	nodes, _ := s.tasks("taskmanager")
	s.kill(s.node(nodes[0]), "taskmanager")
	s.runs("taskmanager", 3, "")
	s.registered(3)
}

// kill kills a container of the service on that node.
func (s *stack) kill(n *node, service string) {
	s.t.Helper()
	ids := strings.Fields(n.docker("ps", "-q", "--filter", "label=com.docker.swarm.service.name=bramble_"+service))
	if len(ids) == 0 {
		s.t.Fatalf("no %s on %s", service, n.name)
	}
	n.docker("kill", "-s", "KILL", ids[0])
}

func (s *stack) scale(replicas int) {
	s.manager.docker("service", "scale", "-d", fmt.Sprint("bramble_taskmanager=", replicas))
	s.runs("taskmanager", replicas, "")
	s.registered(replicas)
}

// update deploys another version of the stack: one taskmanager after the other, and the jobmanager.
func (s *stack) update() {
	s.deploy("next")
	s.runs("jobmanager", 1, "bramble/jobmanager:next")
	s.runs("taskmanager", 3, "bramble/taskmanager:next")
	s.registered(3)
}

// drain takes everything off the jobmanager's node, as before switching it off, and gives it back.
func (s *stack) drain() {
	nodes, _ := s.tasks("jobmanager")
	if len(nodes) != 1 {
		s.t.Fatalf("jobmanagers on %v", nodes)
	}
	s.manager.docker("node", "update", "--availability", "drain", nodes[0])
	await(s.t, "the jobmanager on another node than "+nodes[0], func() bool {
		now, _ := s.tasks("jobmanager")
		return len(now) == 1 && now[0] != nodes[0]
	})
	s.runs("taskmanager", 3, "")
	s.registered(3)
	s.manager.docker("node", "update", "--availability", "active", nodes[0])
}

// emulated updates the taskmanagers to those for another architecture, which run under qemu-user.
func (s *stack) emulated(rule, tag string) {
	if !emulate(s.t, rule) {
		s.t.Logf("this machine cannot run programs by %s: left out", rule)
		return
	}
	s.manager.docker("service", "update", "-d", "--no-resolve-image", "--update-delay", "1s", "--image", "bramble/taskmanager:"+tag, "bramble_taskmanager")
	s.runs("taskmanager", 3, "bramble/taskmanager:"+tag)
	s.registered(3)
}

// bench measures a node as a service that runs once; its result is in the service's log.
func (s *stack) bench() {
	s.manager.docker("service", "create", "-d", "--name", "bench", "--restart-condition", "none", "--constraint", "node.labels.bramble.taskmanager==true",
		"--no-resolve-image", "bramble/bramble:latest", "bench", "--suite", "nexmark", "--queries", "q0", "--duration", "500ms")
	await(s.t, "bramble bench", func() bool {
		out, err := try(s.t, "docker", "-H", s.manager.host(), "service", "ps", "bench", "--format", "{{.CurrentState}}")
		return err == nil && (strings.HasPrefix(out, "Complete") || strings.HasPrefix(out, "Failed"))
	})
	if out := s.manager.docker("service", "logs", "--raw", "bench"); !strings.Contains(out, "nexmark q0") {
		s.t.Errorf("bramble bench in the swarm printed\n%s", out)
	}
}
