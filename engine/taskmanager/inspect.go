package taskmanager

import (
	"github.com/bramble-stream/bramble/engine/inspect"
	"github.com/bramble-stream/bramble/engine/sample"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// looksMax bounds the looks into this process that are under way.
const looksMax = 4

// inspect looks into the process, aside, and puts what it finds into the outbox.
func (x *executor) inspect(m *pb.Inspect) {
	if m.What == sample.Tail || m.What == sample.Rejections {
		x.rows(m)
		return
	}
	if x.looks.Add(1) > looksMax {
		x.looks.Add(-1)
		x.inspected(m.Id, nil, "too much is being looked at already")
		return
	}
	x.tm.lanes.Go(func() {
		defer x.looks.Add(-1)
		data, err := inspect.Do(x.ctx, m.What, int(m.Amount))
		if err != nil {
			x.inspected(m.Id, nil, err.Error())
			return
		}
		x.inspected(m.Id, data, "")
	})
}

func (x *executor) inspected(id string, data []byte, failure string) {
	x.box.put(&pb.ConnectRequest{Message: &pb.ConnectRequest_Inspected{Inspected: &pb.Inspected{Id: id, Data: data, Error: failure}}})
}
