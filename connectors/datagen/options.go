// Package datagen is a source of made-up rows, with the options of Flink's datagen connector: each column random or a sequence.
// A row is a function of its number and the seed, but for times, which are those of the clock. It has no sink.
package datagen

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/vec"
)

// Connector returns the description of 'connector' = 'datagen'.
func Connector() *op.Connector {
	return &op.Connector{
		Name: "datagen",
		Options: []op.Option{
			{Key: "rows-per-second", Kind: op.OptionInt, Default: "10000", Doc: "rate over all tasks; 0: as fast as rows are taken"},
			{Key: "number-of-rows", Kind: op.OptionInt, Doc: "how many rows there are (default: they never end, unless a sequence does)"},
			{Key: "seed", Kind: op.OptionInt, Doc: "makes the same rows each time (default: other rows each time that the job is submitted)"},
			{Key: "fields.", Prefix: true, Doc: "fields.<column>.kind: random (default) or sequence; .start and .end of a sequence, which ends the table; " +
				".min and .max of random numbers; .length of strings (100) and collections (3); .var-len: lengths up to .length; .null-rate; " +
				".max-past of a TIMESTAMP, back from now. Fields of a ROW are fields.<column>.<field>, elements fields.<column>.element, .key, .value"},
		},
		Check: func(t *graph.TableSpec, asSink bool) error {
			if asSink {
				return errors.New("connector datagen has no sink")
			}
			_, err := newPlan(t, true)
			return err
		},
		Bounded: func(t *graph.TableSpec) bool { p, err := newPlan(t, false); return err == nil && p.rows != unbounded },
		Splits:  splits,
		NewSource: func(t *graph.TableSpec) (op.Source, error) {
			p, err := newPlan(t, false)
			return &source{plan: p}, err
		},
	}
}

const unbounded = math.MaxInt64

// plan is what a table's options come to.
type plan struct {
	// rate is rows a second, 0: unlimited. rows is how many there are, or unbounded.
	rate, rows int64
	seed       uint64
	columns    []maker
}

// newPlan reads the options. strict refuses options of columns that are not there; without it they may have been projected away.
func newPlan(t *graph.TableSpec, strict bool) (*plan, error) {
	p := &plan{rate: 10000, rows: unbounded}
	r := &reader{options: t.Options, used: map[string]bool{}}
	if v, ok := r.integer("rows-per-second"); ok {
		p.rate = v
	}
	if v, ok := r.integer("number-of-rows"); ok {
		p.rows = v
	}
	seed, _ := r.integer("seed")
	p.seed = uint64(seed)
	if (p.rate < 0 || p.rows < 0) && r.err == nil {
		r.err = errors.New("'rows-per-second' and 'number-of-rows' cannot be below 0")
	}
	for _, f := range t.Schema.Fields {
		p.columns = append(p.columns, r.maker("fields."+f.Name, f.Type))
	}
	// All sequences bound the table, also those of columns that nobody reads.
	for key := range t.Options {
		if path, ok := strings.CutSuffix(key, ".kind"); ok && strings.HasPrefix(key, "fields.") && t.Options[key] == sequenceKind {
			if start, end, ok := r.bounds(path); ok {
				p.rows = min(p.rows, end-start+1)
			}
		}
		if strict && strings.HasPrefix(key, "fields.") && !r.used[key] && r.err == nil {
			r.err = fmt.Errorf("option '%s' fits no column of table %s and its type", key, t.Name)
		}
	}
	return p, r.err
}

// reader reads options and keeps the first error.
type reader struct {
	options map[string]string
	used    map[string]bool
	err     error
}

func (r *reader) get(key string) (string, bool) {
	r.used[key] = true
	v, ok := r.options[key]
	return v, ok
}

func (r *reader) fail(key, value, want string) {
	if r.err == nil {
		r.err = fmt.Errorf("option '%s' = '%s' is no %s", key, value, want)
	}
}

func (r *reader) integer(key string) (int64, bool) {
	v, ok := r.get(key)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		r.fail(key, v, "whole number")
	}
	return n, err == nil
}

func (r *reader) float(key string, otherwise float64) float64 {
	v, ok := r.get(key)
	if !ok {
		return otherwise
	}
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		r.fail(key, v, "number")
	}
	return f
}

func (r *reader) bounds(path string) (start, end int64, ok bool) {
	start, ok1 := r.integer(path + ".start")
	end, ok2 := r.integer(path + ".end")
	if r.err == nil && (!ok1 || !ok2) {
		r.err = fmt.Errorf("a sequence needs the options '%s.start' and '%s.end'", path, path)
	}
	if r.err == nil && (end < start || end-start < 0 || end-start == math.MaxInt64) {
		r.err = fmt.Errorf("'%s.start' and '.end' hold no sequence: %d to %d", path, start, end)
	}
	return start, end, r.err == nil
}

// splits deals the rows out to the tasks in turn. A seed that the user did not choose is chosen here, so that a restarted task
// goes on with the same rows.
func splits(_ context.Context, t *graph.TableSpec, parallelism int) ([]op.Split, error) {
	p, err := newPlan(t, false)
	if err != nil {
		return nil, err
	}
	if _, ok := t.Options["seed"]; !ok {
		var b [8]byte
		if _, err := rand.Read(b[:]); err != nil {
			return nil, fmt.Errorf("choose a seed: %w", err)
		}
		p.seed = binary.LittleEndian.Uint64(b[:])
	}
	out := make([]op.Split, parallelism)
	for i := range out {
		out[i] = op.Split{ID: fmt.Sprintf("rows-%d-of-%d", i, parallelism), Pos: position{Seed: p.seed}.encode()}
	}
	return out, nil
}

// canCount reports the kinds that a sequence may have.
func canCount(k vec.Kind) bool {
	return k.IsInteger() || k == vec.Float32 || k == vec.Float64 || k == vec.Decimal || k == vec.String
}
