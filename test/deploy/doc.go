// Package deploy keeps the files in deploy/ true: that they fit each other and the programs, and that every panel of the dashboards and every
// alert rule gets data from a real Prometheus while a job runs. `make swarm-test` deploys the stack itself.
package deploy
