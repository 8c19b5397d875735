//go:build chaos || integration

package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// network is machines on a switch: a network namespace for each taskmanager. Jobmanagers, Redis and the test are where the test runs, which is on the
// switch too.
type network struct {
	t        *testing.T
	bridge   string
	subnet   string
	machines []*machine
}

// machine is a network namespace; link is the end of its cable on the switch.
type machine struct {
	name, link, addr string
	used             bool
}

// newNetwork skips the test where there cannot be one.
func newNetwork(t *testing.T, machines int) *network {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	for _, program := range []string{"ip", "iptables"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%v: scripts/test-deps installs it", err)
		}
	}
	id := os.Getpid() % 10_000
	n := &network{t: t, bridge: fmt.Sprintf("brmbl%d", id), subnet: fmt.Sprintf("10.213.%d.", os.Getpid()%256)}
	if out, err := exec.Command("ip", "link", "add", n.bridge, "type", "bridge").CombinedOutput(); err != nil {
		t.Skipf("no network can be made here: %v: %s", err, out)
	}
	t.Cleanup(func() { n.ip("link", "del", n.bridge) })
	n.ip("addr", "add", n.host()+"/24", "dev", n.bridge)
	n.ip("link", "set", n.bridge, "up")
	for i := range machines {
		m := &machine{name: fmt.Sprintf("bramble%d-%d", id, i), link: fmt.Sprintf("brmbl%dp%d", id, i), addr: n.subnet + strconv.Itoa(i+2)}
		n.machines = append(n.machines, m)
		n.ip("netns", "add", m.name)
		t.Cleanup(func() { n.ip("netns", "del", m.name) })
		n.ip("link", "add", m.link, "type", "veth", "peer", "name", "eth0", "netns", m.name)
		n.ip("link", "set", m.link, "master", n.bridge, "up")
		for _, args := range [][]string{{"addr", "add", m.addr + "/24", "dev", "eth0"}, {"link", "set", "eth0", "up"}, {"link", "set", "lo", "up"}} {
			n.ip(append([]string{"-n", m.name}, args...)...)
		}
	}
	return n
}

// host is the address of whatever is not on a machine of its own.
func (n *network) host() string { return n.subnet + "1" }

func (n *network) ip(args ...string) {
	n.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		n.t.Errorf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// claim takes a machine on which nothing runs.
func (n *network) claim() *machine {
	n.t.Helper()
	for _, m := range n.machines {
		if !m.used {
			m.used = true
			return m
		}
	}
	n.t.Fatal("no machine is left")
	return nil
}

// enter is the command that runs another one on the machine.
func (m *machine) enter() []string { return []string{"ip", "netns", "exec", m.name} }

// drop has a machine ignore packets, until undo: nobody is told. rule says which.
func (n *network) drop(m *machine, rule ...string) (undo func()) {
	n.t.Helper()
	do := func(how string) {
		n.t.Helper()
		args := append([]string{"netns", "exec", m.name, "iptables", "-w", how, "INPUT", "-j", "DROP"}, rule...)
		n.ip(args...)
	}
	do("-A")
	return func() { do("-D") }
}

// part cuts the line between two taskmanagers, in one direction or in both. All others reach both.
func (r *chaos) part() string {
	if len(r.managers) < 2 {
		return " nobody"
	}
	i, d := r.pick(), r.upTo(12*time.Second)
	a, b := r.managers[i], r.managers[(i+1+r.rnd.IntN(len(r.managers)-1))%len(r.managers)]
	r.later(d, r.net.drop(a.machine, "-s", b.machine.addr))
	how := "from"
	if r.rnd.IntN(3) > 0 {
		how = "and"
		r.later(d, r.net.drop(b.machine, "-s", a.machine.addr))
	}
	return fmt.Sprintf(" %s %s %s for %s", a.name, how, b.name, d)
}

// partJobManager cuts a taskmanager off from the jobmanagers. Its tasks reach all others: Redis, peers and storage.
func (r *chaos) partJobManager() string {
	if len(r.managers) == 0 {
		return " nobody"
	}
	m, d := r.managers[r.pick()], r.upTo(12*time.Second)
	for _, jm := range r.jobmanagers {
		r.later(d, r.net.drop(m.machine, "-p", "tcp", "-s", jm.host, "--sport", strconv.Itoa(jm.rpc)))
	}
	return fmt.Sprintf(" %s for %s", m.name, d)
}

// linkDown pulls the plug of a machine's network.
func (r *chaos) linkDown() string {
	if len(r.managers) == 0 {
		return " nobody"
	}
	m, d := r.managers[r.pick()], r.upTo(12*time.Second)
	r.net.ip("link", "set", m.machine.link, "down")
	r.later(d, func() { r.net.ip("link", "set", m.machine.link, "up") })
	return fmt.Sprintf(" %s for %s", m.name, d)
}
