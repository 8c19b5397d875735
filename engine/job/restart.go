package job

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/internal/duration"
)

// StrategyKind is how a job that failed is started again. The words are Flink's.
type StrategyKind uint8

// The kinds of strategies.
const (
	// NoRestart: the first failure is the end.
	NoRestart StrategyKind = iota
	// FixedDelay: a number of times, each after the same pause.
	FixedDelay
	// FailureRate: as long as failures are not too many within an interval.
	FailureRate
	// ExponentialDelay: after pauses that grow, and shrink back once the job has run well for a while.
	ExponentialDelay
)

var strategyNames = [...]string{"none", "fixed-delay", "failure-rate", "exponential-delay"}

func (k StrategyKind) String() string { return strategyNames[k] }

// Strategy decides whether and when a job that failed is started again. Only the fields of its Kind matter.
type Strategy struct {
	Kind StrategyKind
	// DelayMS is the pause of FixedDelay and FailureRate.
	DelayMS int64
	// Attempts is how often FixedDelay starts again; of ExponentialDelay how often before the pause is to be back at its first, -1 for any.
	Attempts int
	// FailuresMax is what FailureRate takes within IntervalMS.
	FailuresMax int
	IntervalMS  int64
	// InitialMS is the first pause of ExponentialDelay, each next one is Multiplier times as long, at most MaxMS, and differs by a share of
	// up to Jitter. After ResetMS without failure the first pause comes again.
	InitialMS, MaxMS, ResetMS int64
	Multiplier, Jitter        float64
	// Random is in [0, 1) for the jitter; nil for none.
	Random func() float64
}

// The keys of the options, which are Flink's.
const (
	keyStrategy    = "restart-strategy.type"
	keyStrategyOld = "restart-strategy"
	prefixStrategy = "restart-strategy."
)

// ParseStrategy reads a job's options. Without one that names a strategy it is exponential-delay with checkpoints, else none.
func ParseStrategy(config map[string]string, checkpointing bool) (Strategy, error) {
	name := config[keyStrategy]
	if name == "" {
		name = config[keyStrategyOld]
	}
	if name == "" && checkpointing {
		name = ExponentialDelay.String()
	}
	o := options{config: config}
	var s Strategy
	switch strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), "-", "") {
	case "", "none", "off", "disable":
	case "fixeddelay":
		s = Strategy{
			Kind: FixedDelay, Attempts: o.count(prefixStrategy+"fixed-delay.attempts", 1),
			DelayMS: o.duration(prefixStrategy+"fixed-delay.delay", 1000),
		}
	case "failurerate":
		s = Strategy{
			Kind: FailureRate, FailuresMax: o.count(prefixStrategy+"failure-rate.max-failures-per-interval", 1),
			IntervalMS: o.duration(prefixStrategy+"failure-rate.failure-rate-interval", 60_000),
			DelayMS:    o.duration(prefixStrategy+"failure-rate.delay", 1000),
		}
	case "exponentialdelay":
		const p = prefixStrategy + "exponential-delay."
		s = Strategy{
			Kind: ExponentialDelay, InitialMS: o.duration(p+"initial-backoff", 1000), MaxMS: o.duration(p+"max-backoff", 60_000),
			ResetMS: o.duration(p+"reset-backoff-threshold", 3_600_000), Multiplier: o.factor(p+"backoff-multiplier", 1.5, 1, 1000),
			Jitter: o.factor(p+"jitter-factor", 0.1, 0, 1), Attempts: o.count(p+"attempts-before-reset-backoff", -1),
		}
		s.MaxMS = max(s.MaxMS, s.InitialMS)
	default:
		return s, fmt.Errorf("%s: there is no %q; there are none, fixed-delay, failure-rate and exponential-delay", keyStrategy, name)
	}
	return s, o.err
}

// options reads values of a job's configuration, and keeps the first error.
type options struct {
	config map[string]string
	err    error
}

func (o *options) fail(key, value, want string) {
	if o.err == nil {
		o.err = fmt.Errorf("%s: %q is not %s", key, value, want)
	}
}

func (o *options) duration(key string, def int64) int64 {
	text := o.config[key]
	if text == "" {
		return def
	}
	d, err := duration.Parse(text)
	if err != nil {
		o.fail(key, text, "a duration such as '10 s'")
	}
	return d.Milliseconds()
}

func (o *options) count(key string, def int) int {
	text := strings.TrimSpace(o.config[key])
	if text == "" || strings.EqualFold(text, "infinite") {
		return def
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 0 {
		o.fail(key, text, "a number of times")
	}
	if n == math.MaxInt32 && def < 0 {
		return -1 // Flink's way to say infinite
	}
	return int(n)
}

func (o *options) factor(key string, def, least, most float64) float64 {
	text := strings.TrimSpace(o.config[key])
	if text == "" {
		return def
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f >= least && f <= most) {
		o.fail(key, text, fmt.Sprintf("a number from %g to %g", least, most))
		return def
	}
	return f
}

// restarts is what a strategy remembers.
type restarts struct {
	strategy Strategy
	// count is how many there were; failedAt are the times of failures that FailureRate still counts, lastAt the latest.
	count    int
	failedAt []stream.Time
	lastAt   stream.Time
	// backoffMS is the latest pause of ExponentialDelay, 0 before the first; tries is how many had it grow.
	backoffMS int64
	tries     int
}

// next takes note of a failure and returns the pause before the next start. ok is false when there is none; why says what was used up.
func (r *restarts) next(now stream.Time) (delayMS int64, ok bool, why string) {
	s := &r.strategy
	switch s.Kind {
	case NoRestart:
		return 0, false, ""
	case FixedDelay:
		if r.count >= s.Attempts {
			return 0, false, fmt.Sprintf("%d restarts were allowed (%sfixed-delay.attempts)", s.Attempts, prefixStrategy)
		}
		delayMS = s.DelayMS
	case FailureRate:
		kept := r.failedAt[:0]
		for _, at := range r.failedAt {
			if now-at < s.IntervalMS {
				kept = append(kept, at)
			}
		}
		r.failedAt = append(kept, now)
		if len(r.failedAt) > s.FailuresMax {
			return 0, false, fmt.Sprintf("%d failures within %s are too many (%sfailure-rate.max-failures-per-interval)",
				len(r.failedAt), time.Duration(s.IntervalMS)*time.Millisecond, prefixStrategy)
		}
		delayMS = s.DelayMS
	case ExponentialDelay:
		if delayMS, ok = r.exponential(now); !ok {
			return 0, false, fmt.Sprintf("%d restarts in a row were allowed (%sexponential-delay.attempts-before-reset-backoff)", s.Attempts, prefixStrategy)
		}
	}
	r.count++
	r.lastAt = now
	return delayMS, true, ""
}

func (r *restarts) exponential(now stream.Time) (delayMS int64, ok bool) {
	s := &r.strategy
	if r.count > 0 && now-r.lastAt-r.backoffMS >= s.ResetMS {
		r.backoffMS, r.tries = 0, 0
	}
	if s.Attempts >= 0 && r.tries >= s.Attempts {
		return 0, false
	}
	r.tries++
	if r.backoffMS == 0 {
		r.backoffMS = s.InitialMS
	} else {
		r.backoffMS = min(int64(math.Ceil(float64(r.backoffMS)*s.Multiplier)), s.MaxMS)
	}
	delayMS = r.backoffMS
	if s.Random != nil {
		delayMS += int64(float64(delayMS) * s.Jitter * (2*s.Random() - 1))
	}
	return delayMS, true
}
