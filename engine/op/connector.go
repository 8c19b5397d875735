package op

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/vec"
)

// Connector describes an outside system: which options a table of it takes, and how to read and write one.
// The built-in ones are listed in connectors/all.
type Connector struct {
	// Name is what 'connector' = '…' says.
	Name string
	// Options lists every key; unknown keys are refused with the nearest one named.
	Options []Option
	// Metadata lists the metadata columns that a table may declare.
	Metadata []MetadataKey
	// Check validates a table beyond the options' own checks: combinations, and that the schema suits. It does no I/O.
	Check func(t *graph.TableSpec, asSink bool) error
	// Bounded reports whether the table's splits end. nil: never.
	Bounded func(t *graph.TableSpec) bool
	// Modes are the changelog modes that the sink takes, best first; nil when there is no sink. One that has Upsert first and Retract too does not mind
	// by which key rows come: it is given changes without -U.
	Modes func(t *graph.TableSpec) []graph.ChangelogMode
	// Splits lists what there is to read, for a source vertex of the given parallelism. It is called once when a job starts, in the
	// jobmanager; an outside system that is away must not make it fail. nil when there is no source.
	Splits func(ctx context.Context, t *graph.TableSpec, parallelism int) ([]Split, error)
	// NewSource and NewSink make the parts that run in a task; nil when the connector has none.
	NewSource func(t *graph.TableSpec) (Source, error)
	NewSink   func(t *graph.TableSpec) (Sink, error)
}

// Option describes one key of a WITH clause.
type Option struct {
	Key string
	// Kind is how the value is checked: string, int, bool, duration, enum, memory.
	Kind OptionKind
	// Enum lists the values of an OptionEnum.
	Enum     []string
	Default  string
	Required bool
	// Secret values never appear in plans, logs or pages.
	Secret bool
	// Prefix says that Key is a prefix, such as "fields." of datagen.
	Prefix bool
	// Only is "source" or "sink" when the key means nothing to the other, else "".
	Only string
	Doc  string
}

// OptionKind is how an option's value is checked.
type OptionKind uint8

// The option kinds. Durations are Flink's: "10 s", "500 ms", "1 min"; memory "64 kb".
const (
	OptionString OptionKind = iota
	OptionInt
	OptionFloat
	OptionBool
	OptionDuration
	OptionEnum
	OptionMemory
)

// MetadataKey is a metadata column that a connector offers.
type MetadataKey struct {
	Key  string
	Type vec.Type
	// Writable: a sink takes it as input.
	Writable bool
	Doc      string
}

// ResolveSecret returns an option's value with ${file:/path} replaced by that file's content (its last newline cut).
func ResolveSecret(value string) (string, error) {
	const open = "${file:"
	for {
		i := strings.Index(value, open)
		if i < 0 {
			return value, nil
		}
		j := strings.IndexByte(value[i:], '}')
		if j < 0 {
			return "", fmt.Errorf("%q: missing } after ${file:", value)
		}
		path := value[i+len(open) : i+j]
		content, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("read secret: %w", err)
		}
		value = value[:i] + strings.TrimRight(string(content), "\r\n") + value[i+j+1:]
	}
}
