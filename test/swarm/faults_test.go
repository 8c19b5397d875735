//go:build swarm

package swarm

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// TestFaults lets a swarm of two nodes start and run under what goes wrong in one. Each time it looks for the words that a person finds, takes the
// cause away, and waits until the swarm has mended itself. After all of it every reading has been counted once. docs/raspberry-pi-swarm.md
// quotes the words.
func TestFaults(t *testing.T) {
	s := newStack(t, 2)
	disk := filepath.Join(s.dir, "checkpoints")
	// A disk of its own, for those that have joined already, too.
	for _, n := range s.nodes {
		n.halt()
	}
	if err := os.MkdirAll(disk, 0o750); err != nil {
		t.Fatal(err)
	}
	command(t, "mount", "-t", "tmpfs", "-o", "size=64m", "bramble-test", disk)
	t.Cleanup(func() { command(t, "umount", disk) })
	for _, n := range s.nodes {
		n.start()
		n.answers()
	}
	await(t, "both nodes", s.ready(2))

	s.missingSecret()
	passwords := s.secrets()
	s.portOfSwarm()
	end := s.portOfMachine()
	s.wrongLabel()
	s.ports(end)
	s.otherArchitecture()
	s.up()

	rdb := redis.NewClient(&redis.Options{Addr: s.address("redis", 6379), Password: passwords["bramble_redis_password"]})
	defer rdb.Close()
	job := s.submit()
	h := openHouse(t, s.address("mosquitto", 1883), passwords["bramble_mqtt_password"])
	h.subscribed(rdb)
	h.begin()
	s.goesOn(rdb, "the job")
	s.secretOfScript()
	s.fullDisk(rdb, job, disk)
	s.readOnly(rdb, job, disk)
	s.otherAddress(rdb)
	s.lateNetwork(rdb)
	h.complete(rdb)
	s.stop(job)
}

// ready reports whether so many nodes are.
func (s *stack) ready(want int) func() bool {
	return func() bool {
		out, err := try(s.t, "docker", "-H", s.manager.host(), "node", "ls", "--format", "{{.Status}}")
		return err == nil && strings.Count(out, "Ready") == want
	}
}

// fault notes what a person sees.
func (s *stack) fault(name, where, words string) {
	s.t.Helper()
	s.t.Logf("=== %s, %s says:\n%s", name, where, strings.TrimSpace(words))
}

// failing waits until `docker service ps` has these words.
func (s *stack) failing(fault, service, words string) {
	s.t.Helper()
	var line string
	await(s.t, service+" to fail: "+words, func() bool {
		out, _ := try(s.t, "docker", "-H", s.manager.host(), "service", "ps", "--no-trunc", "--format", "{{.Name}} {{.Node}} {{.CurrentState}} {{.Error}}", "bramble_"+service)
		for l := range strings.Lines(out) {
			if strings.Contains(l, words) {
				line = l
			}
		}
		return line != ""
	})
	s.fault(fault, "docker service ps", line)
}

func (s *stack) missingSecret() {
	out, err := s.tryDeploy("latest")
	if err == nil || !strings.Contains(out, "secret not found: bramble_") {
		s.t.Errorf("without secrets: %v\n%s", err, out)
	}
	s.fault("a missing secret", "docker stack deploy", out)
}

// wrongLabel deploys on nodes without labels.
func (s *stack) wrongLabel() {
	s.deploy("latest")
	s.failing("no node with the label", "jobmanager", "no suitable node")
	s.failing("no node with the label", "taskmanager", "no suitable node")
	s.label(map[string][]string{"pi1": {"jobmanager", "taskmanager", "broker", "observability"}})
	s.runs("jobmanager", 1, "")
	s.runs("taskmanager", 3, "")
}

// portOfSwarm wants a port that another service publishes.
func (s *stack) portOfSwarm() {
	create := func(name string) (string, error) {
		return try(s.t, "docker", "-H", s.manager.host(), "service", "create", "-d", "--replicas", "0", "--no-resolve-image", "--name", name, "--publish", "8081:8081", "test/redis")
	}
	if out, err := create("one"); err != nil {
		s.t.Fatal(out)
	}
	out, err := create("other")
	if err == nil || !strings.Contains(out, "already in use by service") {
		s.t.Errorf("a port that is taken: %v\n%s", err, out)
	}
	s.fault("a port that another service has", "docker service create", out)
	s.manager.docker("service", "rm", "one")
}

