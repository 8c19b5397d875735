// Package app puts the programs together: configuration from flags, environment and file, logging, the planner with all connectors,
// jobmanager and taskmanager as commands, and a whole cluster in one process. The bramble command line is in internal/app/cli.
package app

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"gopkg.in/yaml.v3"

	"github.com/bramble-stream/bramble/sql/parse"
)

// EnvPrefix begins the environment variable of every key: --rpc-port is BRAMBLE_RPC_PORT.
const EnvPrefix = "BRAMBLE_"

// ConfigFlag names the configuration file.
const ConfigFlag = "config"

// notInFile are flags that make no sense in a configuration file or the environment.
var notInFile = map[string]bool{ConfigFlag: true, "help": true, "version": true, healthFlag: true}

// UsageError is a mistake in how a program was called: exit code 2.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the mistake.
func (e *UsageError) Unwrap() error { return e.Err }

// Usagef makes a UsageError.
func Usagef(format string, args ...any) error { return &UsageError{fmt.Errorf(format, args...)} }

// EnvName is the environment variable of a key.
func EnvName(key string) string {
	return EnvPrefix + strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(key))
}

// Resolve sets the flags that the command line left alone from the environment and, after it, the configuration file. known
// holds the flags that the file may mention: those of the command, or for a program with sub-commands those of all of them.
func Resolve(fs, known *pflag.FlagSet, lookupEnv func(string) (string, bool)) error {
	path, ok := lookupEnv(EnvName(ConfigFlag))
	if !ok {
		path = ""
	}
	if f := fs.Lookup(ConfigFlag); f != nil && f.Changed {
		path = f.Value.String()
	}
	file, err := readConfig(path, known)
	if err != nil {
		return &UsageError{err}
	}
	var errs []error
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Changed || notInFile[f.Name] {
			return
		}
		if value, ok := lookupEnv(EnvName(f.Name)); ok {
			if err := fs.Set(f.Name, value); err != nil {
				errs = append(errs, fmt.Errorf("environment: %s=%q: %w", EnvName(f.Name), value, valueError(f, value, err)))
			}
			return
		}
		for _, v := range file[f.Name] {
			if err := fs.Set(f.Name, v.text); err != nil {
				errs = append(errs, fmt.Errorf("%s:%d:%d: %s: %w", path, v.line, v.column, f.Name, valueError(f, v.text, err)))
			}
		}
	})
	if err := errors.Join(errs...); err != nil {
		return &UsageError{err}
	}
	return nil
}

// valueError says what a flag wants, in words of ours where pflag has those of strconv.
func valueError(f *pflag.Flag, value string, err error) error {
	switch f.Value.Type() {
	case "int":
		return fmt.Errorf("%q is not a whole number", value)
	case "bool":
		return fmt.Errorf("%q is neither true nor false", value)
	}
	if cause := errors.Unwrap(err); cause != nil {
		return cause
	}
	return err
}

type fileValue struct {
	text         string
	line, column int
}

// readConfig reads a flat YAML mapping. Each key must be a flag's name; a list sets a flag repeatedly.
func readConfig(path string, known *pflag.FlagSet) (map[string][]fileValue, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(doc.Content) == 0 {
		return nil, nil // empty, or only comments
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s:%d:%d: want a mapping of keys to values, such as `rpc-port: 6123`", path, root.Line, root.Column)
	}
	values := map[string][]fileValue{}
	var errs []error
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		if err := addValue(values, key, value, known); err != nil {
			errs = append(errs, fmt.Errorf("%s:%d:%d: %w", path, key.Line, key.Column, err))
		}
	}
	return values, errors.Join(errs...)
}

func addValue(values map[string][]fileValue, key, value *yaml.Node, known *pflag.FlagSet) error {
	name := key.Value
	if known.Lookup(name) == nil || notInFile[name] {
		var names []string
		known.VisitAll(func(f *pflag.Flag) {
			if !notInFile[f.Name] {
				names = append(names, f.Name)
			}
		})
		hint := ""
		if near, ok := parse.Nearest(name, names); ok {
			hint = fmt.Sprintf("; did you mean %q?", near)
		}
		return fmt.Errorf("unknown key %q%s", name, hint)
	}
	if _, twice := values[name]; twice {
		return fmt.Errorf("key %q is there twice", name)
	}
	switch value.Kind {
	case yaml.ScalarNode:
		values[name] = []fileValue{{value.Value, value.Line, value.Column}}
	case yaml.SequenceNode:
		for _, v := range value.Content {
			if v.Kind != yaml.ScalarNode {
				return fmt.Errorf("key %q: want plain values in the list", name)
			}
			values[name] = append(values[name], fileValue{v.Value, v.Line, v.Column})
		}
	default:
		return fmt.Errorf("key %q: want a value, not a mapping", name)
	}
	return nil
}

// allFlags are the flags of the command and all below it.
func allFlags(cmd *cobra.Command) *pflag.FlagSet {
	all := pflag.NewFlagSet("all", pflag.ContinueOnError)
	var add func(c *cobra.Command)
	add = func(c *cobra.Command) {
		for _, fs := range []*pflag.FlagSet{c.Flags(), c.PersistentFlags()} {
			fs.VisitAll(func(f *pflag.Flag) {
				if all.Lookup(f.Name) == nil {
					all.AddFlag(&pflag.Flag{Name: f.Name, Value: f.Value})
				}
			})
		}
		for _, sub := range c.Commands() {
			add(sub)
		}
	}
	add(cmd)
	return all
}
