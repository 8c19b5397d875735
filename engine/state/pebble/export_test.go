package pebble

import "context"

// SetRunsLeast has chains begin anew however little is in them.
func (s *Store) SetRunsLeast(bytes int64) { s.chain.least = bytes }

// Compact merges all tables. Pebble repeats a compaction that fails until ctx ends.
func (s *Store) Compact(ctx context.Context) error {
	return s.db.Compact(ctx, []byte{0}, []byte{0xff}, false)
}
