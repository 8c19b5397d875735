//go:build !unix

package serve

import "time"

// cpuTime is not known here.
func cpuTime() time.Duration { return 0 }
