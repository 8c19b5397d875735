package checkpoint_test

import (
	"testing"

	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/stream"
)

func TestVoid(t *testing.T) {
	b := checkpoint.Base{Leader: 2, Epoch: 7, Used: 9} // of an attempt of leader 3
	for _, test := range []struct {
		leader uint64
		epoch  stream.Epoch
		want   bool
	}{
		{1, 3, false}, {1, 99, false}, // older leaders' do not count anyway
		{2, 6, false}, {2, 7, false}, // the base, and what was before it
		{2, 8, true}, {2, 10, true}, // the former leader was late, whatever it called it
		{3, 9, true},   // of an attempt before
		{3, 10, false}, // of this attempt, or one after
		{4, 1, false},  // of a later leader
	} {
		m := &checkpoint.Manifest{Leader: test.leader, Epoch: test.epoch}
		if got := b.Void(3, m); got != test.want {
			t.Errorf("epoch %d of leader %d: void is %t", test.epoch, test.leader, got)
		}
	}
	if (checkpoint.Base{}).Void(3, &checkpoint.Manifest{Leader: 3, Epoch: 1}) || !(checkpoint.Base{}).Void(3, &checkpoint.Manifest{Leader: 2, Epoch: 1}) {
		t.Error("a job that began anew")
	}
}
