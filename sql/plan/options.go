package plan

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/internal/duration"
	"github.com/bramble-stream/bramble/sql/parse"
)

// tableOptions are the options that every table takes, whatever its connector.
var tableOptions = []op.Option{
	{Key: optIdle, Kind: op.OptionDuration, Only: "source"},
	{Key: optMaxFuture, Kind: op.OptionDuration, Only: "source"},
	{Key: optFallback, Kind: op.OptionDuration, Only: "source"},
	{Key: optAway, Kind: op.OptionDuration, Only: "source"},
	{Key: optBad, Kind: op.OptionEnum, Enum: []string{"fail", "drop", "dead-letter"}, Default: "drop"},
	{Key: optBadTable, Only: "source"},
	{Key: optLate, Default: "drop", Only: "source"},
	{Key: optScanParallelism, Kind: op.OptionInt, Only: "source"},
	{Key: optSinkParallelism, Kind: op.OptionInt, Only: "sink"},
}

// The keys of tableOptions.
const (
	optIdle      = "scan.watermark.idle-timeout"
	optMaxFuture = "scan.watermark.max-future"
	optFallback  = "scan.watermark.fallback"
	optAway      = "scan.watermark.away-timeout"
	optBad       = "bad-records"
	optBadTable  = "bad-records.table"
	optLate      = "late-records"
	optConnector = "connector"

	optScanParallelism = "scan.parallelism"
	optSinkParallelism = "sink.parallelism"
)

// Defaults of tableOptions. A sensor with a wrong clock is seldom less than a day ahead; half a minute is
// what someone waits for the last window of a sensor that went quiet. A broker's machine that restarts is back within five minutes, with what it
// has queued.
const (
	maxFutureDefaultMS = 24 * 60 * 60 * 1000
	fallbackMQTTMS     = 30 * 1000
	awayDefaultMS      = 5 * 60 * 1000
)

// commonOptions are tableOptions, read.
type commonOptions struct {
	idleMS      int64 // -1: not given
	maxFutureMS int64
	fallbackMS  int64
	awayMS      int64
	badTable    string
	lateTable   string
}

// readCommon reads tableOptions from checked options.
func readCommon(connector string, bounded bool, options map[string]string) commonOptions {
	ms := func(key string, def int64) int64 {
		v, ok := options[key]
		if !ok {
			return def
		}
		d, err := duration.Parse(v)
		if err != nil {
			return def
		}
		return d.Milliseconds()
	}
	c := commonOptions{idleMS: ms(optIdle, -1)}
	if !bounded {
		c.maxFutureMS, c.awayMS = maxFutureDefaultMS, awayDefaultMS
	}
	if connector == "mqtt" {
		c.fallbackMS = fallbackMQTTMS
	}
	c.maxFutureMS, c.fallbackMS, c.awayMS = ms(optMaxFuture, c.maxFutureMS), ms(optFallback, c.fallbackMS), ms(optAway, c.awayMS)
	if strings.EqualFold(options[optBad], "dead-letter") {
		c.badTable = options[optBadTable]
	}
	if l := options[optLate]; l != "" && l != "drop" {
		c.lateTable = l
	}
	return c
}

// findOption returns the descriptor of an option, the longest prefix winning.
func findOption(c *op.Connector, key string) *op.Option {
	var best *op.Option
	for _, list := range [][]op.Option{c.Options, tableOptions} {
		for i := range list {
			o := &list[i]
			if o.Key == key {
				return o
			}
			if o.Prefix && strings.HasPrefix(key, o.Key) && (best == nil || len(o.Key) > len(best.Key)) {
				best = o
			}
		}
	}
	return best
}

func optionKeys(c *op.Connector) []string {
	keys := []string{optConnector}
	for _, list := range [][]op.Option{c.Options, tableOptions} {
		for i := range list {
			keys = append(keys, list[i].Key)
		}
	}
	return keys
}

