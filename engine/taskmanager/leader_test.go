package taskmanager

import (
	"testing"
	"time"

	"github.com/bramble-stream/bramble/engine/locate"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// TestRefusedRegistrationIsTriedAgainSoon: a jobmanager that stands by will lead soon, and whoever waits for that does not fall into long pauses.
func TestRefusedRegistrationIsTriedAgainSoon(t *testing.T) {
	const refusals = 6 // at pauses that double to 5 s they would take 6 s
	n := 0
	accepted := make(chan string, 1)
	began := time.Now()
	stop, _ := start(t, &leader{connect: func(info *pb.TaskManagerInfo, stream pb.TaskManagerService_ConnectServer) error {
		if n++; n <= refusals {
			return locate.Refusal("")
		}
		if err := accept(stream, time.Minute); err != nil {
			return err
		}
		select {
		case accepted <- info.TaskmanagerId:
		default:
		}
		<-stream.Context().Done()
		return nil
	}})
	await(t, accepted)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
