package plan

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/internal/duration"
	"github.com/bramble-stream/bramble/sql/parse"
)

// configKeys are the keys of SET and -D. Those marked Prefix take any ending.
var configKeys = []op.Option{
	{Key: "pipeline.name"},
	{Key: "parallelism.default", Kind: op.OptionInt},
	{Key: "pipeline.max-parallelism", Kind: op.OptionInt},
	{Key: "pipeline.operator-chaining.enabled", Kind: op.OptionBool},
	{Key: "execution.runtime-mode", Kind: op.OptionEnum, Enum: []string{"STREAMING", "AUTOMATIC"}},
	{Key: "execution.buffer-timeout", Kind: op.OptionDuration},
	{Key: "execution.buffer-timeout.interval", Kind: op.OptionDuration},
	{Key: "execution.checkpointing.interval", Kind: op.OptionDuration},
	{Key: "execution.checkpointing.mode", Kind: op.OptionEnum, Enum: []string{"EXACTLY_ONCE", "AT_LEAST_ONCE"}},
	{Key: "execution.checkpointing.timeout", Kind: op.OptionDuration},
	{Key: "execution.checkpointing.min-pause", Kind: op.OptionDuration},
	{Key: "execution.checkpointing.max-concurrent-checkpoints", Kind: op.OptionInt},
	{Key: "execution.checkpointing.tolerable-failed-checkpoints", Kind: op.OptionInt},
	{Key: "execution.checkpointing.num-retained", Kind: op.OptionInt},
	{Key: "execution.checkpointing.dir"},
	{Key: "execution.checkpointing.savepoint-dir"},
	{Key: "execution.checkpointing.incremental", Kind: op.OptionBool},
	{Key: "execution.checkpointing.unaligned.enabled", Kind: op.OptionBool},
	{
		Key: "execution.checkpointing.externalized-checkpoint-retention", Kind: op.OptionEnum,
		Enum: []string{"RETAIN_ON_CANCELLATION", "DELETE_ON_CANCELLATION", "NO_EXTERNALIZED_CHECKPOINTS"},
	},
	{Key: "execution.checkpointing.checkpoints-after-tasks-finish", Kind: op.OptionBool},
	{Key: "execution.checkpointing.verification.interval", Kind: op.OptionDuration},
	{Key: "execution.checkpointing.verification.bytes-per-second", Kind: op.OptionInt},
	{Key: "execution.state-recovery.from-local", Kind: op.OptionBool},
	{Key: "restart-strategy"},
	{
		Key: "restart-strategy.type", Kind: op.OptionEnum,
		Enum: []string{"none", "disable", "off", "fixed-delay", "failure-rate", "exponential-delay"},
	},
	{Key: "restart-strategy.fixed-delay.attempts", Kind: op.OptionInt},
	{Key: "restart-strategy.fixed-delay.delay", Kind: op.OptionDuration},
	{Key: "restart-strategy.failure-rate.delay", Kind: op.OptionDuration},
	{Key: "restart-strategy.failure-rate.failure-rate-interval", Kind: op.OptionDuration},
	{Key: "restart-strategy.failure-rate.max-failures-per-interval", Kind: op.OptionInt},
	{Key: "restart-strategy.exponential-delay.initial-backoff", Kind: op.OptionDuration},
	{Key: "restart-strategy.exponential-delay.max-backoff", Kind: op.OptionDuration},
	{Key: "restart-strategy.exponential-delay.backoff-multiplier", Kind: op.OptionFloat},
	{Key: "restart-strategy.exponential-delay.reset-backoff-threshold", Kind: op.OptionDuration},
	{Key: "restart-strategy.exponential-delay.jitter-factor", Kind: op.OptionFloat},
	{Key: "restart-strategy.exponential-delay.attempts-before-reset-backoff", Kind: op.OptionInt},
	{Key: "table.exec.state.ttl", Kind: op.OptionDuration},
	{Key: "table.exec.source.idle-timeout", Kind: op.OptionDuration},
	{Key: "table.exec.sink.not-null-enforcer", Kind: op.OptionEnum, Enum: []string{"ERROR", "DROP"}},
	{Key: "table.exec.mini-batch.enabled", Kind: op.OptionBool},
	{Key: "table.exec.mini-batch.allow-latency", Kind: op.OptionDuration},
	{Key: "table.exec.mini-batch.size", Kind: op.OptionInt},
	{Key: "table.optimizer.agg-phase-strategy", Kind: op.OptionEnum, Enum: []string{"AUTO", "ONE_PHASE", "TWO_PHASE"}},
	{Key: "table.optimizer.distinct-agg.split.enabled", Kind: op.OptionBool},
	{Key: "table.local-time-zone"},
}

// ignoredConfig are prefixes of keys that mean something to Flink's SQL client only.
var ignoredConfig = []string{"sql-client."}

// defaultMaxParallelism is Flink's: the number of key groups of a job.
const defaultMaxParallelism = 128

// parallelismMax is the most key groups, as in Flink.
const parallelismMax = 1 << 15

