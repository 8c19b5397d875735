//go:build swarm

package swarm

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait: a rolling update of three taskmanagers takes a minute and a half by itself.
const patience = 4 * time.Minute

// The test's own network, which no other machine sees.
const (
	bridge  = "bramsw"
	gateway = "10.213.71.1"
	subnet  = "10.213.71."
)

// node is a dockerd that thinks it is a machine.
type node struct {
	t       *testing.T
	name    string
	address string
	dir     string
	netns   string
	cmd     *exec.Cmd
	done    chan struct{}
}

// command runs a program and returns what it printed; the test fails if it does.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := try(t, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func try(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience) //nolint:usetesting // clean-up runs programs, too
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	return strings.TrimSpace(out.String() + errs.String()), err
}

// alone waits until no other process on this machine runs these tests: they would take each other's bridge.
func alone(t *testing.T) {
	t.Helper()
	lock, err := os.OpenFile("/run/"+bridge+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lock.Close() }) // which unlocks it
	for begin := time.Now(); syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil; time.Sleep(time.Second) {
		if time.Since(begin) > 4*patience {
			t.Fatalf("another swarm test holds %s", lock.Name())
		}
	}
}

// tidy removes what a test that was killed has left behind. Its dockerds have ended with it.
func tidy(t *testing.T) {
	t.Helper()
	for i := range 3 {
		card := fmt.Sprintf("%spi%d", bridge, i+1)
		_, _ = try(t, "ip", "netns", "del", card)
		_, _ = try(t, "ip", "link", "del", card) // the kernel takes its time to do that by itself
	}
	_, _ = try(t, "ip", "link", "del", bridge)
	left, err := filepath.Glob("/tmp/" + bridge + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range left {
		_ = os.RemoveAll(dir) // what is still busy stays
	}
}

// startNodes makes machines of namespaces and starts a dockerd on each.
func startNodes(t *testing.T, count int) []*node {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("networks of their own for dockerds need root: sudo make swarm-test")
	}
	alone(t)
	tidy(t)
	dir, err := os.MkdirTemp("/tmp", bridge) //nolint:usetesting // sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // layers of images: the system's temporary directory is cleaned anyway
	if err := os.MkdirAll("/run/docker", 0o700); err != nil {
		t.Fatal(err)
	}
	command(t, "ip", "link", "add", bridge, "type", "bridge")
	t.Cleanup(func() { command(t, "ip", "link", "del", bridge) })
	command(t, "ip", "addr", "add", gateway+"/24", "dev", bridge)
	command(t, "ip", "link", "set", bridge, "up")
	var nodes []*node
	for i := range count {
		n := &node{t: t, name: fmt.Sprintf("pi%d", i+1), address: fmt.Sprintf("%s%d", subnet, i+11)}
		n.netns, n.dir = bridge+n.name, filepath.Join(dir, n.name)
		n.plug()
		n.start()
		t.Cleanup(n.stop)
		nodes = append(nodes, n)
	}
	for _, n := range nodes {
		n.answers()
	}
	return nodes
}

// plug gives the node a network card on the bridge.
func (n *node) plug() {
	t := n.t
	command(t, "ip", "netns", "add", n.netns)
	t.Cleanup(func() { command(t, "ip", "netns", "del", n.netns) })
	command(t, "ip", "link", "add", n.netns, "type", "veth", "peer", "name", "eth0", "netns", n.netns)
	command(t, "ip", "link", "set", n.netns, "master", bridge, "up")
	command(t, "ip", "-n", n.netns, "addr", "add", n.address+"/24", "dev", "eth0")
	for _, dev := range []string{"lo", "eth0"} {
		command(t, "ip", "-n", n.netns, "link", "set", dev, "up")
	}
	command(t, "ip", "-n", n.netns, "route", "add", "default", "via", gateway)
}

func (n *node) host() string { return "unix://" + n.dir + "/sock" }

// start runs dockerd in the node's network, with names and mounts of its own. `ip netns exec` would not do: it hides the cgroups.
func (n *node) start() {
	t := n.t
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	log, err := os.OpenFile(filepath.Join(n.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	// Nobody answers there, and at once: a swarm's node looks for a newer image in the registry before it takes its own.
	names := filepath.Join(n.dir, "resolv.conf")
	if err := os.WriteFile(names, []byte("nameserver "+gateway+"\n"), 0o644); err != nil { //nolint:gosec // containers read it
		t.Fatal(err)
	}
	// Shared as systemd does it: what is mounted later is seen by containers that asked for it.
	script := `mount --make-rshared / && mount --bind "$2/resolv.conf" /etc/resolv.conf && mount -t tmpfs none /run/docker && hostname "$1" && exec dockerd --data-root "$2/data" --exec-root "$2/exec" --pidfile "$2/pid" -H "unix://$2/sock"`
	n.cmd = exec.Command("nsenter", "--net=/run/netns/"+n.netns, "unshare", "-m", "-u", "--propagation", "slave", "sh", "-c", script, "dockerd", n.name, n.dir)
	n.cmd.Stdout, n.cmd.Stderr = log, log
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM} // also when the test is killed
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done, cmd := make(chan struct{}), n.cmd
	n.done = done
	go func() {
		defer close(done)
		_ = cmd.Wait() // how it ended says its log
		_ = log.Close()
	}()
}

// answers waits for dockerd.
func (n *node) answers() {
	n.t.Helper()
	await(n.t, "dockerd of "+n.name, func() bool { _, err := try(n.t, "docker", "-H", n.host(), "version"); return err == nil })
}

// stop ends dockerd and, by leaving the swarm first, its containers.
func (n *node) stop() {
	_, _ = try(n.t, "docker", "-H", n.host(), "swarm", "leave", "--force")
	if ids, err := try(n.t, "docker", "-H", n.host(), "ps", "-aq"); err == nil && ids != "" {
		_, _ = try(n.t, "docker", append([]string{"-H", n.host(), "rm", "-f"}, strings.Fields(ids)...)...)
	}
	n.halt()
	if n.t.Failed() {
		if log, err := os.ReadFile(filepath.Join(n.dir, "log")); err == nil {
			n.t.Logf("--- dockerd of %s, its end\n%s", n.name, log[max(0, len(log)-4000):])
		}
	}
}

// halt ends dockerd as switching the machine off does; start begins it anew.
func (n *node) halt() {
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-n.done:
	case <-time.After(60 * time.Second): // containers have their grace periods
		n.t.Errorf("dockerd of %s did not stop within a minute", n.name)
		_ = syscall.Kill(-n.cmd.Process.Pid, syscall.SIGKILL)
		<-n.done
	}
}

// docker runs the client against the node.
func (n *node) docker(args ...string) string {
	n.t.Helper()
	return command(n.t, "docker", append([]string{"-H", n.host()}, args...)...)
}

// joinAll makes a swarm of the nodes; the first one is the manager.
func joinAll(nodes []*node) {
	manager := nodes[0]
	// The addresses of containers are to be found nowhere else on this machine.
	manager.docker("swarm", "init", "--advertise-addr", manager.address, "--default-addr-pool", "10.214.0.0/16")
	token := manager.docker("swarm", "join-token", "-q", "worker")
	for _, n := range nodes[1:] {
		n.docker("swarm", "join", "--token", token, manager.address+":2377")
	}
}

// await polls until ok.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > patience {
			t.Fatalf("waited %v for %s", patience, what)
		}
		time.Sleep(500 * time.Millisecond)
	}
	t.Logf("%6.1fs for %s", time.Since(start).Seconds(), what)
}
