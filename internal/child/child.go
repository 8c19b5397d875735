// Package child starts programs that end with the process that started them, however that ends: a test that is killed leaves nothing behind. It does
// not look at what they print, and starts nothing again.
package child

import (
	"os"
	"os/exec"
	"runtime"
	"time"
)

// Process is a program that has been started. Its methods may be called from any goroutine.
type Process struct {
	// Cmd is what was started. Its ProcessState is set when Done is closed.
	Cmd  *exec.Cmd
	done chan struct{}
}

// Start starts cmd, whose Wait is called here: its output goes to a file or a Writer, not into a pipe of its own. On Linux the kernel kills the
// process when this one ends; elsewhere it does not.
func Start(cmd *exec.Cmd) (*Process, error) {
	p := &Process{Cmd: cmd, done: make(chan struct{})}
	dieWithParent(cmd)
	started := make(chan error, 1)
	go func() {
		defer close(p.done)
		// To the kernel the parent is the thread, not the process: this one lives until the child has ended, and then goes, since it is not unlocked.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in ProcessState
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// StartInto is Start with the output at the end of a file.
func StartInto(file string, cmd *exec.Cmd) (*Process, error) {
	out, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close() //nolint:errcheck // the process has its own descriptor of it
	cmd.Stdout, cmd.Stderr = out, out
	return Start(cmd)
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Ended says whether the process is no more.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Signal sends a signal to a process that has not ended.
func (p *Process) Signal(s os.Signal) {
	if !p.Ended() {
		_ = p.Cmd.Process.Signal(s) // it may have ended just now
	}
}

// End sends a signal and waits. If the process is still there after the time given it is killed, and End returns false.
func (p *Process) End(s os.Signal, within time.Duration) bool {
	p.Signal(s)
	t := time.NewTimer(within)
	defer t.Stop()
	select {
	case <-p.done:
		return true
	case <-t.C:
	}
	_ = p.Cmd.Process.Kill() // it may have ended just now
	<-p.done
	return false
}
