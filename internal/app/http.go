package app

import (
	"errors"

	"github.com/spf13/pflag"

	"github.com/bramble-stream/bramble/connectors/all"
	"github.com/bramble-stream/bramble/engine/agg"
	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/jobmanager"
	"github.com/bramble-stream/bramble/engine/rest"
	"github.com/bramble-stream/bramble/examples"
	"github.com/bramble-stream/bramble/sql/complete"
	"github.com/bramble-stream/bramble/sql/parse"
	"github.com/bramble-stream/bramble/sql/plan"
	"github.com/bramble-stream/bramble/web"
)

// withLanguage gives the HTTP server what it needs of SQL, and scripts to begin with.
func withLanguage(h jobmanager.HTTP) jobmanager.HTTP {
	h.Substitute, h.Complete, h.Diagnose = substituteSettings, completer(), diagnose
	h.Statement, h.Settings = readStatement, plan.Settings()
	h.UI = web.Handler()
	for _, e := range examples.All() {
		h.Examples = append(h.Examples, rest.Example{Name: e.Name, Title: e.Title, Script: e.Script})
	}
	return h
}

// CompleteFunc proposes how a script may go on at a line and column, which count from 1.
type CompleteFunc = func(script string, line, column int) rest.Completion

// Completer proposes out of what this program has.
func Completer() CompleteFunc { return completer() }

func completer() CompleteFunc {
	catalog := complete.Catalog{
		Connectors: all.Connectors(), TableOptions: plan.TableOptions(), Settings: plan.Settings(), Functions: expr.Functions(), Aggregates: agg.Functions(),
	}
	return func(script string, line, column int) rest.Completion {
		r := complete.At(script, line, column, catalog)
		c := rest.Completion{From: rest.Position{Line: line, Column: r.Column}, Items: []rest.CompletionItem{}}
		for _, i := range r.Items {
			c.Items = append(c.Items, rest.CompletionItem(i))
		}
		return c
	}
}

// substituteSettings takes variables from the settings alone: the server's environment is not for those who submit.
func substituteSettings(script string, settings map[string]string) (string, error) {
	return parse.Substitute(script, func(name string) (string, bool) {
		v, ok := settings[name]
		return v, ok
	})
}

// diagnose finds the positions of the planner's errors.
func diagnose(err error) []rest.Diagnostic {
	var list parse.ErrorList
	var one *parse.Error
	if !errors.As(err, &list) && errors.As(err, &one) {
		list = parse.ErrorList{one}
	}
	var all []rest.Diagnostic
	for _, e := range list {
		d := rest.Diagnostic{Line: e.Line, Column: e.Col, Message: e.Msg}
		if e.Hint != "" {
			d.Message += "; " + e.Hint
		}
		all = append(all, d)
	}
	return all
}

// httpFlags are those of the HTTP server. The returned function takes in what was said, once flags are parsed.
func httpFlags(fs *pflag.FlagSet, h *jobmanager.HTTP) func() {
	readOnly := fs.Bool("http-read-only", false, "refuse over HTTP what changes something\n(default: only when others than this machine reach the port and no token is set)")
	fs.StringVar(&h.BindHost, "http-bind-host", "", "address that the HTTP port listens on (default --bind-host)")
	fs.StringVar(&h.TokenFile, "http-token-file", "", "file with the token that HTTP clients have to show (none by default)")
	fs.StringVar(&h.TLSCert, "http-tls-cert", "", "certificate of the HTTP port, a PEM file; with --http-tls-key: HTTPS only")
	fs.StringVar(&h.TLSKey, "http-tls-key", "", "key of the certificate, a PEM file")
	return func() {
		if fs.Changed("http-read-only") {
			h.ReadOnly = readOnly
		}
	}
}
