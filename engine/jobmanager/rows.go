package jobmanager

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/rest"
	"github.com/bramble-stream/bramble/engine/sample"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

const (
	// rowLooksMax bounds the questions for rows that taskmanagers have not answered.
	rowLooksMax = 256
	// rowsWait is how long an answer may take: it is of what a taskmanager has at hand.
	rowsWait = 3 * time.Second
	// tailEvery is how often taskmanagers are asked while somebody looks.
	tailEvery = 500 * time.Millisecond
	// rejectedKept is how many late, and bad, records stay of tasks that have ended; rejectedShown how many are shown.
	rejectedKept, rejectedShown = sample.RejectedMax, 200
)

// question is one for some taskmanagers, and its answers as they come.
type question struct {
	looks   map[string]string // the taskmanager by the look's ID
	answers chan *pb.Inspected
}

// ask asks the taskmanagers of a job's tasks, or of those of one vertex if that is not below 0. inspect makes the question for each.
func (c *cluster) ask(r *running, vertex int, inspect func(taskManager string) *pb.Inspect) (*question, error) {
	members := map[string]*member{}
	for v, tasks := range r.machine.Tasks() {
		for _, t := range tasks {
			if m := c.members[t.TaskManager]; m != nil && (vertex < 0 || v == vertex) {
				members[t.TaskManager] = m
			}
		}
	}
	if len(c.rowLooks)+len(members) > rowLooksMax {
		return nil, status.Error(codes.ResourceExhausted, "too many look at rows already")
	}
	if c.rowLooks == nil {
		c.rowLooks = map[string]chan<- *pb.Inspected{}
	}
	answers := make(chan *pb.Inspected, len(members))
	q := &question{looks: map[string]string{}, answers: answers}
	for id, m := range members {
		msg := inspect(id)
		msg.Id, msg.JobId = c.nextLook(), r.id
		c.rowLooks[msg.Id], q.looks[msg.Id] = answers, id
		c.send(m, &pb.ConnectResponse{Message: &pb.ConnectResponse_Inspect{Inspect: msg}})
	}
	return q, nil
}

// each calls f with the answers, until all have come or it takes too long. What is missing then is missing.
func (v views) each(ctx context.Context, q *question, f func(taskManager string, data []byte) error) error {
	defer v.jm.post(context.WithoutCancel(ctx), func(c *cluster) { //nolint:errcheck // fails only at the end
		for look := range q.looks {
			delete(c.rowLooks, look)
		}
	})
	timer := time.NewTimer(rowsWait)
	defer timer.Stop()
	for range len(q.looks) {
		select {
		case a := <-q.answers:
			if a.Error != "" {
				return status.Error(codes.FailedPrecondition, a.Error)
			}
			if err := f(q.looks[a.Id], a.Data); err != nil {
				return status.Errorf(codes.Internal, "rows of taskmanager %s: %v", q.looks[a.Id], err)
			}
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		case <-v.jm.stopped:
			return status.Error(codes.Unavailable, errStopped.Error())
		}
	}
	return nil
}

// keepRejected takes in what a task that has ended had rejected.
func (r *running) keepRejected(data []byte) {
	var report sample.Report
	if len(data) > 0 && json.Unmarshal(data, &report) == nil {
		r.rejected.Add(report, rejectedKept)
	}
}

