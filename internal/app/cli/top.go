package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/bramble-stream/bramble/engine/client"
	"github.com/bramble-stream/bramble/engine/rest"
	"github.com/bramble-stream/bramble/internal/app"
)

// topPlainWidth is the width where there is no terminal.
const topPlainWidth = 120

func (c *cli) top() *cobra.Command {
	var (
		every time.Duration
		count int
	)
	cmd := &cobra.Command{
		Use:   "top [JOBID]",
		Short: "Watch jobs and their operators live: rates, load, back-pressure, watermarks, checkpoints",
		Long: "top shows the cluster's jobs, or the operators of one. Arrows select, Enter goes to a job's operators and to an operator's tasks, Esc goes back,\n" +
			"s sorts by the next column, r turns the order round, q quits. Without a terminal, or with -n 1, it prints one page; -o json prints documents.",
		Args: app.Args(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if count < 0 || every < topEveryLeast {
				return app.Usagef("--iterations: at least 0; --delay: at least %s", topEveryLeast)
			}
			return c.connect(func(cl *client.Client) error {
				t := &topLoop{ask: cl.Observe, out: c.out, every: every, count: count, now: time.Now}
				if len(args) == 1 {
					t.page.jobID = args[0]
				}
				return c.runTop(cmd.Context(), t, cmd.InOrStdin())
			})
		},
	}
	cmd.Flags().DurationVarP(&every, "delay", "d", time.Second, "time between two looks")
	cmd.Flags().IntVarP(&count, "iterations", "n", 0, "end after so many looks (default: when told to; one without a terminal)")
	return cmd
}

// topEveryLeast is how often documents are made.
const topEveryLeast = 200 * time.Millisecond

// topLoop asks and shows.
type topLoop struct {
	ask   func(ctx context.Context, id string) ([]byte, error)
	out   io.Writer
	every time.Duration
	count int
	now   func() time.Time
	page  topPage
}

func (c *cli) runTop(ctx context.Context, t *topLoop, in io.Reader) error {
	keys, isKeys := in.(*os.File)
	out, isScreen := c.out.(*os.File)
	live := isKeys && isScreen && term.IsTerminal(int(keys.Fd())) && term.IsTerminal(int(out.Fd())) //nolint:gosec // descriptors are small
	if c.output == "json" || !live || t.count == 1 {
		width := topPlainWidth
		if isScreen {
			if w, _, err := term.GetSize(int(out.Fd())); err == nil { //nolint:gosec // descriptors are small
				width = w
			}
		}
		return t.plain(ctx, c.output == "json", width)
	}
	return t.live(ctx, keys, out)
}

// look asks for what the page shows.
func (t *topLoop) look(ctx context.Context) (raw []byte, err error) {
	raw, err = t.ask(ctx, "")
	if err != nil {
		return nil, err
	}
	cluster := &rest.Cluster{}
	if err := json.Unmarshal(raw, cluster); err != nil {
		return nil, fmt.Errorf("the cluster's document: %w", err)
	}
	var job *rest.Job
	if t.page.jobID != "" {
		if raw, err = t.ask(ctx, t.page.jobID); err != nil {
			return nil, err
		}
		job = &rest.Job{}
		if err := json.Unmarshal(raw, job); err != nil {
			return nil, fmt.Errorf("the job's document: %w", err)
		}
	}
	t.page.take(cluster, job, t.now())
	return raw, nil
}

// plain prints pages, or documents, one behind the other.
func (t *topLoop) plain(ctx context.Context, asJSON bool, width int) error {
	for i := 0; i < max(t.count, 1); i++ {
		if i > 0 && !pause(ctx, t.every) {
			return nil
		}
		raw, err := t.look(ctx)
		if err != nil {
			return err
		}
		if asJSON {
			fmt.Fprintf(t.out, "%s\n", raw)
			continue
		}
		t.page.plain = true
		for _, line := range t.page.lines(width, 1<<20) {
			fmt.Fprintln(t.out, strings.TrimRight(line, " "))
		}
	}
	return nil
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// live draws until the user has enough.
func (t *topLoop) live(ctx context.Context, in, out *os.File) error {
	if _, err := t.look(ctx); err != nil {
		return err // before the screen is taken over
	}
	before, err := term.MakeRaw(int(in.Fd())) //nolint:gosec // descriptors are small
	if err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	defer term.Restore(int(in.Fd()), before) //nolint:errcheck,gosec // nothing is left to be done about it
	fmt.Fprint(out, ansiAlternate)
	defer fmt.Fprint(out, ansiOrdinary)
	keys, s := newKeyboard(in), &screen{out: out}
	draw := func() error {
		s.size(out)
		return s.draw(t.page.lines(s.width, s.height))
	}
	looks := time.NewTicker(t.every)
	defer looks.Stop()
	sizes := time.NewTicker(topEveryLeast)
	defer sizes.Stop()
	for n := 1; ; {
		if err := draw(); err != nil {
			return err
		}
		again := false
		select {
		case b, ok := <-keys.in:
			if !ok || t.page.key(string(b)) {
				return nil
			}
			again = t.page.stale
		case <-sizes.C: // the window may have another size
		case <-looks.C:
			if n++; t.count > 0 && n > t.count {
				return nil
			}
			again = true
		case <-ctx.Done():
			return nil
		}
		if again {
			limited, cancel := context.WithTimeout(ctx, topAskMax)
			_, err := t.look(limited)
			cancel()
			if errors.Is(err, client.ErrNotFound) && t.page.jobID != "" {
				t.page.back()
			}
			t.page.fault = err
		}
	}
}

// topAskMax is how long a look may take; the page says so then, and it looks again.
const topAskMax = 5 * time.Second
