package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// What takes part in a measurement runs in processes of its own, so that the time and memory of each are known: the program starts itself
// again as a worker. Commands go to its standard input, messages come from its standard output, as JSON lines. A worker whose
// input ends, ends.

// command is what a worker is told; one field is set.
type command struct {
	Cluster *ClusterSize `json:",omitempty"`
	Phase   *Phase       `json:",omitempty"`
	Mark    bool         `json:",omitempty"`
	Stop    bool         `json:",omitempty"`
	Serve   string       `json:",omitempty"` // mqtt or redis: an embedded server
	Publish *Publish     `json:",omitempty"`
	Fill    *Fill        `json:",omitempty"`
	Usage   bool         `json:",omitempty"`
}

// message is what a worker says; one field is set but for those of an answer.
type message struct {
	Done      bool          `json:",omitempty"`
	URL       string        `json:",omitempty"`
	Connected bool          `json:",omitempty"`
	Progress  *int64        `json:",omitempty"`
	Measured  *Measured     `json:",omitempty"`
	Published *Published    `json:",omitempty"`
	CPU       time.Duration `json:",omitempty"`
	Refused   string        `json:",omitempty"`
	Error     string        `json:",omitempty"`
}

// lineMax bounds a line of the protocol: a script of some queries, or a histogram.
const lineMax = 4 << 20

// RunWorker is a worker: it does what it is told until its input ends.
func RunWorker(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &workerLoop{out: json.NewEncoder(out)}
	defer w.close()
	commands := make(chan command)
	var bad error
	go func() {
		defer cancel() // whoever started this is gone
		defer close(commands)
		sc := bufio.NewScanner(in)
		sc.Buffer(nil, lineMax)
		for sc.Scan() {
			var c command
			if bad = json.Unmarshal(sc.Bytes(), &c); bad != nil {
				return
			}
			select {
			case commands <- c:
			case <-ctx.Done():
				return
			}
		}
	}()
	for c := range commands {
		if err := w.do(ctx, c, commands); err != nil {
			var refused *RefusedError
			m := message{Error: err.Error()}
			if errors.As(err, &refused) {
				m = message{Refused: refused.Reason}
			}
			w.say(m)
		}
	}
	return bad
}

type workerLoop struct {
	mu     sync.Mutex
	out    *json.Encoder
	runner *Runner
	closes []func()
}

func (w *workerLoop) say(m message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.out.Encode(m) // whoever does not read has gone, and the input ends
}

func (w *workerLoop) close() {
	if w.runner != nil {
		_ = w.runner.Close() // the process ends
	}
	for _, f := range w.closes {
		f()
	}
}

func (w *workerLoop) do(ctx context.Context, c command, commands <-chan command) (err error) {
	switch {
	case c.Cluster != nil:
		if w.runner, err = StartRunner(ctx, *c.Cluster); err == nil {
			w.say(message{Done: true})
		}
	case c.Phase != nil:
		return w.phase(ctx, c.Phase, commands)
	case c.Serve != "":
		return w.serve(ctx, c.Serve)
	case c.Publish != nil:
		p, err := c.Publish.run(ctx)
		if err != nil {
			return err
		}
		w.say(message{Published: p})
	case c.Fill != nil:
		if err := c.Fill.run(ctx); err != nil {
			return err
		}
		w.say(message{Done: true})
	case c.Usage:
		w.say(message{CPU: cpuTime(), Done: true})
	case c.Stop, c.Mark: // of a phase that has ended already
	default:
		return errors.New("a command of another version")
	}
	return err
}

func (w *workerLoop) serve(ctx context.Context, what string) error {
	start := map[string]func(context.Context) (string, func(), error){"mqtt": startBroker, "redis": startStreams}[what]
	if n, ok := floodCount(what); ok {
		start = func(ctx context.Context) (string, func(), error) { return startFlood(ctx, n) }
	}
	if start == nil {
		return fmt.Errorf("nothing serves %q", what)
	}
	url, stop, err := start(ctx)
	if err != nil {
		return err
	}
	w.closes = append(w.closes, stop)
	w.say(message{URL: url})
	return nil
}