// Rejected implements rest.Views.
func (v views) Rejected(ctx context.Context, id string) (*rest.Rejected, error) {
	var (
		q   *question
		all sample.Report
		d   = &rest.Rejected{Late: []rest.LateRow{}, Bad: []rest.BadRecord{}}
	)
	err := v.do(ctx, func(c *cluster) error {
		r, err := c.find(id)
		if err != nil {
			return err
		}
		p := r.pace(c.now())
		d.LateTotal, d.BadTotal = p.late, p.bad
		all.Add(r.rejected, rejectedShown)
		q, err = c.ask(r, -1, func(string) *pb.Inspect { return &pb.Inspect{What: sample.Rejections} })
		return err
	})
	if err != nil {
		return nil, err
	}
	err = v.each(ctx, q, func(_ string, data []byte) error {
		var report sample.Report
		if err := json.Unmarshal(data, &report); err != nil {
			return err
		}
		all.Add(report, rejectedShown)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, e := range slices.Backward(all.Late) {
		d.Late = append(d.Late, rest.LateRow{At: e.At, Operator: e.Operator, Row: e.Row, Reason: e.Reason})
	}
	for _, e := range slices.Backward(all.Bad) {
		d.Bad = append(d.Bad, rest.BadRecord{At: e.At, Operator: e.Operator, Payload: e.Payload, Reason: e.Reason})
	}
	return d, nil
}

// tail is somebody who looks at the rows that leave an operator.
type tail struct {
	vertex, operator string
	// after has the newest row of each taskmanager, seen the rows of each task that went by.
	after map[string]int64
	seen  map[tailed]passed
	d     rest.TailRows
	sent  int64
}

// tailed is a task that somebody looks at.
type tailed struct {
	taskManager string
	index       int
}

// passed is how many rows of an attempt of it have gone by.
type passed struct {
	attempt int
	rows    int64
}

// Tail implements rest.Views.
func (v views) Tail(ctx context.Context, id, vertex, operator string, send func(*rest.TailRows) error) (reason string, err error) {
	t := &tail{vertex: vertex, operator: operator, after: map[string]int64{}, seen: map[tailed]passed{}}
	tick := time.NewTicker(tailEvery)
	defer tick.Stop()
	for {
		var q *question
		err := v.do(ctx, func(c *cluster) (err error) {
			q, reason, err = t.ask(c, id)
			return err
		})
		if err != nil || reason != "" {
			return reason, err
		}
		t.d.Rows, t.d.Kinds = []json.RawMessage{}, []string{}
		if err := v.each(ctx, q, t.take); err != nil {
			return "", err
		}
		t.sent += int64(len(t.d.Rows))
		t.d.Sampled = t.d.Seen > t.sent
		if err := send(&t.d); err != nil {
			return "", err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", status.FromContextError(ctx.Err()).Err()
		case <-v.jm.stopped:
			return "", status.Error(codes.Unavailable, errStopped.Error())
		}
	}
}

// ask asks once; a reason says that there is nothing to ask for any more.
func (t *tail) ask(c *cluster, id string) (q *question, reason string, err error) {
	r, err := c.find(id)
	if err != nil {
		return nil, "", err
	}
	v, ok := r.vertexOf[t.vertex]
	if !ok {
		return nil, "", status.Errorf(codes.NotFound, "the job has no vertex %q", t.vertex)
	}
	ops := r.planned.Graph.Vertices[v].Ops
	if t.operator == "" {
		t.operator = ops[len(ops)-1].ID
	}
	if !slices.ContainsFunc(ops, func(n *graph.Node) bool { return n.ID == t.operator }) {
		return nil, "", status.Errorf(codes.NotFound, "the vertex has no operator %q", t.operator)
	}
	if r.machine.State().Ended() {
		return nil, "the job has ended", nil
	}
	q, err = c.ask(r, v, func(taskManager string) *pb.Inspect {
		return &pb.Inspect{What: sample.Tail, OperatorId: t.operator, After: t.after[taskManager]}
	})
	return q, "", err
}

// take takes in an answer.
func (t *tail) take(taskManager string, data []byte) error {
	var a sample.Answer
	if err := json.Unmarshal(data, &a); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	t.after[taskManager] = a.Next
	for _, task := range a.Tasks {
		key := tailed{taskManager, task.Index}
		before, known := t.seen[key]
		switch {
		case !known: // others may have looked before
			t.d.Seen += int64(len(task.Rows))
		case task.Attempt == before.attempt && task.Seen >= before.rows:
			t.d.Seen += task.Seen - before.rows
		default: // another attempt, or nobody had asked for a while: it began anew
			t.d.Seen += task.Seen
		}
		t.seen[key] = passed{task.Attempt, task.Seen}
		if t.d.Columns == nil && task.Columns != nil {
			for _, c := range task.Columns {
				t.d.Columns = append(t.d.Columns, rest.PreviewColumn{Name: c.Name, Type: c.Type})
			}
		}
		for _, r := range task.Rows {
			t.d.Rows, t.d.Kinds = append(t.d.Rows, r.Values), append(t.d.Kinds, rest.KindName(r.Kind))
		}
	}
	return nil
}
