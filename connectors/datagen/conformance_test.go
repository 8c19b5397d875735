package datagen

import (
	"testing"

	"github.com/bramble-stream/bramble/connectors/conformance"
	"github.com/bramble-stream/bramble/engine/vec"
)

func TestSourceConformance(t *testing.T) {
	conformance.Source(t, conformance.SourceConfig{Connector: Connector(), Replays: true, Makes: true, New: func(*testing.T) conformance.SourceTable {
		schema := vec.NewSchema(vec.Field{Name: "n", Type: vec.TypeInt64}, vec.Field{Name: "s", Type: vec.TypeString})
		return conformance.SourceTable{Table: table(schema, "fields.n.kind", "sequence", "fields.n.start", "0", "fields.n.end", "9999"), Total: 10000}
	}})
}