func (w *workerLoop) phase(ctx context.Context, ph *Phase, commands <-chan command) error {
	if w.runner == nil {
		return errors.New("a phase before its cluster")
	}
	stop, done := make(chan struct{}), make(chan struct{})
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		stopped := false
		for {
			select {
			case c, ok := <-commands:
				switch {
				case !ok:
					return
				case c.Mark:
					w.runner.Mark()
					w.say(message{Done: true})
				case c.Stop && !stopped:
					stopped = true
					close(stop)
				}
			case <-done:
				return
			}
		}
	}()
	m, err := w.runner.Run(ctx, ph, stop, func() { w.say(message{Connected: true}) }, func(n int64) { w.say(message{Progress: &n}) })
	close(done)
	<-listening
	if err == nil && m.Restarts > 0 {
		err = fmt.Errorf("the job was started again %d times, so nothing is measured: %s", m.Restarts, m.Cause)
	}
	if err == nil {
		w.say(message{Measured: m})
	}
	return err
}

// worker is a child process, as its parent sees it. Its methods are for one goroutine.
type worker struct {
	cmd      *exec.Cmd
	stdin    io.WriteCloser
	in       *json.Encoder
	messages chan message
	failed   error
	onEvents func(int64)
}

// startWorker starts the program again. It ends with ctx, or by stop.
func startWorker(ctx context.Context, program []string, onEvents func(int64)) (*worker, error) {
	if len(program) == 0 {
		return nil, errors.New("no program to start as a worker")
	}
	w := &worker{cmd: exec.CommandContext(ctx, program[0], program[1:]...), messages: make(chan message, 16), onEvents: onEvents}
	detach(w.cmd)
	w.cmd.Stderr = os.Stderr
	w.cmd.WaitDelay = 5 * time.Second
	var err error
	if w.stdin, err = w.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	w.in = json.NewEncoder(w.stdin)
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := w.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a worker: %w", err)
	}
	go func() {
		defer close(w.messages)
		sc := bufio.NewScanner(out)
		sc.Buffer(nil, lineMax)
		for sc.Scan() {
			var m message
			if err := json.Unmarshal(sc.Bytes(), &m); err != nil {
				w.failed = fmt.Errorf("a worker said %.80q", sc.Text())
				return
			}
			w.messages <- m
		}
	}()
	return w, nil
}

// stopPatience is how long a worker may take to end by itself: nothing of it is needed any more.
const stopPatience = 2 * time.Second

// stop ends the worker and waits until it is gone.
func (w *worker) stop() {
	_ = w.stdin.Close() // it ends when its input does
	t := time.AfterFunc(stopPatience, func() { _ = w.cmd.Process.Kill() })
	defer t.Stop()
	for range w.messages { // what it still says interests nobody
	}
	_ = w.cmd.Wait()
}

func (w *worker) tell(c command) error { return w.in.Encode(c) }

// errTimeout says that a worker was silent for too long.
var errTimeout = errors.New("nothing was heard for too long")

// hear returns the next message that is no progress, or fails with what the worker says went wrong.
func (w *worker) hear(ctx context.Context, patience time.Duration) (message, error) {
	t := time.NewTimer(patience)
	defer t.Stop()
	for {
		select {
		case m, ok := <-w.messages:
			switch {
			case !ok:
				if ctx.Err() != nil {
					return m, ctx.Err()
				}
				return m, errors.Join(errors.New("a worker has ended before its work"), w.failed)
			case m.Refused != "":
				return m, &RefusedError{m.Refused}
			case m.Error != "":
				if ctx.Err() != nil {
					return m, ctx.Err()
				}
				return m, errors.New(m.Error)
			case m.Progress != nil:
				if w.onEvents != nil {
					w.onEvents(*m.Progress)
				}
				return m, nil
			}
			return m, nil
		case <-t.C:
			return message{}, errTimeout
		case <-ctx.Done():
			return message{}, ctx.Err()
		}
	}
}

// ask tells and waits for the answer, past progress.
func (w *worker) ask(ctx context.Context, c command, patience time.Duration) (message, error) {
	if err := w.tell(c); err != nil {
		return message{}, fmt.Errorf("tell a worker: %w", err)
	}
	for {
		m, err := w.hear(ctx, patience)
		if err != nil || m.Progress == nil && !m.Connected {
			return m, err
		}
	}
}
