package jobmanager

import (
	"errors"
	"fmt"
	"html"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bramble-stream/bramble/engine/serve"
)

// probes are /healthz, which is well on a standby, too, /readyz, which is the leader's, and /metrics if there is a registry.
func (jm *JobManager) probes(r *prometheus.Registry) *http.ServeMux {
	return serve.PagesOf(func() error {
		switch role := jm.role.Load(); {
		case role.leads:
			return nil
		case role.leader != "":
			return fmt.Errorf("standby: the leader is at %s", role.leader)
		}
		return errors.New("not ready")
	}, r)
}

// writeStandby writes the page of a jobmanager that does not lead; of one that does it writes nothing and returns false.
func (jm *JobManager) writeStandby(w http.ResponseWriter) bool {
	role := jm.role.Load()
	if role.leads {
		return false
	}
	text := "This jobmanager stands by; nobody leads yet."
	if role.leader != "" {
		text = "This jobmanager stands by. The leader is at <code>" + html.EscapeString(role.leader) + "</code> (gRPC)."
	}
	if role.page != "" {
		text += ` <a href="` + html.EscapeString(role.page) + `">Its dashboard is at ` + html.EscapeString(role.page) + "</a>"
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(http.StatusServiceUnavailable)
	fmt.Fprintf(w, `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<link rel="icon" href="icon.svg"><title>Bramble</title><style>body{font:16px system-ui,sans-serif;margin:2rem}:root{color-scheme:light dark}</style></head>
<body><main><h1>Bramble %s</h1><p>%s</p></main><script>
const ask = () => fetch("").then((r) => r.text()).then((t) => t.includes(document.querySelector("p").innerHTML) || location.reload(), () => 0)
setInterval(ask, 3000)
</script></body></html>`, html.EscapeString(jm.cfg.Version), text)
	return true
}
