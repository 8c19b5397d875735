# `make` or `make help` lists what there is. Everything here also works by hand; the
# commands are meant to be read.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# When the source was committed, seconds since the epoch: a clock that is before it is wrong.
BUILT ?= $(shell git log -1 --format=%ct 2>/dev/null)
# grpc tracing pages draw in html/template, whose reflection keeps the linker from dropping unused methods: 8 MB a binary.
TAGS := grpcnotrace
# Functions start at multiples of 16 bytes, as compilers of C do it, not 32: 0.3 MB a binary.
LDFLAGS := -s -w -funcalign=16 -X github.com/bramble-stream/bramble/internal/app.version=$(VERSION) -X github.com/bramble-stream/bramble/internal/app.built=$(BUILT)
# No row passes through these, or only many at a time (bufio, time): without inlining they are smaller, by 2 MB in bramble.
COLD := bufio crypto/internal/fips140/nistec/... crypto/internal/fips140/bigmod golang.org/x/sys/... golang.org/x/crypto/... database/... expvar go/... \
	$(addprefix github.com/,munnerz/... beorn7/... kr/... pkg/... rivo/... mattn/... rogpeppe/... cockroachdb/logtags/... cockroachdb/tokenbucket/... cockroachdb/crlib/...) $(addprefix github.com/bramble-stream/bramble/,engine/preview engine/sample connectors/all) \
	compress/... context flag html/... path/... time vendor/golang.org/x/... $(addprefix crypto/,dsa ecdh ecdsa ed25519 elliptic hpke rsa tls/... x509/... $(addprefix internal/fips140/,ecdsa/... ed25519/... edwards25519/... mldsa/... mlkem/... rsa/... tls12/... tls13/...)) encoding/... fmt log/... math/big mime/... net/... os/... reflect regexp/... runtime/pprof text/... \
	$(addprefix golang.org/x/,net/... text/... term/...) gopkg.in/yaml.v3 google.golang.org/genproto/... google.golang.org/protobuf/... \
	google.golang.org/grpc/... \
	$(addprefix github.com/,alicebob/... cockroachdb/errors/... cockroachdb/redact/... eclipse/... getsentry/... gogo/... gorilla/... jedib0t/... \
	klauspost/... minio/... mochi-mqtt/... prometheus/... redis/go-redis/v9/... spf13/...) \
	$(addprefix github.com/cockroachdb/pebble/v2/,internal/manifest objstorage/... record vfs/... wal) \
	$(addprefix github.com/bramble-stream/bramble/,$(addprefix engine/,checkpoint/... client graph inspect job jobmanager locate rest schedule \
	serve taskmanager blob/...) benchmarks/... examples proto/... web internal/app/... internal/bench internal/demo sql/...)
