// Command jobmanager is one of the three programs; see internal/app for what it does.
package main

import (
	"os"

	"github.com/bramble-stream/bramble/internal/app"
	"github.com/bramble-stream/bramble/internal/app/storage"
)

func main() { os.Exit(app.Main(app.JobManagerCommand(storage.Openers))) }