// config holds what SET and -D said.
type config struct {
	values map[string]string
	where  map[string]parse.Node
}

func newConfig() *config {
	return &config{values: map[string]string{}, where: map[string]parse.Node{}}
}

// set takes SET 'k' = 'v'.
func (c *config) set(p *planner, s *parse.Set) error {
	key := s.Key.Value
	if key == "" {
		return p.errorf(s, "", "SET without a key lists nothing here; write SET 'key' = 'value'")
	}
	if ignored(key) {
		p.warnf(s.Key, "", "%q concerns Flink's SQL client and is ignored", key)
		return nil
	}
	o, err := knownConfig(key)
	if err != nil {
		return p.errorf(s.Key, nearestConfig(key), "%v", err)
	}
	if err := checkConfig(o, s.Value.Value); err != nil {
		return p.errorf(s.Value, "", "%v", err)
	}
	c.values[key], c.where[key] = canonConfig(o, s.Value.Value), s
	return nil
}

func (c *config) reset(key string) {
	if key == "" {
		clear(c.values)
		return
	}
	delete(c.values, key)
}

func ignored(key string) bool {
	for _, p := range ignoredConfig {
		if strings.HasPrefix(key, p) {
			return true
		}
	}
	return false
}

func knownConfig(key string) (*op.Option, error) {
	for i := range configKeys {
		if configKeys[i].Key == key {
			return &configKeys[i], nil
		}
	}
	return nil, fmt.Errorf("unknown option %q", key)
}

func nearestConfig(key string) string {
	keys := make([]string, len(configKeys))
	for i := range configKeys {
		keys[i] = configKeys[i].Key
	}
	return parse.DidYouMean(key, keys)
}

func checkConfig(o *op.Option, value string) error {
	// Flink's enums ignore case and take - for _.
	value = canonConfig(o, value)
	if err := checkValue(o, value); err != nil {
		return err
	}
	n, _ := strconv.Atoi(value)
	switch o.Key {
	case "parallelism.default", "pipeline.max-parallelism":
		if n < 1 || n > parallelismMax {
			return fmt.Errorf("%q is %s; it must be from 1 to %d", o.Key, value, parallelismMax)
		}
	case "table.local-time-zone":
		if _, err := time.LoadLocation(value); err != nil || value == "" {
			return fmt.Errorf("%q is not a time zone; write one like Europe/Berlin or UTC", value)
		}
	}
	return nil
}

// canonConfig spells an enum's value as Flink's documentation does.
func canonConfig(o *op.Option, value string) string {
	if o.Kind == op.OptionEnum {
		return canonEnum(value, o.Enum)
	}
	return value
}

func canonEnum(value string, enum []string) string {
	fold := func(s string) string { return strings.ToUpper(strings.ReplaceAll(s, "-", "_")) }
	for _, e := range enum {
		if fold(e) == fold(value) {
			return e
		}
	}
	return value
}

// merge lays Options over the script's settings and checks what depends on several. Values of -D have no position.
func (c *config) merge(p *planner) error {
	keys := make([]string, 0, len(p.o.Config))
	for k := range p.o.Config {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	var errs parse.ErrorList
	for _, k := range keys {
		if !strings.Contains(k, ".") && k != "restart-strategy" || ignored(k) {
			continue
		}
		o, err := knownConfig(k)
		hint := ""
		if err != nil {
			hint = nearestConfig(k)
		} else {
			err = checkConfig(o, p.o.Config[k])
		}
		if err != nil {
			errs = append(errs, &parse.Error{File: "-D " + k, Msg: err.Error(), Hint: hint})
			continue
		}
		c.values[k] = canonConfig(o, p.o.Config[k])
		delete(c.where, k)
	}
	if p.o.Parallelism > 0 {
		c.values["parallelism.default"] = strconv.Itoa(p.o.Parallelism)
		delete(c.where, "parallelism.default")
	}
	if par, most := c.parallelism(), c.maxParallelism(); par > most {
		where := c.where["parallelism.default"]
		if where == nil {
			where = startOf(p.ast)
		}
		errs = append(errs, p.errorf(where, "set pipeline.max-parallelism", "the parallelism %d is above the maximum of %d", par, most))
	}
	return errs.Err()
}

func (c *config) value(key string) string { return c.values[key] }

func (c *config) parallelism() int {
	if n, err := strconv.Atoi(c.values["parallelism.default"]); err == nil && n > 0 {
		return n
	}
	return 1
}

func (c *config) maxParallelism() int {
	if n, err := strconv.Atoi(c.values["pipeline.max-parallelism"]); err == nil && n > 0 {
		return n
	}
	return defaultMaxParallelism
}

// durationMS returns a duration in ms, 0 if the key is not set.
func (c *config) durationMS(key string) int64 {
	d, err := duration.Parse(c.values[key])
	if err != nil {
		return 0
	}
	return d.Milliseconds()
}

func (c *config) flag(key string, def bool) bool {
	if v, err := strconv.ParseBool(c.values[key]); err == nil {
		return v
	}
	return def
}
