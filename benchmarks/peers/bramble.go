package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// cluster is a jobmanager and one taskmanager, as they are released.
type cluster struct {
	jm, tm *process
	addr   string
	tmPort int
	jmPort int
	bin    string
	source string
	client http.Client
	// jmOut and tmOut are what they have logged.
	jmOut, tmOut string
}

// clusterSpec is how a cluster is set up.
type clusterSpec struct {
	cores, memory string
	slots         int
	source        string
}

func (s *settings) startCluster(ctx context.Context, spec clusterSpec) (*cluster, error) {
	var ports [3]int
	for i := range ports {
		p, err := freePort()
		if err != nil {
			return nil, err
		}
		ports[i] = p
	}
	dir, err := os.MkdirTemp(s.dir, "cluster-")
	if err != nil {
		return nil, err
	}
	// What the engine would spend on compressing its metrics is not what is measured.
	cl := &cluster{
		addr: fmt.Sprintf("127.0.0.1:%d", ports[0]), jmPort: ports[1], tmPort: ports[2], bin: s.bin, source: spec.source,
		client: http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableCompression: true}},
		jmOut:  filepath.Join(dir, "jobmanager.log"), tmOut: filepath.Join(dir, "taskmanager.log"),
	}
	launch := func(log string, args ...string) (*process, error) {
		f, err := os.Create(log)
		if err != nil {
			return nil, err
		}
		p, err := start(spec.cores, f, f, args...)
		if p != nil {
			p.log = log
		}
		return p, err
	}
	if cl.jm, err = launch(cl.jmOut, s.bin+"/jobmanager", "--bind-host", "127.0.0.1", "--rpc-port", strconv.Itoa(ports[0]), "--http-port", "0",
		"--metrics-port", strconv.Itoa(ports[1]), "--checkpoint-dir", "file://"+filepath.Join(dir, "checkpoints")); err != nil {
		return nil, err
	}
	if cl.tm, err = launch(cl.tmOut, s.bin+"/taskmanager", "--jobmanager", cl.addr, "--bind-host", "127.0.0.1", "--data-port", "0",
		"--metrics-port", strconv.Itoa(ports[2]), "--slots", strconv.Itoa(spec.slots), "--memory", spec.memory, "--data-dir", filepath.Join(dir, "data")); err != nil {
		cl.jm.stop()
		return nil, err
	}
	for _, p := range ports {
		if err := awaitPort(ctx, p); err != nil {
			cl.stop()
			return nil, err
		}
	}
	return cl, nil
}

func (cl *cluster) stop() {
	cl.tm.stop()
	cl.jm.stop()
}

func (cl *cluster) pids() []int { return []int{cl.tm.Cmd.Process.Pid, cl.jm.Cmd.Process.Pid} }

// submit submits a script; it returns when the job runs.
func (cl *cluster) submit(ctx context.Context, script string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, cl.bin+"/bramble", append([]string{"--jobmanager", cl.addr, "submit", script}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("submit: %w\n%s", err, out)
	}
	return nil
}

// series names metrics: those of a name whose labels hold a text.
type series struct{ name, label string }

// metrics adds up series of a process, which are asked for once: an answer costs the engine about a millisecond.
func (cl *cluster) metrics(ctx context.Context, port int, of ...series) ([]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/metrics", port), nil)
	if err != nil {
		return nil, err
	}
	resp, err := cl.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	return sumsOf(resp.Body, of)
}

func sumsOf(r io.Reader, of []series) ([]float64, error) {
	sums := make([]float64, len(of))
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		line := sc.Text()
		for i, m := range of {
			if !strings.HasPrefix(line, m.name+"{") || !strings.Contains(line, m.label) {
				continue
			}
			v, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
			if err != nil {
				return nil, err
			}
			sums[i] += v
		}
	}
	return sums, sc.Err()
}

func (cl *cluster) events(ctx context.Context) (int64, error) {
	if err := errors.Join(cl.tm.failed(), cl.jm.failed()); err != nil {
		return 0, err
	}
	made, err := cl.metrics(ctx, cl.tmPort, series{"bramble_task_records_out_total", fmt.Sprintf("operator=%q", cl.source)})
	if err != nil {
		return 0, err
	}
	return int64(made[0]), nil
}

func (cl *cluster) look(ctx context.Context) (look, error) {
	job, err := cl.metrics(ctx, cl.jmPort, series{"bramble_checkpoints_total", `status="completed"`}, series{"bramble_job_restarts_total", ""},
		series{"bramble_jobmanager_jobs", `state="FAILED"`})
	if err != nil {
		return look{}, errors.Join(cl.tm.failed(), cl.jm.failed(), err)
	}
	if job[1]+job[2] > 0 {
		return look{}, fmt.Errorf("the job has failed: %s", lastError(cl.jmOut))
	}
	events, err := cl.events(ctx)
	return look{events: events, checkpoints: int64(job[0])}, err
}

// lastError is the last line of a log that tells of an error.
func lastError(log string) string {
	text, err := os.ReadFile(log)
	if err != nil {
		return err.Error()
	}
	found := "see " + log
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "error") {
			found = strings.TrimSpace(line)
		}
	}
	return found
}

func (s *settings) startBramble(ctx context.Context, script string) (running, error) {
	cl, err := s.startCluster(ctx, clusterSpec{cores: s.cores, memory: s.memory, slots: s.parallelism, source: "Source: nexmark"})
	if err != nil {
		return nil, err
	}
	err = cl.submit(ctx, script, "-p", strconv.Itoa(s.parallelism), "-D", "EVENTS=0", "-D", "SINK=blackhole", "-D", "RATE="+strconv.FormatInt(s.rate, 10),
		"-D", "execution.checkpointing.interval="+s.ourCheckpoint.String())
	if err != nil {
		cl.stop()
		return nil, err
	}
	return cl, nil
}
