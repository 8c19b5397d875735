//go:build integration

package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"gopkg.in/yaml.v3"

	"github.com/bramble-stream/bramble/internal/app"
	"github.com/bramble-stream/bramble/internal/testenv"
)

const dir = "../../deploy/"

// file is what the test knows of a stack or compose file.
type file struct {
	Services map[string]*service
	Secrets  map[string]map[string]any
	Configs  map[string]struct{ File, Name string }
	Volumes  map[string]any
}

type service struct {
	Image       string
	User        string
	Command     any
	Environment map[string]string
	Ports       []any
	Configs     []struct{ Source, Target string }
	Logging     map[string]any
	Secrets     []any
	StopGrace   string `yaml:"stop_grace_period"`
	Healthcheck any
	Deploy      struct {
		Placement struct{ Constraints []string }
		Resources struct{ Limits struct{ Memory string } }
		Restart   map[string]any `yaml:"restart_policy"`
		Update    map[string]any `yaml:"update_config"`
		Rollback  map[string]any `yaml:"rollback_config"`
	}
}

func read(t *testing.T, name string) (file, string) {
	t.Helper()
	data, err := os.ReadFile(dir + name)
	if err != nil {
		t.Fatal(err)
	}
	var f file
	if err := yaml.Unmarshal(data, &f); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return f, string(data)
}

var stacks = []string{"stack.yml", "stack.observability.yml"}

// TestStack asks of every service what a swarm of small machines needs.
func TestStack(t *testing.T) {
	guide, err := os.ReadFile("../../docs/raspberry-pi-swarm.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range stacks {
		f, text := read(t, name)
		if strings.Contains(text, "node.hostname") {
			t.Errorf("%s places by a host name", name)
		}
		for s, v := range f.Services {
			if v.Deploy.Resources.Limits.Memory == "" {
				t.Errorf("%s: %s has no memory limit", name, s)
			}
			if v.Logging["driver"] != "json-file" || v.Deploy.Restart["condition"] != "any" {
				t.Errorf("%s: %s: logging %v, restart %v", name, s, v.Logging, v.Deploy.Restart)
			}
			for _, c := range v.Deploy.Placement.Constraints {
				label := strings.TrimPrefix(strings.Fields(c)[0], "node.labels.")
				if !strings.Contains(string(guide), label+"=true") || !strings.Contains(text, label) {
					t.Errorf("%s: %s: the guide does not set the label %s", name, s, label)
				}
			}
			for _, c := range v.Configs {
				if f.Configs[c.Source].File == "" {
					t.Errorf("%s: %s: there is no config %s", name, s, c.Source)
				}
			}
		}
		for c, v := range f.Configs {
			if _, err := os.Stat(dir + v.File); err != nil {
				t.Errorf("%s: config %s: %v", name, c, err)
			}
			if !strings.HasSuffix(v.Name, "_${CONFIG_VERSION:-1}") {
				t.Errorf("%s: config %s has a name that cannot change: %s", name, c, v.Name)
			}
		}
		for s, v := range f.Secrets {
			if v["external"] != true {
				t.Errorf("%s: the secret %s is not external", name, s)
			}
		}
	}
	main, _ := read(t, "stack.yml")
	var published []int
	for name, s := range main.Services {
		if s.StopGrace == "" || s.Deploy.Update["order"] == nil || s.Deploy.Rollback["order"] == nil || len(s.Deploy.Placement.Constraints) == 0 {
			t.Errorf("stack.yml: %s: grace %q, update %v, rollback %v, placement %v", name, s.StopGrace, s.Deploy.Update, s.Deploy.Rollback, s.Deploy.Placement)
		}
		if ours := strings.Contains(s.Image, "bramble/"); !ours && s.Healthcheck == nil {
			t.Errorf("stack.yml: %s has no health check", name)
		}
		for _, p := range s.Ports {
			published = append(published, p.(map[string]any)["published"].(int))
		}
	}
	slices.Sort(published)
	if want := []int{1883, 3000, 6123, 8081}; !slices.Equal(published, want) {
		t.Errorf("stack.yml publishes %v, want %v", published, want)
	}
	for _, d := range files(t, "grafana/dashboards/*.json") {
		if !slices.ContainsFunc(main.Services["grafana"].Configs, func(c struct{ Source, Target string }) bool { return main.Configs[c.Source].File == d }) {
			t.Errorf("stack.yml: grafana does not get %s", d)
		}
	}
}

func files(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(dir + pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no %s: %v", pattern, err)
	}
	for i := range paths {
		paths[i] = strings.TrimPrefix(paths[i], dir)
	}
	return paths
}

