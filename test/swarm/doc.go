// Package swarm deploys deploy/stack.yml on a Docker swarm of several nodes on this machine, and lets happen to it what happens to a swarm
// of Pis: containers killed, services scaled and updated, nodes drained, programs for another architecture. `make swarm-test` runs it, as root.
//
// Each node is a dockerd of the test's own, with its own data, socket and network namespace; the namespaces hang on a bridge, so
// that placement is real, and so is the overlay network (VXLAN). Nothing is pulled: Bramble's images are those of make images, the
// others are put together from Debian's packages.
package swarm
