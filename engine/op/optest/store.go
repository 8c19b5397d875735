package optest

import (
	"fmt"
	"os"

	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/state/mem"
	"github.com/bramble-stream/bramble/engine/state/pebble"
)

// openStore opens an empty store. Pebble's directory is a temporary one that goes when the store is closed.
func openStore(onDisk bool, merge state.MergeFunc) (state.Store, error) {
	if !onDisk {
		return mem.New(merge), nil
	}
	dir, err := os.MkdirTemp("", "optest-")
	if err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	return pebble.Open(pebble.Options{Dir: dir, Instance: "optest", Merge: merge, MemoryBytes: pebble.MinMemoryBytes})
}