// checkOptions checks keys and values of a WITH clause or of OPTIONS hints, and returns all that is wrong.
func (p *planner) checkOptions(c *op.Connector, options []parse.Option) parse.ErrorList {
	var errs parse.ErrorList
	for i := range options {
		o := &options[i]
		if o.Key.Value == optConnector {
			continue
		}
		d := findOption(c, o.Key.Value)
		if d == nil {
			errs = append(errs, p.errorf(o.Key, parse.DidYouMean(o.Key.Value, optionKeys(c)),
				"connector %q has no option %q", c.Name, o.Key.Value))
			continue
		}
		if err := checkValue(d, o.Value.Value); err != nil {
			hint := ""
			if d.Kind == op.OptionEnum && !d.Secret {
				hint = parse.DidYouMean(o.Value.Value, d.Enum)
			}
			errs = append(errs, p.errorf(o.Value, hint, "%v", err))
		}
	}
	return errs
}

// checkValue checks a value by its option's kind. Values from elsewhere (${...}) are checked when they are read.
func checkValue(o *op.Option, v string) error {
	if strings.Contains(v, "${") {
		return nil
	}
	shown := strconv.Quote(v)
	if o.Secret {
		shown = "its value"
	}
	var err error
	var want string
	switch o.Kind {
	case op.OptionString:
		return nil
	case op.OptionInt:
		_, err = strconv.ParseInt(v, 10, 64)
		want = "a whole number"
	case op.OptionFloat:
		_, err = strconv.ParseFloat(v, 64)
		want = "a number"
	case op.OptionBool:
		if !strings.EqualFold(v, "true") && !strings.EqualFold(v, "false") {
			err = strconv.ErrSyntax
		}
		want = "true or false"
	case op.OptionDuration:
		_, err = duration.Parse(v)
		want = "a duration such as '10 s', '500 ms' or '1 min'"
	case op.OptionMemory:
		err = checkMemory(v)
		want = "a size such as '64 kb' or '1 mb'"
	case op.OptionEnum:
		for _, e := range o.Enum {
			if strings.EqualFold(e, v) {
				return nil
			}
		}
		return fmt.Errorf("option %q is %s; it must be one of %s", o.Key, shown, strings.Join(o.Enum, ", "))
	}
	if err != nil {
		return fmt.Errorf("option %q is %s; it must be %s", o.Key, shown, want)
	}
	return nil
}

// canonical spells an enum's value as the connector does: case does not matter in scripts.
func canonical(c *op.Connector, key, value string) string {
	if o := findOption(c, key); o != nil && o.Kind == op.OptionEnum {
		for _, e := range o.Enum {
			if strings.EqualFold(e, value) {
				return e
			}
		}
	}
	return value
}

// parallelismOf reads scan.parallelism or sink.parallelism; def where it is not given.
func parallelismOf(options map[string]string, key string, def int) int {
	if n, err := strconv.Atoi(options[key]); err == nil {
		return n
	}
	return def
}

func splitUnit(v string) (number, unit string) {
	v = strings.TrimSpace(v)
	i := strings.IndexFunc(v, func(r rune) bool { return !unicode.IsDigit(r) })
	if i < 0 {
		return v, ""
	}
	return v[:i], strings.ToLower(strings.TrimSpace(v[i:]))
}

func checkMemory(v string) error {
	n, unit := splitUnit(v)
	if _, err := strconv.ParseInt(n, 10, 64); err != nil {
		return err
	}
	if unit == "" || slices.Contains(strings.Fields("b bytes k kb kib kibibytes m mb mib mebibytes g gb gib gibibytes"), unit) {
		return nil
	}
	return fmt.Errorf("unknown unit %q", unit)
}

// checkUse checks a table as it is used, as source or sink: what is required, what means nothing there, and the connector's own check.
func (p *planner) checkUse(t *table, spec *graph.TableSpec, sink bool) error {
	use := asSource
	if sink {
		use = asSink
	}
	t.read, t.written = t.read || !sink, t.written || sink
	var missing []string
	for i := range t.connector.Options {
		o := &t.connector.Options[i]
		if _, ok := spec.Options[o.Key]; o.Required && !o.Prefix && !ok && (o.Only == "" || o.Only == use) {
			missing = append(missing, strconv.Quote(o.Key))
		}
	}
	if len(missing) > 0 {
		sort.Strings(missing)
		return p.errorf(t.def, "", "table %q lacks the option %s that connector %q needs as a %s",
			t.name, strings.Join(missing, ", "), t.connector.Name, use)
	}
	for key, v := range map[string]string{optScanParallelism: spec.Options[optScanParallelism], optSinkParallelism: spec.Options[optSinkParallelism]} {
		if n := parallelismOf(spec.Options, key, 1); n < 1 || n > parallelismMax {
			return p.errorf(p.optionNode(t, errors.New(strconv.Quote(key))), "", "option %q is %q; it must be from 1 to %d", key, v, parallelismMax)
		}
	}
	if t.connector.Check != nil {
		if err := t.connector.Check(spec, sink); err != nil {
			return p.errorf(p.optionNode(t, err), "", "table %q: %v", t.name, err)
		}
	}
	return nil
}

