package app

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func testFlags() *pflag.FlagSet {
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	fs.String(ConfigFlag, "", "")
	fs.Int("rpc-port", 6123, "")
	fs.String("bind-host", "0.0.0.0", "")
	fs.StringArray("define", nil, "")
	memory := DefaultMemory
	fs.Var(&memory, "memory", "")
	return fs
}

func TestPrecedenceFlagEnvironmentFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte("# ports\nrpc-port: 1\nbind-host: file\nmemory: 1 gb\ndefine: [a=1, b=2]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fs := testFlags()
	if err := fs.Parse([]string{"--config", path, "--rpc-port", "3"}); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"BRAMBLE_RPC_PORT": "2", "BRAMBLE_BIND_HOST": "env"}
	err := Resolve(fs, fs, func(k string) (string, bool) { v, ok := env[k]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	for flag, want := range map[string]string{"rpc-port": "3", "bind-host": "env", "memory": "1GiB", "define": "[a=1,b=2]"} {
		if got := fs.Lookup(flag).Value.String(); got != want {
			t.Errorf("%s is %s, want %s", flag, got, want)
		}
	}
}

func TestConfigMistakes(t *testing.T) {
	dir := t.TempDir()
	for name, test := range map[string]struct{ file, want string }{
		"unknown":   {"rpcport: 1\nzzzzzzzz: 2\n", `c.yaml:1:1: unknown key "rpcport"; did you mean "rpc-port"?`},
		"far off":   {"zzzzzzzz: 2\n", `c.yaml:1:1: unknown key "zzzzzzzz"`},
		"value":     {"rpc-port: many\n", `c.yaml:1:11: rpc-port: `},
		"mapping":   {"rpc-port: {a: 1}\n", `want a value, not a mapping`},
		"twice":     {"rpc-port: 1\nrpc-port: 2\n", `key "rpc-port" is there twice`},
		"list":      {"- a\n", `want a mapping of keys`},
		"syntax":    {"a: [\n", `yaml: `},
		"no config": {"config: x\n", `unknown key "config"`},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, "c.yaml")
			if err := os.WriteFile(path, []byte(test.file), 0o600); err != nil {
				t.Fatal(err)
			}
			fs := testFlags()
			err := Resolve(fs, fs, func(k string) (string, bool) { return path, k == "BRAMBLE_CONFIG" })
			var usage *UsageError
			if !errors.As(err, &usage) || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error %v, want %s", err, test.want)
			}
		})
	}
	fs := testFlags()
	env := func(k string) (string, bool) { return "x", k == "BRAMBLE_RPC_PORT" }
	if err := Resolve(fs, fs, env); err == nil || !strings.Contains(err.Error(), `BRAMBLE_RPC_PORT="x"`) {
		t.Errorf("bad environment: %v", err)
	}
	missing := func(k string) (string, bool) { return filepath.Join(dir, "none.yaml"), k == "BRAMBLE_CONFIG" }
	if err := Resolve(fs, fs, missing); err == nil {
		t.Error("a missing file is no error")
	}
}

func TestBytes(t *testing.T) {
	for text, want := range map[string]string{
		"256MiB": "256MiB", "1 GB": "1GiB", "64m": "64MiB", "1.5 kb": "1536", "1024": "1KiB", "7": "7", "2tb": "2048GiB",
		"": "", "x": "", "-1mb": "", "1 parsec": "", "1e30": "", "99999999tb": "",
	} {
		var b Bytes
		err := b.Set(text)
		if (err == nil) != (want != "") || err == nil && b.String() != want {
			t.Errorf("%q is %s, %v; want %s", text, b.String(), err, want)
		}
	}
}

func TestLeaderEpochRises(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	last := int64(0)
	for range 3 {
		e, err := nextEpoch(dir)
		if err != nil || e <= last {
			t.Fatalf("epoch %d after %d: %v", e, last, err)
		}
		last = e
	}
	// A clock that was set back changes nothing.
	if err := os.WriteFile(filepath.Join(dir, "leader-epoch"), []byte("9000000000000000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if e, err := nextEpoch(dir); err != nil || e != 9000000000000001 {
		t.Fatalf("epoch %d, %v", e, err)
	}
	if e, err := nextEpoch(""); e != 0 || err != nil {
		t.Fatalf("without a directory: %d, %v", e, err)
	}
}

func TestExitCodes(t *testing.T) {
	for _, test := range []struct {
		err    error
		code   int
		output string
	}{
		{nil, 0, ""},
		{errors.New("no"), 1, "error: no\n"},
		{&SilentError{}, 1, ""},
		{Usagef("what?"), 2, "error: what?\n"},
	} {
		var b bytes.Buffer
		if code := exitCode(test.err, &b); code != test.code || b.String() != test.output {
			t.Errorf("%v: %d %q", test.err, code, b.String())
		}
	}
}

func TestProgramsExplainThemselves(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--help"}, "gRPC port for data from other taskmanagers; 0 picks a free one (default 6124)"},
		{[]string{"--help"}, "(default 256MiB)"},
		{[]string{"--version"}, "taskmanager version "},
	} {
		cmd := TaskManagerCommand()
		var b bytes.Buffer
		cmd.SetOut(&b)
		cmd.SetArgs(test.args)
		if err := cmd.Execute(); err != nil || !strings.Contains(b.String(), test.want) {
			t.Errorf("%v: %v\n%s", test.args, err, b.String())
		}
	}
	for _, args := range [][]string{{"--slots", "0"}, {"--memory", "1kb"}, {"--bogus"}, {"extra"}, {"--log-level", "loud"}, {"--log-format", "xml"}} {
		cmd := TaskManagerCommand()
		cmd.SetArgs(args)
		var usage *UsageError
		if err := cmd.Execute(); !errors.As(err, &usage) {
			t.Errorf("%v: %v", args, err)
		}
	}
}
