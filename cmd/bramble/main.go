// Command bramble is the command line; see internal/app/cli for what it does.
package main

import (
	"os"

	"github.com/bramble-stream/bramble/internal/app"
	"github.com/bramble-stream/bramble/internal/app/cli"
)

func main() { os.Exit(app.Main(cli.Command(cli.Hooks{Demo: cli.RunDemo}))) }
