package app

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"github.com/bramble-stream/bramble/engine/serve"
)

// healthMax is how long --health waits: a Pi that swaps answers late, and an orchestrator waits longer than this.
const healthMax = 5 * time.Second

const healthFlag = "health"

// addHealth gives a server's command --health. An image made from nothing has no curl or shell to ask with, so the program asks itself.
func addHealth(fs *pflag.FlagSet) *bool {
	return fs.Bool(healthFlag, false, "ask the one that runs here with these settings whether it is healthy, and end: exit code 0, else 1")
}

// checkHealth asks the process that serves on the metrics port of this machine. It says whether the process lives, not whether
// it has a jobmanager: to kill a taskmanager because its jobmanager is away would mend nothing.
func checkHealth(ctx context.Context, host string, port int) error {
	if port == serve.Off {
		return Usagef("--%s asks on the metrics port, which --metrics-port %d switches off", healthFlag, port)
	}
	if port == 0 {
		return Usagef("--%s asks on the metrics port: --metrics-port 0 does not say which", healthFlag)
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = loopback
	}
	ctx, cancel := context.WithTimeout(ctx, healthMax)
	defer cancel()
	url := "http://" + net.JoinHostPort(host, strconv.Itoa(port)) + "/healthz"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("not healthy: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // only its status counts
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not healthy: %s answers %s", url, resp.Status)
	}
	return nil
}
