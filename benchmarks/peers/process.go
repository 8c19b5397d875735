package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/bramble-stream/bramble/internal/child"
)

// process is a program of a run.
type process struct {
	*child.Process
	log string
}

// start starts a program on some cores.
func start(cores string, stdout, stderr io.Writer, args ...string) (*process, error) {
	if cores != "" {
		args = append([]string{"taskset", "-c", cores}, args...)
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, args[1:]...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	started, err := child.Start(cmd)
	if err != nil {
		return nil, err
	}
	if c, ok := stderr.(io.Closer); ok {
		go func() {
			<-started.Done() // ended early shows as failed
			_ = c.Close()
		}()
	}
	return &process{Process: started}, nil
}

// failed says that the process has ended, and what its log ends with.
func (p *process) failed() error {
	if !p.Ended() {
		return nil
	}
	log, err := os.ReadFile(p.log)
	if err != nil {
		return errors.New("the process has ended")
	}
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, "Exception") || strings.Contains(line, "rror:") {
			return fmt.Errorf("the process has ended: %s", strings.TrimSpace(line))
		}
	}
	return fmt.Errorf("the process has ended: %s", log[max(0, len(log)-300):])
}

func (p *process) stop() { p.End(os.Interrupt, 10*time.Second) }

// usage is what processes have taken so far.
type usage struct {
	cpu time.Duration
	// peakBytes is the most memory they have had at once, each.
	peakBytes int64
}

// hertz is the kernel's USER_HZ on every architecture that Linux' /proc serves to programs.
const hertz = 100

func usageOf(pids ...int) (usage, error) {
	var sum usage
	for _, pid := range pids {
		u, err := usageOfOne(pid)
		if err != nil {
			return usage{}, err
		}
		sum.cpu += u.cpu
		sum.peakBytes += u.peakBytes
	}
	return sum, nil
}

func usageOfOne(pid int) (usage, error) {
	var u usage
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(f) < 15 {
		return u, errors.New("unexpected /proc/PID/stat")
	}
	for _, at := range f[11:15] { // user and system time, its own and that of children that have ended
		n, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			return u, err
		}
		u.cpu += time.Duration(n) * time.Second / hertz
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				return u, err
			}
			u.peakBytes = n << 10
		}
	}
	return u, nil
}

// freePort returns a port that was free a moment ago.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()                          //nolint:errcheck // nothing was sent
	return l.Addr().(*net.TCPAddr).Port, nil //nolint:forcetypeassert // it is one
}

// awaitPort waits until something listens.
func awaitPort(ctx context.Context, port int) error {
	return await(ctx, fmt.Sprintf("port %d", port), time.Minute, lookEvery, func() (bool, error) {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = c.Close()
		}
		return err == nil, nil
	})
}

const lookEvery = 25 * time.Millisecond

func await(ctx context.Context, what string, patience, every time.Duration, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		if is, err := ok(); is || err != nil {
			return err
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, ctx.Err())
		}
	}
}