// TestSettings looks the settings that the files make up in the programs.
func TestSettings(t *testing.T) {
	known := map[string]*pflag.FlagSet{"jobmanager": app.JobManagerCommand().Flags(), "taskmanager": app.TaskManagerCommand().Flags()}
	for _, name := range append(stacks, "stack.s3.yml", "compose.yml") {
		f, _ := read(t, name)
		for s, v := range f.Services {
			for env := range v.Environment {
				flag, ours := strings.CutPrefix(env, app.EnvPrefix)
				if flag = strings.ToLower(strings.ReplaceAll(flag, "_", "-")); ours && (known[s] == nil || known[s].Lookup(flag) == nil) {
					t.Errorf("%s: %s: %s belongs to no flag", name, s, env)
				}
			}
		}
	}
}

// TestComposeIsTheStack compares what both files have.
func TestComposeIsTheStack(t *testing.T) {
	stack, _ := read(t, "stack.yml")
	compose, _ := read(t, "compose.yml")
	for name, s := range stack.Services {
		c := compose.Services[name]
		if c == nil {
			t.Errorf("compose.yml lacks %s", name)
			continue
		}
		if c.Image != s.Image || c.User != s.User {
			t.Errorf("%s: image %s as %q, in the stack %s as %q", name, c.Image, c.User, s.Image, s.User)
		}
		if text := func(v any) string { b, _ := json.Marshal(v); return string(b) }; name != "prometheus" && text(c.Command) != text(s.Command) {
			t.Errorf("%s: the commands differ:\n%v\n%v", name, c.Command, s.Command)
		}
	}
	for s, v := range compose.Secrets {
		if path, _ := v["file"].(string); !strings.HasPrefix(path, ".secrets/") || stack.Secrets[s] == nil {
			t.Errorf("compose.yml: secret %s: %v", s, v)
		}
	}
}

// TestStackConfig has the Docker client read the stacks, where there is one.
func TestStackConfig(t *testing.T) {
	docker, err := exec.LookPath("docker")
	if err != nil {
		t.Skip("there is no docker client here; make swarm-test deploys the stack")
	}
	for _, with := range [][]string{{}, {"stack.observability.yml"}, {"stack.nfs.yml"}, {"stack.s3.yml"}} {
		args := []string{"stack", "config", "-c", dir + "stack.yml"}
		for _, w := range with {
			args = append(args, "-c", dir+w)
		}
		cmd := exec.Command(docker, args...)
		cmd.Env = append(os.Environ(), "NFS_SERVER=192.0.2.5", "NFS_PATH=/export", "S3_ENDPOINT=http://192.0.2.5:9000")
		if out, err := cmd.CombinedOutput(); err != nil {
			if strings.Contains(string(out), "unknown command") || strings.Contains(string(out), "Usage:") {
				t.Skip("this docker client has no `stack config`")
			}
			t.Errorf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	if out, err := exec.Command(docker, "stack", "config", "-c", dir+"stack.portainer.yml").CombinedOutput(); err != nil {
		t.Errorf("stack.portainer.yml: %v\n%s", err, out)
	}
}

// run runs a program of ours and returns its exit code.
func run(t *testing.T, program string, args ...string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, testenv.Bin(t, program), args...).CombinedOutput()
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		return ended.ExitCode(), string(out)
	}
	if err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	return 0, string(out)
}

var execStart = regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/(\w+) --config /etc/bramble/(\S+)$`)

// TestSystemd has the programs read the settings that the units name.
func TestSystemd(t *testing.T) {
	for _, u := range files(t, "systemd/*.service") {
		text, err := os.ReadFile(dir + u)
		if err != nil {
			t.Fatal(err)
		}
		m := execStart.FindStringSubmatch(string(text))
		if m == nil {
			t.Errorf("%s starts none of our programs", u)
			continue
		}
		// A wrong key is exit code 2; nobody listens on port 1.
		if code, out := run(t, m[1], "--config", dir+"systemd/"+m[2], "--health", "--metrics-port", "1"); code != app.ExitFailed || !strings.Contains(out, "not healthy") {
			t.Errorf("%s: exit code %d\n%s", u, code, out)
		}
	}
}

// TestJob plans the stack's job.
func TestJob(t *testing.T) {
	if code, out := run(t, "bramble", "explain", dir+"sensors.sql"); code != 0 || strings.Contains(out, "hunter") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

// TestSecretsToFiles makes passwords twice: the second time there is nothing to do.
func TestSecretsToFiles(t *testing.T) {
	d := t.TempDir()
	script, err := os.ReadFile(dir + "secrets")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d+"/secrets", script, 0o700); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
	for i, want := range []int{4, 0} {
		out, err := exec.Command(d+"/secrets", "--files").CombinedOutput()
		if err != nil || strings.Count(string(out), "/.secrets/") != want {
			t.Errorf("run %d: %v\n%s", i+1, err, out)
		}
	}
	compose, _ := read(t, "compose.yml")
	for _, s := range compose.Secrets {
		if p, err := os.ReadFile(filepath.Join(d, s["file"].(string))); err != nil || !regexp.MustCompile(`^[0-9a-f]{24}$`).Match(p) {
			t.Errorf("%v: %v", s, err)
		}
	}
}
