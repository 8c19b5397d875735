// Package storage lists the kinds of checkpoint storage that the servers open beside directories. It is apart from internal/app so that the
// command line does not link their clients.
package storage

import (
	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/blob/s3"
)

// Openers are by the scheme of a location.
var Openers = blob.Openers{"s3": s3.Open}
