package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/bramble-stream/bramble/internal/child"
)

// patience bounds every wait, lookEvery is between two looks.
const (
	patience  = 3 * time.Minute
	lookEvery = 10 * time.Millisecond
)

func await(ctx context.Context, what string, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for !ok() {
		select {
		case <-t.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, ctx.Err())
		}
	}
	return nil
}

// process is a program of a run.
type process struct{ *child.Process }

func startProcess(dir, path string, args ...string) (*process, error) {
	return startWith(nil, dir, path, args...)
}

// startWith is startProcess with more in its environment.
func startWith(env []string, dir, path string, args ...string) (*process, error) {
	log := filepath.Join(dir, fmt.Sprintf("%s-%d.log", filepath.Base(path), time.Now().UnixNano()))
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), env...)
	p, err := child.StartInto(log, cmd)
	if err != nil {
		return nil, err
	}
	return &process{p}, nil
}

func (p *process) end(s os.Signal) { p.End(s, 10*time.Second) }

// cpu is the CPU time that the process has used.
func (p *process) cpu() (time.Duration, error) {
	const hertz = 100 // USER_HZ, on every architecture
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(f) < 13 {
		return 0, errors.New("unexpected /proc/PID/stat")
	}
	user, err1 := strconv.ParseInt(f[11], 10, 64)
	system, err2 := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * time.Second / hertz, errors.Join(err1, err2)
}

func freePorts(n int) (ports []string, err error) {
	var open []net.Listener // until all are known, so that none comes twice
	defer func() {
		for _, l := range open {
			_ = l.Close() // nothing was sent
		}
	}()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		open = append(open, l)
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	return ports, nil
}

// member is a taskmanager with a data directory and a port of its own, which outlive its process.
type member struct {
	*process
	args    []string
	metrics string
}

// cluster is a jobmanager with checkpoints and some taskmanagers.
type cluster struct {
	c           config
	jm          *process
	addr        string
	metrics     string
	tms         []*member
	checkpoints string
}

func startCluster(ctx context.Context, c config, taskmanagers, slots int) (cl *cluster, err error) {
	ports, err := freePorts(2 + 2*taskmanagers)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(c.dir, "cluster-")
	if err != nil {
		return nil, err
	}
	cl = &cluster{c: c, addr: "127.0.0.1:" + ports[0], metrics: "http://127.0.0.1:" + ports[1] + "/metrics", checkpoints: filepath.Join(dir, "checkpoints")}
	defer func() {
		if err != nil {
			cl.stop()
		}
	}()
	if err := os.MkdirAll(cl.checkpoints, 0o750); err != nil {
		return nil, err
	}
	cl.jm, err = startProcess(dir, c.bin+"/jobmanager", "--bind-host", "127.0.0.1", "--rpc-port", ports[0], "--http-port", "0", "--metrics-port", ports[1],
		"--checkpoint-dir", "file://"+cl.checkpoints)
	if err != nil {
		return nil, err
	}
	for i := range taskmanagers {
		m := &member{metrics: "http://127.0.0.1:" + ports[2+2*i] + "/metrics", args: []string{
			"--jobmanager", cl.addr, "--bind-host", "127.0.0.1", "--data-port", ports[3+2*i], "--metrics-port", ports[2+2*i],
			"--slots", strconv.Itoa(slots), "--memory", c.memory, "--data-dir", filepath.Join(dir, "tm"+strconv.Itoa(i)),
		}}
		if err := m.start(c, dir); err != nil {
			return nil, err
		}
		cl.tms = append(cl.tms, m)
	}
	return cl, await(ctx, "the taskmanagers", func() bool {
		return read(ctx, cl.metrics, "bramble_jobmanager_taskmanagers", "") == float64(taskmanagers)
	})
}

func (m *member) start(c config, dir string) (err error) {
	program, env := "/taskmanager", []string(nil)
	if c.profile != "" {
		file := filepath.Join(c.profile, fmt.Sprintf("taskmanager-%d.pprof", time.Now().UnixNano()))
		program, env = "/profiled", []string{"BRAMBLE_E2E_PROFILE=" + file}
	}
	m.process, err = startWith(env, dir, c.bin+program, m.args...)
	return err
}

func (cl *cluster) stop() {
	for _, m := range cl.tms {
		m.end(syscall.SIGTERM)
	}
	if cl.jm != nil {
		cl.jm.end(syscall.SIGTERM)
	}
}

// submit returns the job's ID.
func (cl *cluster) submit(ctx context.Context, script string, args ...string) (string, error) {
	file := filepath.Join(cl.c.dir, "job.sql")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		return "", err
	}
	out, err := cl.bramble(ctx, append([]string{"submit", file}, args...)...)
	if err != nil {
		return "", err
	}
	for word := range strings.FieldsSeq(out) {
		if len(word) == 32 && strings.Trim(word, "0123456789abcdef") == "" {
			return word, nil
		}
	}
	return "", fmt.Errorf("no job ID in %q", out)
}

func (cl *cluster) bramble(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, cl.c.bin+"/bramble", append([]string{"--jobmanager", cl.addr}, args...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("bramble %s: %w\n%s", args[0], err, out)
	}
	return string(out), nil
}

// sum adds a metric over the taskmanagers.
func (cl *cluster) sum(ctx context.Context, name, label string) float64 {
	s := 0.0
	for _, m := range cl.tms {
		s += read(ctx, m.metrics, name, label)
	}
	return s
}

// completed is how many checkpoints have.
func (cl *cluster) completed(ctx context.Context) float64 {
	return read(ctx, cl.metrics, "bramble_checkpoints_total", `status="completed"`)
}

// read adds the series of a name whose labels hold a text; a page that does not answer has none.
func read(ctx context.Context, page, name, label string) float64 {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return 0
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	s := 0.0
	for sc := bufio.NewScanner(resp.Body); sc.Scan(); {
		line := sc.Text()
		if rest, ok := strings.CutPrefix(line, name); ok && (rest[0] == ' ' || rest[0] == '{') && strings.Contains(line, label) {
			v, _ := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64) // Prometheus' own format
			s += v
		}
	}
	return s
}
