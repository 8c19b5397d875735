// Command profiled is the taskmanager that e2e runs with -profile: it writes a CPU profile of its life to the file that BRAMBLE_E2E_PROFILE names. The released
// taskmanager serves no profiles.
package main

import (
	"fmt"
	"os"
	"runtime/pprof"

	"github.com/bramble-stream/bramble/internal/app"
)

func main() {
	f, err := os.Create(os.Getenv("BRAMBLE_E2E_PROFILE"))
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "profiled:", err)
		os.Exit(app.ExitFailed)
	}
	code := app.Main(app.TaskManagerCommand())
	pprof.StopCPUProfile()
	if err := f.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "profiled:", err)
	}
	os.Exit(code)
}
