package all

import (
	"maps"
	"slices"
	"testing"

	"github.com/bramble-stream/bramble/engine/op"
)

func TestConnectors(t *testing.T) {
	all := Connectors()
	want := []string{"blackhole", "datagen", "filesystem", "mqtt", "nexmark", "print", "redis", "redis-stream"}
	if got := slices.Sorted(maps.Keys(all)); !slices.Equal(got, want) {
		t.Fatalf("connectors %v, want %v", got, want)
	}
	for name, c := range all {
		if c.Name != name || c.NewSource == nil && c.NewSink == nil || (c.NewSource == nil) != (c.Splits == nil) || (c.NewSink == nil) != (c.Modes == nil) {
			t.Errorf("%s is not whole", name)
		}
		keys := map[string]bool{}
		for _, o := range c.Options {
			if keys[o.Key] {
				t.Errorf("%s has the option %s twice", name, o.Key)
			}
			keys[o.Key] = true
			if o.Doc == "" || o.Only != "" && o.Only != "source" && o.Only != "sink" || (o.Kind == op.OptionEnum) != (len(o.Enum) > 0) {
				t.Errorf("%s: option %s is not described", name, o.Key)
			}
			if o.Kind == op.OptionEnum && o.Default != "" && !slices.Contains(o.Enum, o.Default) {
				t.Errorf("%s: option %s has the default %q, which is none of %v", name, o.Key, o.Default, o.Enum)
			}
		}
		for _, m := range c.Metadata {
			if m.Doc == "" {
				t.Errorf("%s: metadata %s is not described", name, m.Key)
			}
		}
	}
}
