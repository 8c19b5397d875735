// Package examples holds the example jobs, for the demo and for tests. They are files to submit first of all.
package examples

import _ "embed"

// Sensors is sensors.sql, the main job.
//
//go:embed sensors.sql
var Sensors string
