package docs

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bramble-stream/bramble/connectors/all"
	"github.com/bramble-stream/bramble/connectors/format"
	"github.com/bramble-stream/bramble/engine/op"
)

// pagesOf says where each connector is described; a section of its name is its part of the page.
var pagesOf = map[string]string{
	"mqtt": "mqtt.md", "redis-stream": "redis.md", "redis": "redis.md", "filesystem": "filesystem.md",
	"datagen": "generators.md", "nexmark": "generators.md", "print": "generators.md", "blackhole": "generators.md",
}

// TestConnectorOptions compares the tables of options and the lists of metadata with the connectors.
func TestConnectorOptions(t *testing.T) {
	connectors := all.Connectors()
	for _, name := range slices.Sorted(maps.Keys(connectors)) {
		c := connectors[name]
		t.Run(name, func(t *testing.T) {
			p := pageOf(t, "docs/connectors/"+pagesOf[name]).section(name)
			documented := map[string]string{} // key to default
			for _, r := range p.tables("key") {
				keys, defaults := code(r["key"]), code(r["default"])
				for i, k := range keys {
					documented[k] = ""
					if len(defaults) == len(keys) {
						documented[k] = defaults[i]
					}
					if findOption(c, k) == nil {
						t.Errorf("%s has no option %q", name, k)
					}
				}
			}
			for i := range c.Options {
				o := &c.Options[i]
				if isFormatOption(o.Key) && o.Key != "format" {
					continue
				}
				var keys []string
				for k := range documented {
					if k == o.Key || o.Prefix && strings.HasPrefix(k, o.Key) {
						keys = append(keys, k)
					}
				}
				if len(keys) == 0 {
					t.Errorf("%s does not say what %q is", p.path, o.Key)
				} else if got := documented[keys[0]]; !o.Prefix && got != o.Default {
					t.Errorf("%s: default of %q is %q, not %q", p.path, o.Key, o.Default, got)
				}
			}
			text := strings.Join(p.lines, "\n")
			for _, m := range c.Metadata {
				if want := "`" + m.Key + " " + m.Type.String() + "`"; !strings.Contains(text, want) {
					t.Errorf("%s lacks the metadata column %s", p.path, want)
				}
			}
		})
	}
}

func findOption(c *op.Connector, key string) *op.Option {
	for i := range c.Options {
		if o := &c.Options[i]; o.Key == key || o.Prefix && strings.HasPrefix(key, o.Key) {
			return o
		}
	}
	return nil
}

func isFormatOption(key string) bool {
	return slices.ContainsFunc(format.Options(), func(o op.Option) bool { return o.Key == key })
}

// TestFormatOptions compares the options of formats.md with those that there are.
func TestFormatOptions(t *testing.T) {
	documented := map[string]string{}
	for _, r := range pageOf(t, "docs/connectors/formats.md").tables("option") {
		for _, k := range code(r["option"]) {
			if !isFormatOption(k) {
				t.Errorf("there is no option %q", k)
			}
			documented[k] = strings.Join(code(r["default"]), "")
		}
	}
	for _, o := range format.Options() {
		if got, ok := documented[o.Key]; o.Key != "format" && (!ok || got != o.Default) {
			t.Errorf("%q: the page says %q %t, it is %q", o.Key, got, ok, o.Default)
		}
	}
}

var (
	configKey = regexp.MustCompile(`\{?\s*Key: "([^"]+)"`)
	tableKey  = regexp.MustCompile(`(?m)^\topt\w+\s+= "([^"]+)"$`)
)

// TestCommonOptions compares the tables of operations.md with the options of jobs and of all tables.
func TestCommonOptions(t *testing.T) {
	p := pageOf(t, "docs/operations.md")
	documented := map[string]bool{}
	for _, r := range p.tables("option") {
		for _, k := range code(r["option"]) {
			documented[k] = true
			if strings.HasSuffix(k, "*") {
				continue
			}
			known := func(format string) bool {
				_, err := planned(fmt.Sprintf(format, k), all.Connectors())
				return err != nil && !strings.Contains(err.Error(), "unknown option") && !strings.Contains(err.Error(), "has no option")
			}
			if !known("SET '%s' = '';") && !known("CREATE TABLE t (a INT) WITH ('connector' = 'datagen', '%s' = '');") {
				t.Errorf("there is no option %q", k)
			}
		}
	}
	mentioned := func(key string) bool {
		for k := range documented {
			if prefix, ok := strings.CutSuffix(k, "*"); k == key || ok && strings.HasPrefix(key, prefix) {
				return true
			}
		}
		return false
	}
	want := configKey.FindAllStringSubmatch(readText(t, root+"/sql/plan/config.go"), -1)
	for _, m := range append(want, tableKey.FindAllStringSubmatch(readText(t, root+"/sql/plan/options.go"), -1)...) {
		if key := m[1]; key != "connector" && !mentioned(key) {
			t.Errorf("%s does not mention %q", p.path, key)
		}
	}
	if len(want) < 10 {
		t.Errorf("only %d options were found in sql/plan/config.go", len(want))
	}
}
