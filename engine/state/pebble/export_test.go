package pebble

// SetRunsLeast has chains begin anew however little is in them.
func (s *Store) SetRunsLeast(bytes int64) { s.chain.least = bytes }
