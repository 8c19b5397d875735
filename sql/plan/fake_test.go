package plan_test

import (
	"errors"
	"strings"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/vec"
)

// connectors is a catalog with the shapes of the real connectors and none of their code.
func connectors() map[string]*op.Connector {
	source := func(*graph.TableSpec) (op.Source, error) { return nil, errors.New("not run") }
	sink := func(*graph.TableSpec) (op.Sink, error) { return nil, errors.New("not run") }
	modes := func(m ...graph.ChangelogMode) func(*graph.TableSpec) []graph.ChangelogMode {
		return func(*graph.TableSpec) []graph.ChangelogMode { return m }
	}
	format := op.Option{Key: "format", Kind: op.OptionEnum, Enum: []string{"json", "csv", "raw"}, Default: "json"}
	list := []*op.Connector{
		{
			Name: "mqtt",
			Options: []op.Option{
				{Key: "url", Required: true},
				{Key: "topic", Required: true},
				{Key: "qos", Kind: op.OptionEnum, Enum: []string{"0", "1", "2"}},
				{Key: "username"},
				{Key: "password", Secret: true},
				{Key: "clean-session", Kind: op.OptionBool, Only: "source"},
				{Key: "retain", Kind: op.OptionBool, Only: "sink"},
				format,
			},
			Metadata: []op.MetadataKey{
				{Key: "topic", Type: vec.TypeString}, {Key: "qos", Type: vec.TypeInt32}, {Key: "received_at", Type: vec.TypeTimestampLTZ},
			},
			NewSource: source, NewSink: sink, Modes: modes(graph.Append),
			Check: func(t *graph.TableSpec, asSink bool) error {
				if asSink && strings.ContainsAny(t.Options["topic"], "#+") {
					return errors.New(`option "topic" of a sink must not hold wildcards`)
				}
				return nil
			},
		},
		{
			Name: "redis", Options: []op.Option{{Key: "url", Required: true}, {Key: "key"}, {Key: "ttl", Kind: op.OptionDuration}},
			NewSink: sink, Modes: modes(graph.Upsert),
		},
		{
			Name: "filesystem", Options: []op.Option{{Key: "path", Required: true}, format, {Key: "sink.", Prefix: true}},
			Bounded: func(*graph.TableSpec) bool { return true }, NewSource: source, NewSink: sink, Modes: modes(graph.Append),
		},
		{
			Name: "nexmark", Options: []op.Option{{Key: "events.num", Kind: op.OptionInt}, {Key: "first-event.rate", Kind: op.OptionInt}},
			Bounded: func(t *graph.TableSpec) bool { return t.Options["events.num"] != "" }, NewSource: source,
		},
		{Name: "datagen", Options: []op.Option{{Key: "rows-per-second", Kind: op.OptionInt}, {Key: "fields.", Prefix: true}}, NewSource: source},
		{Name: "print", NewSink: sink, Modes: modes(graph.Retract, graph.Append)},
		{Name: "blackhole", NewSink: sink, Modes: modes(graph.Retract, graph.Append)},
		{Name: "unkeyed", NewSink: sink, Modes: modes(graph.Upsert, graph.Append, graph.Retract)},
	}
	out := map[string]*op.Connector{}
	for _, c := range list {
		out[c.Name] = c
	}
	return out
}