// portOfMachine has a program that is not in the swarm listen on a port of the stack.
func (s *stack) portOfMachine() (end func()) {
	cmd := exec.Command("nsenter", "--net=/run/netns/"+s.nodes[0].netns, "redis-server", "--port", "1883", "--save", "", "--dir", s.dir)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := false
	end = func() {
		if !ended {
			ended = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // it was killed
		}
	}
	s.t.Cleanup(end)
	return end
}

func (s *stack) ports(end func()) {
	s.failing("a port of the machine that is taken", "mosquitto", "address already in use")
	end()
	s.runs("mosquitto", 1, "")
}

// otherArchitecture gives taskmanagers a node that has no image, then one of another architecture, then the right one.
func (s *stack) otherArchitecture() {
	n := s.nodes[1]
	foreign := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	n.docker("rmi", "bramble/taskmanager:latest")
	s.label(map[string][]string{n.name: {"taskmanager"}})
	s.manager.docker("service", "update", "-d", "--force", "--update-delay", "1s", "--update-failure-action", "continue", "bramble_taskmanager")
	s.failing("a node without the image", "taskmanager", "No such image")
	if _, err := os.Stat("/proc/sys/fs/binfmt_misc/qemu-aarch64"); err == nil && foreign == "arm64" {
		s.t.Log("this kernel starts programs for arm64 by qemu: left out")
	} else {
		n.loadOurs(foreign, []string{"taskmanager"})
		s.failing("the image of another architecture", "taskmanager", "non-zero exit")
		s.says("taskmanager", "exec format error")
	}
	n.loadOurs(runtime.GOARCH, []string{"taskmanager"})
	await(s.t, "a taskmanager on "+n.name, func() bool {
		nodes, _ := s.tasks("taskmanager")
		return len(nodes) == 3 && strings.Contains(strings.Join(nodes, " "), n.name)
	})
	s.registered(3)
}

// secretOfScript submits a script with a secret that nobody made.
func (s *stack) secretOfScript() {
	script, err := os.ReadFile("../../deploy/sensors.sql")
	if err != nil {
		s.t.Fatal(err)
	}
	file := filepath.Join(s.dir, "typo.sql")
	script = bytes.ReplaceAll(script, []byte("/run/secrets/redis_password"), []byte("/run/secrets/redis_pasword"))
	script = bytes.ReplaceAll(script, []byte("bramble-sensors"), []byte("typo"))
	if err := os.WriteFile(file, script, 0o600); err != nil {
		s.t.Fatal(err)
	}
	out, err := s.cli("submit", file)
	s.fault("a secret that a script misspells", "bramble submit", out)
	if err == nil {
		if _, id, ok := strings.Cut(out, "JobID "); ok {
			time.Sleep(5 * time.Second)
			out, _ = s.cli("status", id[:32])
			s.fault("a secret that a script misspells", "bramble status", out)
			_, _ = s.cli("cancel", id[:32])
		}
	}
}

// completed waits for a checkpoint that began after now.
func (s *stack) completed(job string) {
	s.t.Helper()
	before, _ := s.cli("status", job)
	await(s.t, "a checkpoint", func() bool {
		now, err := s.cli("status", job)
		return err == nil && lastCheckpoint(now) != "" && lastCheckpoint(now) != lastCheckpoint(before)
	})
}

// lastCheckpoint is the line of `bramble status` about the newest one that completed.
func lastCheckpoint(status string) string {
	for l := range strings.Lines(status) {
		if strings.Contains(l, " COMPLETED ") {
			return strings.TrimSpace(l)
		}
	}
	return ""
}

func (s *stack) fullDisk(rdb *redis.Client, job, disk string) {
	out, _ := try(s.t, "dd", "if=/dev/zero", "of="+filepath.Join(disk, "full"), "bs=64k")
	s.t.Log(out)
	var status string
	await(s.t, "a checkpoint to fail", func() bool {
		status, _ = s.cli("status", job)
		return strings.Contains(status, "no space left")
	})
	s.fault("a full disk", "bramble status", status)
	s.says("jobmanager", "no space left")
	command(s.t, "rm", filepath.Join(disk, "full"))
	begin := time.Now()
	s.completed(job)
	s.t.Logf("=== room again: a checkpoint after %.0f s", time.Since(begin).Seconds())
	s.goesOn(rdb, "room again")
}