// How a table is used, as op.Option.Only says it.
const (
	asSource = "source"
	asSink   = "sink"
)

// onlyFor is the use in which an option with this value means something, "" for both.
func onlyFor(o *op.Option, value string) string {
	if o.Key == optBad && strings.EqualFold(value, "dead-letter") {
		return asSource // a sink may count what it cannot write, or fail; it has no rows to route
	}
	return o.Only
}

// checkDirections looks at options that mean nothing where their table is used, which is known at the end: one table may be both source and
// sink. Where rows would be missing in another table that is an error, else a warning: scripts share declarations.
func (p *planner) checkDirections() error {
	var errs parse.ErrorList
	names := make([]string, 0, len(p.cat.tables))
	for n := range p.cat.tables {
		names = append(names, n)
	}
	for _, n := range sorted(names) {
		t := p.cat.tables[n]
		if t.read == t.written {
			continue
		}
		use := asSource
		if t.written {
			use = asSink
		}
		for i := range t.def.Options {
			o := &t.def.Options[i]
			d := findOption(t.connector, o.Key.Value)
			if d == nil { // the connector's name
				continue
			}
			switch only := onlyFor(d, o.Value.Value); {
			case only == "" || only == use:
			case d.Key == optBad || d.Key == optBadTable || d.Key == optLate && o.Value.Value != "drop":
				errs = append(errs, p.errorf(o.Key, "leave it out", "option '%s' = '%s' routes rows of a %s, and %q is a %s only", d.Key, o.Value.Value, only, t.name, use))
			default:
				p.warnf(o.Key, "", "option %q has no effect: it is for a %s, and %q is a %s only", o.Key.Value, only, t.name, use)
			}
		}
	}
	return errs.Err()
}

// shownOption is an option's value for messages.
func shownOption(t *table, o *parse.Option) string {
	if d := findOption(t.connector, o.Key.Value); d != nil && d.Secret || looksSecret(o.Key.Value) {
		return "******"
	}
	return o.Value.Value
}

// optionNode guesses which option an error is about: one that it quotes. Otherwise it is the table.
func (p *planner) optionNode(t *table, err error) parse.Node {
	for i := range t.def.Options {
		if o := &t.def.Options[i]; o.Key.Known() && (strings.Contains(err.Error(), strconv.Quote(o.Key.Value)) || strings.Contains(err.Error(), "'"+o.Key.Value+"'")) {
			return o.Key
		}
	}
	return t.def
}

// masked prints options for plans: sorted, without secrets.
func masked(c *op.Connector, options map[string]string) []string {
	keys := make([]string, 0, len(options))
	for k := range options {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	out := make([]string, 0, len(keys))
	for _, k := range keys {
		v := options[k]
		if o := findOption(c, k); o != nil && o.Secret || looksSecret(k) {
			v = "******"
		}
		out = append(out, k+"="+maskURL(v))
	}
	return out
}

func looksSecret(key string) bool {
	k := strings.ToLower(key)
	for _, w := range []string{"password", "passwd", "secret", "token", "credential", "apikey", "api-key", "private"} {
		if strings.Contains(k, w) {
			return true
		}
	}
	return false
}

// maskURL hides the password of scheme://user:password@host, wherever it stands in v.
func maskURL(v string) string {
	var b strings.Builder
	for {
		i := strings.Index(v, "://")
		if i < 0 {
			b.WriteString(v)
			return b.String()
		}
		b.WriteString(v[:i+3])
		v = v[i+3:]
		end := strings.IndexAny(v, "/ ;,?#")
		if end < 0 {
			end = len(v)
		}
		at := strings.LastIndexByte(v[:end], '@')
		if at < 0 {
			// A password may hold any of the characters that end an authority.
			at = strings.LastIndexByte(v, '@')
		}
		if at >= 0 {
			user, _, has := strings.Cut(v[:at], ":")
			if has {
				user += ":******"
			}
			b.WriteString(user)
			v = v[at:]
		}
	}
}
