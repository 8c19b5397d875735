//go:build chaos || integration

package chaos

import "testing"

// TestShort is the form for every day: three faults that are always the same, and some at random.
func TestShort(t *testing.T) {
	r := newChaos(t, layout{jobmanagers: 1})
	finish := r.begin(redisSource)
	for i, k := range []kind{{"kill", r.killOne}, {"killjm", r.killJobManager}, {"rediskill", r.killRedis}} {
		r.recover()
		r.neverBack()
		r.fault(i+1, []kind{k})
	}
	for i := range 3 {
		r.between()
		r.neverBack()
		r.fault(i+4, r.choose([]kind{
			{"kill", r.killOne},
			{"kill2", r.killTwo},
			{"killjm", r.killJobManager},
			{"cut", r.cut},
			{"cutall", r.cutAll},
			{"redis", r.restartRedis},
			{"storage", r.storage},
			{"fullstorage", r.fullStorage},
			{"savepoint", r.savepoint},
			{"rescale", r.rescale},
			{"move", r.move},
		}))
	}
	r.end(finish(), false)
}
