// Package cli is the bramble command line: what a person types and what is printed. What it asks for is done by a jobmanager
// through engine/client, or by a cluster in this process.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bramble-stream/bramble/engine/client"
	"github.com/bramble-stream/bramble/internal/app"
	"github.com/bramble-stream/bramble/sql/parse"
)

// DemoOptions are what `bramble demo` was told.
type DemoOptions struct {
	// URL is the user's own broker, "" for an embedded one.
	URL string
	// TaskManagers is how many to run. The ports are as in app.ClusterConfig.
	TaskManagers          int
	HTTPPort, MetricsPort int
	Out                   io.Writer
	Logs                  app.LogFlags
}

// Hooks are commands that live elsewhere.
type Hooks struct {
	// Demo runs until ctx ends; without it there is no such command.
	Demo func(ctx context.Context, o DemoOptions) error
}

// cli is what the commands share.
type cli struct {
	jobManager string
	output     string
	out        io.Writer
	err        io.Writer
}

// Command is the program bramble.
func Command(hooks Hooks) *cobra.Command {
	c := &cli{}
	root := &cobra.Command{
		Use:   "bramble",
		Short: "Stream processing for a bramble of small machines",
		Long: "bramble submits SQL jobs to a Bramble cluster and tells how they are; `bramble run` needs no cluster.\n" +
			"Flags may also be keys of the --config file or environment variables (--jobmanager is BRAMBLE_JOBMANAGER).",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	app.Prepare(root)
	resolve := root.PersistentPreRunE
	root.PersistentPreRunE = func(cmd *cobra.Command, args []string) error {
		c.out, c.err = cmd.OutOrStdout(), cmd.ErrOrStderr()
		if err := resolve(cmd, args); err != nil {
			return err
		}
		if c.output != "table" && c.output != "json" && (c.output != "csv" || cmd.Name() != "sql") {
			return app.Usagef("--output %q: want table or json", c.output)
		}
		return nil
	}
	pf := root.PersistentFlags()
	pf.StringVar(&c.jobManager, "jobmanager", app.DefaultJobManager, app.JobManagerUsage)
	pf.StringVarP(&c.output, "output", "o", "table", "what to print: table or json")
	root.AddCommand(c.submit(), c.list(), c.status(), c.cancel(), c.stop(), c.savepoint(), c.rescale(), c.explain(), c.taskManagers(), c.run(), c.sql(), c.top(), c.bench(), c.mosquittoMetrics())
	if hooks.Demo != nil {
		root.AddCommand(c.demo(hooks.Demo))
	}
	root.InitDefaultCompletionCmd()
	for _, sub := range root.Commands() {
		if sub.Name() == "completion" { // cobra's own answers an unknown shell with help, and exit code 0
			sub.Args = root.Args
			sub.RunE = root.RunE
		}
	}
	return root
}

func unknownCommand(cmd *cobra.Command, name string) error {
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
	}
	hint := ""
	if near, ok := parse.Nearest(name, names); ok {
		hint = fmt.Sprintf("; did you mean `%s %s`?", cmd.CommandPath(), near)
	}
	return app.Usagef("unknown command %q%s\nSee `%s --help`.", name, hint, cmd.CommandPath())
}

// connect calls f with a client, which it closes.
func (c *cli) connect(f func(*client.Client) error) error {
	if err := app.CheckAddress(c.jobManager); err != nil {
		return err
	}
	cl, err := client.New(c.jobManager)
	if err != nil {
		return err
	}
	defer cl.Close() //nolint:errcheck // all was said
	err = f(cl)
	if interrupted(err) {
		return &app.SilentError{}
	}
	return err
}

// interrupted says that nothing but the user's impatience ended a call.
func interrupted(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// scriptFlags are what every command with a script takes.
type scriptFlags struct {
	parallelism int
	defines     []string
}

func (s *scriptFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.IntVarP(&s.parallelism, "parallelism", "p", 0, "default parallelism (default what the script says, else 1)")
	fs.StringArrayVarP(&s.defines, "define", "D", nil, "KEY=VALUE: an option, over SET in the script, or a value for ${KEY} (repeatable)")
}

// load reads the script, "-" for standard input, and puts the values of ${NAME} in: those of -D, else of the environment. A
// value of -D that the script has no use for is told on errOut: its name was probably meant otherwise.
func (s *scriptFlags) load(path string, in io.Reader, errOut io.Writer) (client.Script, error) {
	script := client.Script{File: filepath.Base(path), Config: map[string]string{}, Parallelism: s.parallelism}
	if s.parallelism < 0 {
		return script, app.Usagef("--parallelism %d: at least 1", s.parallelism)
	}
	defines := map[string]string{}
	for _, d := range s.defines {
		key, value, ok := strings.Cut(d, "=")
		if !ok || key == "" {
			return script, app.Usagef("-D %q: want KEY=VALUE", d)
		}
		defines[key] = value
		if strings.Contains(key, ".") || key == "restart-strategy" { // options have dots, variables have none
			script.Config[key] = value
		}
	}
	data, err := readScript(path, in)
	if err != nil {
		return script, err
	}
	if path == "-" {
		script.File = "<stdin>"
	}
	used := map[string]bool{}
	script.Text, err = parse.Substitute(string(data), func(name string) (string, bool) {
		used[name] = true
		if v, ok := defines[name]; ok {
			return v, true
		}
		return os.LookupEnv(name)
	})
	var list parse.ErrorList
	if errors.As(err, &list) {
		for _, e := range list {
			e.File = script.File
		}
		return script, list
	}
	for _, name := range slices.Sorted(maps.Keys(defines)) {
		if !used[name] && !strings.Contains(name, ".") && name != "restart-strategy" {
			fmt.Fprintf(errOut, "warning: -D %s: %s has no ${%s}\n", name, script.File, name)
		}
	}
	return script, err
}

func readScript(path string, in io.Reader) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(io.LimitReader(in, scriptMax))
	}
	st, err := os.Stat(path)
	if err == nil && st.IsDir() {
		err = fmt.Errorf("%s is a directory, not a SQL script", path)
	}
	if err == nil && st.Size() > scriptMax {
		err = fmt.Errorf("%s has %d bytes: a script may have %d", path, st.Size(), scriptMax)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("no file %s", path)
	}
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// scriptMax bounds a script, below what a message to the jobmanager may have.
const scriptMax = 8 << 20
