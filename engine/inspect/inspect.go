// Package inspect looks into this process: its latest log lines, its goroutines, where its CPU time goes. It knows nothing of jobs, and asks
// no other process.
package inspect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/pprof"
	"sync"
	"time"
)

// What there is to ask for.
const (
	// Logs are the latest lines of the log; amount is how many.
	Logs = "logs"
	// Goroutines are the stacks of all goroutines, as text.
	Goroutines = "goroutines"
	// Profile is a CPU profile in the format of pprof; amount is how many seconds.
	Profile = "profile"
)

const (
	// logBytesMax is how much of the log is kept.
	logBytesMax = 256 << 10
	// answerBytesMax bounds an answer, well below what a message of the control plane may have.
	answerBytesMax = 4 << 20
	// SecondsMax bounds a profile.
	SecondsMax = 30
)

// ErrBusy says that somebody else takes a profile of this process.
var ErrBusy = errors.New("inspect: another profile is being taken")

// Do answers what is asked for. The log of the process is what went through a Writer.
func Do(ctx context.Context, what string, amount int) ([]byte, error) {
	switch what {
	case Logs:
		return kept.tail(max(amount, 0)), nil
	case Goroutines:
		return stacks(), nil
	case Profile:
		return profile(ctx, time.Duration(min(max(amount, 1), SecondsMax))*time.Second)
	}
	return nil, fmt.Errorf("inspect: there is no %q to look at", what)
}

// stacks grows its buffer until all fit.
func stacks() []byte {
	for size := 64 << 10; ; size *= 2 {
		buf := make([]byte, min(size, answerBytesMax))
		if n := runtime.Stack(buf, true); n < len(buf) || len(buf) == answerBytesMax {
			return buf[:n]
		}
	}
}

// profiling is held while a profile is taken: the runtime takes one at a time.
var profiling sync.Mutex

func profile(ctx context.Context, d time.Duration) ([]byte, error) {
	if !profiling.TryLock() {
		return nil, ErrBusy
	}
	defer profiling.Unlock()
	var buf bytes.Buffer
	if err := pprof.StartCPUProfile(&buf); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBusy, err)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	pprof.StopCPUProfile()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if buf.Len() > answerBytesMax {
		return nil, fmt.Errorf("inspect: the profile has %d bytes, more than can be sent: take a shorter one", buf.Len())
	}
	return buf.Bytes(), nil
}

// ring keeps the end of what is written.
type ring struct {
	mu struct {
		sync.Mutex
		buf []byte
		// end is where the next byte goes; full says that all behind it is older.
		end  int
		full bool
	}
}

// kept is the end of the log of this process.
var kept ring

// Writer passes on to w, and keeps the end for Logs. A process has one log, however many write it.
func Writer(w io.Writer) io.Writer { return &tee{w} }

type tee struct{ w io.Writer }

// Write implements io.Writer.
func (t *tee) Write(p []byte) (int, error) {
	kept.write(p)
	return t.w.Write(p)
}

func (r *ring) write(p []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.buf == nil {
		r.mu.buf = make([]byte, logBytesMax)
	}
	p = p[max(len(p)-len(r.mu.buf), 0):]
	for len(p) > 0 {
		n := copy(r.mu.buf[r.mu.end:], p)
		p = p[n:]
		if r.mu.end += n; r.mu.end == len(r.mu.buf) {
			r.mu.end, r.mu.full = 0, true
		}
	}
}

// tail is the last lines, whole ones.
func (r *ring) tail(lines int) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := append([]byte(nil), r.mu.buf[:r.mu.end]...)
	if r.mu.full {
		all = append(append([]byte(nil), r.mu.buf[r.mu.end:]...), all...)
		if i := bytes.IndexByte(all, '\n'); i >= 0 {
			all = all[i+1:] // its beginning was overwritten
		}
	}
	from := len(all)
	for ; lines > 0 && from > 0; lines-- {
		from = bytes.LastIndexByte(all[:from-1], '\n') + 1
	}
	return all[from:]
}
