package taskmanager

import (
	"encoding/json"

	"github.com/bramble-stream/bramble/engine/sample"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

const (
	// tailBytesMax bounds the rows of an answer to sample.Tail; what is above is left out, as it is a sample anyway.
	tailBytesMax = 2 << 20
	// rejectedMax bounds how many late, and how many bad records are in an answer.
	rejectedMax = 200
)

// rows tells of rows of a job's tasks. It runs on the session's goroutine: only what has been kept is copied.
func (x *executor) rows(m *pb.Inspect) {
	if x.tm.cfg.Cell == nil {
		x.inspected(m.Id, nil, "this taskmanager shows no rows")
		return
	}
	var answer any
	if m.What == sample.Tail {
		answer = x.tail(m)
	} else {
		answer = x.rejected(m.JobId)
	}
	data, err := json.Marshal(answer)
	if err != nil {
		x.inspected(m.Id, nil, err.Error())
		return
	}
	x.inspected(m.Id, data, "")
}

func (x *executor) tail(m *pb.Inspect) sample.Answer {
	answer := sample.Answer{Next: sample.Newest()}
	size := 0
	for k, j := range x.jobs {
		if k.id != m.JobId {
			continue
		}
		for _, t := range j.tasks {
			rows, ok := t.task.Tail(m.OperatorId, m.After)
			if !ok {
				continue
			}
			for i, r := range rows.Rows {
				if size += len(r.Values); size > tailBytesMax {
					rows.Rows = rows.Rows[:i]
					break
				}
			}
			answer.Tasks = append(answer.Tasks, rows)
		}
	}
	return answer
}

// rejected is of the tasks that have not ended: the others have told.
func (x *executor) rejected(job string) sample.Report {
	var all sample.Report
	for k, j := range x.jobs {
		if k.id != job {
			continue
		}
		for _, t := range j.tasks {
			if !t.task.State().Terminal() {
				all.Add(t.task.Rejected(), rejectedMax)
			}
		}
	}
	return all
}

// lastRejected is what a task that has ended tells, nil for nothing.
func (t *taskRun) lastRejected() []byte {
	r := t.task.Rejected()
	if r.Empty() {
		return nil
	}
	data, err := json.Marshal(r)
	if err != nil {
		return nil // its rows are valid JSON
	}
	return data
}
