package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit codes.
const (
	ExitOK     = 0
	ExitFailed = 1
	ExitUsage  = 2
)

// version is set by the linker: -X github.com/bramble-stream/bramble/internal/app.version=1.2.3.
var version string

// Version is what the linker said, else what Go knows of the build.
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}

// VersionText is what --version prints after the program's name.
func VersionText() string {
	return fmt.Sprintf("%s (%s, %s/%s)", Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// Clock is the time of day.
type Clock struct{}

// Now implements op.Clock.
func (Clock) Now() time.Time { return time.Now() }

// Prepare gives a root command what all have: --config, --version, mistakes as UsageErrors, and settings from environment and file.
func Prepare(root *cobra.Command) {
	root.Version = VersionText() // cobra's own template: one of ours would link text/template, and with it every method of every type
	root.SilenceErrors, root.SilenceUsage = true, true
	root.PersistentFlags().String(ConfigFlag, "", "a YAML file with settings; its keys are the flags' names")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return Usagef("%w\nSee `%s --help`.", err, cmd.CommandPath())
	})
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		return Resolve(cmd.Flags(), allFlags(root), os.LookupEnv)
	}
}

// NoArgs refuses arguments.
func NoArgs(cmd *cobra.Command, args []string) error { return Args(0, 0)(cmd, args) }

// Args asks for at least least and at most most arguments.
func Args(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return Usagef("something is missing: %s\nSee `%s --help`.", cmd.UseLine(), cmd.CommandPath())
		case len(args) > most:
			return Usagef("%q is too much: %s\nSee `%s --help`.", args[most], cmd.UseLine(), cmd.CommandPath())
		}
		return nil
	}
}

// Main runs a command until it is done or told to stop by SIGINT or SIGTERM, and returns the exit code. A second signal ends
// the process at once.
func Main(root *cobra.Command) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return exitCode(root.ExecuteContext(ctx), os.Stderr)
}

func exitCode(err error, w io.Writer) int {
	var usage *UsageError
	var silent *SilentError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &silent):
		return ExitFailed
	case errors.As(err, &usage):
		fmt.Fprintln(w, "error:", err)
		return ExitUsage
	default:
		fmt.Fprintln(w, "error:", err)
		if h := hint(err); h != "" {
			fmt.Fprintln(w, "hint:", h)
		}
		return ExitFailed
	}
}

// SilentError ends the program with ExitFailed; the user has been told already.
type SilentError struct{}

func (*SilentError) Error() string { return "failed" }

// flagSet collects the flags of a command with defaults that --help shows.
func flagSet(cmd *cobra.Command) *pflag.FlagSet {
	fs := cmd.Flags()
	fs.SortFlags = false
	return fs
}
