package plan

import (
	"slices"

	"github.com/bramble-stream/bramble/engine/op"
)

// TableOptions are the options that tables of every connector take.
func TableOptions() []op.Option { return slices.Clone(tableOptions) }

// Settings are the keys that SET and -D take.
func Settings() []string {
	var keys []string
	for i := range configKeys {
		keys = append(keys, configKeys[i].Key)
	}
	return keys
}
