package docs

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bramble-stream/bramble/internal/app"
	"github.com/bramble-stream/bramble/internal/app/cli"
)

var (
	link   = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	anchor = regexp.MustCompile(`[^\p{L}\p{N} _-]+`)
)

// TestLinks follows relative links, to headings too.
func TestLinks(t *testing.T) {
	for _, p := range pages(t, ".") {
		for i, l := range p.prose() {
			for _, m := range link.FindAllStringSubmatch(span.ReplaceAllString(l, ""), -1) {
				if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
					continue
				}
				to, heading, _ := strings.Cut(m[1], "#")
				target := p.path
				if to != "" {
					un, err := url.PathUnescape(to)
					if err != nil {
						t.Errorf("%s:%d: %v", p.path, i+1, err)
					}
					target = filepath.Join(filepath.Dir(p.path), un)
				}
				if _, err := os.Stat(filepath.Join(root, target)); err != nil {
					t.Errorf("%s:%d: %s leads nowhere", p.path, i+1, m[1])
					continue
				}
				if heading != "" && filepath.Ext(target) == ".md" && !slices.Contains(headings(pageOf(t, target)), heading) {
					t.Errorf("%s:%d: %s has no heading #%s", p.path, i+1, target, heading)
				}
			}
		}
	}
}

// headings are the page's anchors.
func headings(p *page) []string {
	var out []string
	for _, l := range p.prose() {
		if text := strings.TrimLeft(l, "#"); len(text) < len(l) && strings.HasPrefix(text, " ") {
			text = strings.ToLower(anchor.ReplaceAllString(strings.TrimSpace(text), ""))
			out = append(out, strings.ReplaceAll(text, " ", "-"))
		}
	}
	return out
}

var (
	flagName = regexp.MustCompile(`(?:^|\s)--([a-z][a-z-]+)`)
	envName  = regexp.MustCompile(`\bBRAMBLE_([A-Z_]+)\b`)
	// program is a call of one of ours in a shell's line; other programs have flags of their own.
	program = regexp.MustCompile(`(?:^|[;&|(] *|[A-Z_]+=\S* |\$ |sudo )(?:\S*/)?(?:bramble|jobmanager|taskmanager) .*`)
	foreign = regexp.MustCompile(`^(?:docker|git|systemctl|sudo|useradd) `)
)

// TestFlags looks the flags that pages name up in the three programs.
func TestFlags(t *testing.T) {
	known := map[string]bool{"help": true, "version": true}
	var add func(c *cobra.Command)
	add = func(c *cobra.Command) {
		for _, fs := range []*pflag.FlagSet{c.Flags(), c.PersistentFlags()} {
			fs.VisitAll(func(f *pflag.Flag) { known[f.Name] = true })
		}
		for _, sub := range c.Commands() {
			add(sub)
		}
	}
	demo := func(context.Context, cli.DemoOptions) error { return nil }
	for _, c := range []*cobra.Command{app.JobManagerCommand(), app.TaskManagerCommand(), cli.Command(cli.Hooks{Demo: demo})} {
		add(c)
	}
	for _, p := range pages(t, "README.md", "docs") {
		var texts []string
		for _, l := range p.prose() {
			for _, c := range code(l) {
				if !foreign.MatchString(c) {
					texts = append(texts, c)
				}
			}
		}
		for _, b := range p.blocks(t) {
			for l := range strings.Lines(b.text) {
				if call := program.FindString(strings.TrimSpace(l)); call != "" && b.lang != "sql" {
					texts = append(texts, call)
				}
			}
		}
		for _, text := range texts {
			for _, m := range flagName.FindAllStringSubmatch(text, -1) {
				if !known[m[1]] {
					t.Errorf("%s: no program has the flag --%s", p.path, m[1])
				}
			}
			for _, m := range envName.FindAllStringSubmatch(text, -1) {
				if flag := strings.ToLower(strings.ReplaceAll(m[1], "_", "-")); !known[flag] {
					t.Errorf("%s: %s belongs to no flag", p.path, m[0])
				}
			}
		}
	}
}

// TestPorts looks for the ports of the programs.
func TestPorts(t *testing.T) {
	text := strings.Join(pageOf(t, "docs/operations.md").section("Programs").lines, "\n")
	for _, want := range []string{
		fmt.Sprintf("| `jobmanager` | gRPC %d, HTTP %d ([dashboard](dashboard.md), [REST](rest.md)), metrics %d |", app.DefaultRPCPort, app.DefaultHTTPPort, app.DefaultMetricsPort),
		fmt.Sprintf("| `taskmanager` | data %d, metrics %d |", app.DefaultDataPort, app.DefaultMetricsPort),
	} {
		if !strings.Contains(text, want) {
			t.Errorf("docs/operations.md lacks %q", want)
		}
	}
}

var (
	described = regexp.MustCompile(`[dD]esc\("((?:bramble|flink)_\w+)"`)
	flinkTask = regexp.MustCompile(`flinkDesc\("(\w+)"`)
)

// TestMetrics compares the names in operations.md with those that the programs export.
func TestMetrics(t *testing.T) {
	exported := map[string]bool{}
	for _, f := range []string{"engine/jobmanager/metrics.go", "engine/taskmanager/metrics.go", "engine/taskmanager/flink.go"} {
		text := readText(t, filepath.Join(root, f))
		for _, m := range described.FindAllStringSubmatch(text, -1) {
			if !strings.HasSuffix(m[1], "_") { // a name that is put together
				exported[m[1]] = true
			}
		}
		for _, m := range flinkTask.FindAllStringSubmatch(text, -1) {
			exported["flink_taskmanager_job_task_"+m[1]] = true
		}
	}
	if len(exported) < 20 {
		t.Fatalf("only %d metrics found", len(exported))
	}
	named := map[string]bool{}
	for _, p := range pages(t, "README.md", "docs") {
		for _, l := range p.lines {
			for _, c := range code(l) {
				name, _, _ := strings.Cut(c, "{")
				if strings.HasPrefix(name, "bramble_") || strings.HasPrefix(name, "flink_") {
					if named[name] = true; !exported[name] {
						t.Errorf("%s: there is no metric %s", p.path, name)
					}
				}
			}
		}
	}
	for name := range exported {
		if !named[name] {
			t.Errorf("docs/operations.md does not say what %s is", name)
		}
	}
}
