// Package all lists the built-in connectors. It is the one place that names them; nothing registers itself.
package all

import (
	"github.com/bramble-stream/bramble/connectors/blackhole"
	"github.com/bramble-stream/bramble/connectors/datagen"
	"github.com/bramble-stream/bramble/connectors/filesystem"
	"github.com/bramble-stream/bramble/connectors/mqtt"
	"github.com/bramble-stream/bramble/connectors/nexmark"
	"github.com/bramble-stream/bramble/connectors/print"
	"github.com/bramble-stream/bramble/connectors/redis"
	"github.com/bramble-stream/bramble/engine/op"
)

// Connectors returns the built-in connectors by their names. The map is the caller's: to replace one, such as print by
// print.ConnectorTo, or to add one.
func Connectors() map[string]*op.Connector {
	byName := map[string]*op.Connector{}
	for _, c := range []*op.Connector{
		mqtt.Connector(),
		redis.Streams(),
		redis.Keys(),
		filesystem.Connector(),
		datagen.Connector(),
		nexmark.Connector(),
		print.Connector(),
		blackhole.Connector(),
	} {
		byName[c.Name] = c
	}
	return byName
}