// readOnly has the checkpoints' disk become read-only, and the jobmanager start anew meanwhile.
func (s *stack) readOnly(rdb *redis.Client, job, disk string) {
	await(s.t, "nothing to be written just now", func() bool { _, err := try(s.t, "mount", "-o", "remount,ro", disk); return err == nil })
	var status string
	await(s.t, "a checkpoint to fail", func() bool {
		status, _ = s.cli("status", job)
		return strings.Contains(status, "read-only file system")
	})
	s.fault("a read-only disk", "bramble status", status)
	s.says("jobmanager", "read-only file system")
	s.kill(s.nodes[0], "jobmanager")
	s.says("jobmanager", "hint")
	command(s.t, "mount", "-o", "remount,rw", disk)
	s.runs("jobmanager", 1, "")
	s.registered(3)
	s.completed(job)
	s.goesOn(rdb, "a disk that can be written to again")
}

// otherAddress gives the worker another address while it runs, as a router does that has forgotten it.
func (s *stack) otherAddress(rdb *redis.Client) {
	n := s.nodes[1]
	was := n.address
	n.address = subnet + "112"
	n.unplug()
	n.readdress()
	begin := time.Now()
	s.goesOn(rdb, "another address of "+n.name)
	s.t.Logf("=== another address (%s, was %s) of a node that runs: new windows after %.0f s", n.address, was, time.Since(begin).Seconds())
	out, _ := try(s.t, "docker", "-H", s.manager.host(), "node", "inspect", n.name, "--format", "{{.Status.State}} {{.Status.Addr}} {{.Status.Message}}")
	s.fault("another address", "docker node inspect", out)
	tms, _ := s.cli("taskmanagers")
	s.fault("another address", "bramble taskmanagers", tms)
	logs, _ := try(s.t, "docker", "-H", s.manager.host(), "service", "logs", "--tail", "12", "bramble_taskmanager")
	s.fault("another address", "docker service logs", logs)
	n.halt()
	n.start()
	n.answers()
	await(s.t, "both nodes", s.ready(2))
	s.runs("taskmanager", 3, "")
	s.registered(3)
	s.goesOn(rdb, "the node's engine restarted")
}

// unplug takes the node's address away and its link down; readdress brings both.
func (n *node) unplug() {
	command(n.t, "ip", "-n", n.netns, "addr", "flush", "dev", "eth0")
	command(n.t, "ip", "-n", n.netns, "link", "set", "eth0", "down")
}

func (n *node) readdress() {
	command(n.t, "ip", "-n", n.netns, "link", "set", "eth0", "up")
	command(n.t, "ip", "-n", n.netns, "addr", "add", n.address+"/24", "dev", "eth0")
	command(n.t, "ip", "-n", n.netns, "route", "replace", "default", "via", gateway)
}

// lateNetwork starts the worker without a network, which comes a little later. Docker's engine does not wait for it: it ends, and has to be started
// again, which is what the guide has systemd do.
func (s *stack) lateNetwork(rdb *redis.Client) {
	n := s.nodes[1]
	n.halt()
	n.unplug()
	n.start()
	select {
	case <-n.done:
	case <-time.After(time.Minute):
		s.t.Error("dockerd waits for a network: the guide says that it ends")
		n.halt()
	}
	log, err := os.ReadFile(filepath.Join(n.dir, "log"))
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	if last := lines[len(lines)-1]; err != nil || !strings.Contains(last, "network is unreachable") {
		s.t.Errorf("dockerd's last words: %v %s", err, last)
	}
	s.fault("a network that comes late", "dockerd", lines[len(lines)-1])
	n.readdress()
	await(s.t, "dockerd, started again until it stays, as systemd does it", func() bool {
		select {
		case <-n.done:
			n.start()
		default:
		}
		_, err := try(s.t, "docker", "-H", n.host(), "version")
		return err == nil
	})
	await(s.t, "both nodes", s.ready(2))
	s.manager.docker("service", "update", "-d", "--force", "--update-delay", "1s", "bramble_taskmanager") // they are all on the other node now
	await(s.t, "a taskmanager on "+n.name, func() bool {
		nodes, _ := s.tasks("taskmanager")
		return len(nodes) == 3 && strings.Contains(strings.Join(nodes, " "), n.name)
	})
	s.registered(3)
	s.goesOn(rdb, "the network came late")
}