SMALL := -trimpath -tags $(TAGS) -ldflags '$(LDFLAGS)' $(foreach packages,$(COLD),-gcflags='$(packages)=-l')
PROGRAMS := $(notdir $(wildcard cmd/*))
GOLANGCI := go tool -modfile=tools/golangci-lint/go.mod golangci-lint
BENCHSTAT := go tool -modfile=tools/go.mod benchstat

# Every package below each of these directories, in so far as they exist.
below = $(addprefix ./,$(addsuffix /...,$(wildcard $(1))))

# Where goroutines meet. The race detector costs ten times the time; the other packages
# have nothing for it to find. Connectors are raced by their integration tests.
CONCURRENT_DIRS := $(addprefix engine/,state exchange blob task jobmanager taskmanager client) internal/app
CONCURRENT := $(call below,$(CONCURRENT_DIRS))
# Where assertions stand, other than in those.
ASSERTING := $(call below,$(filter-out $(CONCURRENT_DIRS),$(wildcard engine/*) sql))
# Tests against real servers check assertions too.
REAL := integration,invariants
# What 32 bits can break: arithmetic on columns, layouts, codecs, parsers. qemu is some
# ten times slower than the machine, hence -short and no servers.
ARM := $(call below,engine/vec engine/expr engine/agg engine/table engine/op engine/exchange sql connectors/format test/golden)
ARMV7 := CGO_ENABLED=0 GOOS=linux GOARCH=arm GOARM=7
QEMU_ARM := $(shell command -v qemu-arm-static || command -v qemu-arm)
# Packages with benchmarks: linking the tests of all the others would take minutes.
BENCHED = $(sort $(dir $(shell grep -rl --include='*_test.go' '^func Benchmark' .)))
# There is no race detector for 32-bit ARM.
RACE = $(if $(filter amd64 arm64,$(shell go env GOARCH)),-race)

.PHONY: help
help: ## Show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the programs for this machine, into bin/
	CGO_ENABLED=0 go build $(SMALL) -o bin/ ./cmd/...

.PHONY: test
test: test-deps vet ## Install what tests need, then run all tests, against real servers too
	go test ./...
	go test -count=1 ./internal/lint
	go test -tags invariants $(ASSERTING)
	go test $(RACE) -tags invariants $(CONCURRENT)
	go test $(RACE) -tags $(REAL) -timeout 15m $(call below,internal/testenv connectors engine/blob)
	$(MAKE) --no-print-directory web/node_modules
	$(if $(wildcard test),go test -tags $(REAL) -timeout 15m ./test/...)

.PHONY: chaos
chaos: ## Let random FAULTS=30 happen to running jobs and compare the results (full disks, cut networks: as root); RUN=TestMQTT SEED=1 ONLY=kill,cut to choose
	go test -tags chaos,invariants -count=1 -v -timeout 4h -run '$(or $(RUN),.)' ./test/chaos -args -faults $(or $(FAULTS),30) \
		-seed $(or $(SEED),0) -only '$(ONLY)'

.PHONY: test-deps
test-deps: ## Install mosquitto, redis-server, qemu and the like (Debian), or say what is missing
	scripts/test-deps

.PHONY: sim
sim: ## Play a whole cluster under faults from 10,000 seeds, SEEDS=n FIRST=seed; go test ./internal/sim -run Seeds -seed=n replays one
	go test -count=1 -timeout 30m ./internal/sim -run TestSeeds -v -seeds=$(or $(SEEDS),10000) -first=$(or $(FIRST),1)

.PHONY: virtual
virtual: ## Run whole processes in virtual time under faults from 1,000 seeds, SEEDS=n FIRST=seed; SEED=n replays one, LOG=file keeps what it logs
	go test -tags $(REAL) -count=1 -timeout 4h ./test/virtual -run '$(if $(SEED),TestSeeds,.)' -v -seeds=$(or $(SEEDS),1000) -first=$(or $(FIRST),1) \
		-seed=$(or $(SEED),0) -log='$(abspath $(LOG))'

.PHONY: vet
vet: ## go vet, as built for every kind of test
	go vet ./...
	go vet -tags $(REAL),chaos,swarm ./...

.PHONY: layers
layers: ## Check the layer law and the other rules of internal/lint
	go test -count=1 ./internal/lint

.PHONY: lint
lint: ## Run golangci-lint (pinned in tools/golangci-lint)
	$(GOLANGCI) run ./...

.PHONY: format
format: ## Format the code as make lint wants it
	$(GOLANGCI) fmt ./...

.PHONY: fix
fix: ## Let golangci-lint mend what it can; read the diff
	$(GOLANGCI) run --fix ./...

.PHONY: generate
generate: ## Regenerate what is generated (protos), with pinned tools
	go generate ./...

.PHONY: verify-generate
verify-generate: ## Fail if make generate changes anything
	scripts/verify-generate

web/node_modules: web/package-lock.json
	cd web && npm ci --no-audit --no-fund
	@touch $@

.PHONY: web
web: web/node_modules ## Check, test and build the dashboard from web/src into web/dist (needs Node 20)
	cd web && npm run check && npm test && npm run build

# Go alone builds everything: web/dist is checked in. Where there is Node, this says whether it is what web/src gives.
.PHONY: verify-web
verify-web: ## Fail if make web changes anything; does nothing without Node
	@command -v npm >/dev/null || { echo "no Node here: web/dist is taken as it is"; exit 0; }; \
	$(MAKE) --no-print-directory web/node_modules && cd web && npm run check && npm test && node build.mjs --verify

CROSS := $(foreach arch,amd64 arm64 arm,$(addprefix dist/linux_$(arch)/,$(PROGRAMS)))

.PHONY: cross
cross: $(CROSS) ## Build for linux on amd64, arm64 and armv7, into dist/

# Go knows best what is up to date.
.PHONY: $(CROSS)
$(CROSS):
	CGO_ENABLED=0 GOOS=linux GOARCH=$(patsubst linux_%,%,$(notdir $(@D))) GOARM=7 \
		go build $(SMALL) -o $@ ./cmd/$(@F)

.PHONY: sizes
sizes: cross ## Fail if a program is larger than 30 MB
	scripts/check-sizes

.PHONY: images-save
images-save: cross ## Container images without a container engine: a tarball a program and platform, for docker load, into dist/images/
	go run ./scripts/images -version '$(VERSION)' -commit "$$(git rev-parse HEAD 2>/dev/null)" \
		-created "$$(git log -1 --format=%ct 2>/dev/null || echo 0)" \
		-zones "$$(go env GOROOT)/lib/time/zoneinfo.zip"

.PHONY: images
images: images-save ## The same, and load those for this machine's engine into it
	@arch=$$(docker version --format '{{.Server.Arch}}') || { echo "no container engine answers: the tarballs are in dist/images/" >&2; exit 1; }; \
	for p in $(PROGRAMS); do docker load -i dist/images/$${p}_linux_$${arch/%arm/arm_v7}.tar; done

.PHONY: dist
dist: cross ## Archives for the way without Docker: programs, units, settings, SBOM, checksums, into dist/
	scripts/dist '$(subst /,-,$(VERSION))'

.PHONY: swarm-test
swarm-test: images-save ## Deploy deploy/stack.yml on a Docker swarm of three nodes on this machine, and give it trouble (as root, Linux)
	scripts/swarm-deps
	go test -tags swarm -count=1 -v -timeout 60m -run '$(or $(RUN),.)' ./test/swarm

.PHONY: swarm-short
swarm-short: images-save ## The same on a swarm of one node, within some minutes
	scripts/swarm-deps
	go test -tags swarm -count=1 -v -timeout 10m -run '^TestShort$$' ./test/swarm

.PHONY: vm-test
vm-test: dist ## Boot a whole Debian in qemu: the systemd units as documented, a clock that is set, checkpoints on NFS and CIFS (as root; without KVM 20 min)
	test/vm/run

.PHONY: test-arm
test-arm: ## Vet everything for armv7, and run the core's tests as on such a Pi, under qemu
	@test -n "$(QEMU_ARM)" || { echo "qemu-arm-static is not installed: run scripts/test-deps" >&2; exit 1; }
	$(ARMV7) go vet -tags $(REAL) ./...
	$(ARMV7) go test -short -timeout 8m -exec $(QEMU_ARM) $(ARM)

.PHONY: bench
bench: ## Run benchmarks; BENCH=regexp COUNT=10 OUT=file, then make bench-compare OLD=a NEW=b
	go test -run '^$$' -bench '$(or $(BENCH),.)' -benchmem -count $(or $(COUNT),1) $(BENCHED) | tee $(or $(OUT),/dev/null)

.PHONY: bench-compare
bench-compare: ## Compare with a revision, BASE=rev PKG=./benchmarks/micro BENCH=regexp, or two files of make bench, OLD=a NEW=b
	$(if $(BASE),scripts/bench-compare $(BASE) $(or $(PKG),./benchmarks/micro) '$(or $(BENCH),.)' $(or $(COUNT),6),$(BENCHSTAT) $(OLD) $(NEW))

.PHONY: bench-short
bench-short: ## Run every benchmark once, so that none rots
	@test -n "$(BENCHED)" || { echo "there are no benchmarks"; exit 0; }
	$(if $(BENCHED),go test -short -run '^$$' -bench . -benchtime 1x $(BENCHED))
	go test -count=1 -tags integration ./internal/bench
	go run ./benchmarks/suite -short
	go run ./benchmarks/recovery -short

.PHONY: nexmark-conformance
nexmark-conformance: ## Compare Nexmark's results with Apache Flink's, row for row; EVENTS=1000000 QUERIES=q0,q5; RECORDED=1 needs no Flink
	go run ./benchmarks/peers conformance -events $(or $(EVENTS),1000000) -queries '$(QUERIES)' $(if $(RECORDED),-recorded)

.PHONY: bench-peers
bench-peers: ## Measure Nexmark on Bramble and Flink in turn, then MQTT on Bramble and eKuiper (KUIPERD=path); QUERIES=q0,q5 CORES=0,1 OUT=dir
	go run ./benchmarks/peers speed -queries '$(QUERIES)' -cores '$(CORES)' -out '$(or $(OUT),benchmarks/results)'
	go run ./benchmarks/peers mqtt -kuiperd '$(KUIPERD)' -out '$(or $(OUT),benchmarks/results)'

.PHONY: fuzz-short
fuzz-short: ## Run every fuzz target for FUZZTIME=10s
	scripts/fuzz-short

.PHONY: clean
clean: ## Remove what was built
	rm -rf bin dist
